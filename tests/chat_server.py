"""A chat-completions server for tests: real HTTP on 127.0.0.1, answers scripted by the test.

It is a double of the protocol, not of a model: a vision-language model can't run in the quick
suite, and vLLM's own server is checked elsewhere. It proves what travels over the wire, and how
the captioner takes each kind of answer.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INSPECTION: dict[str, Any] = {
    "environment": "corridor with pipes",
    "objects": [{"name": "valve", "position": "left, near", "state": "open"}],
    "signs": ["rust on a pipe"],
    "conditions": {"light": "bright", "floor": "dry concrete", "space": "narrow"},
    "dynamics": ["a person walks past"],
    "risks": ["cable across the way"],
    "text": "A narrow corridor with an open valve.",
}
"""An answer that fits the schema, every field filled."""


@dataclass(frozen=True)
class Request:
    """What the server was sent."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def request_id(self) -> str:
        return self.headers["X-Request-Id"]

    @property
    def content(self) -> list[dict[str, Any]]:
        return list(self.body["messages"][0]["content"])

    @property
    def frames(self) -> list[bytes]:
        """The JPEG files of the request, in order."""
        urls = [part["image_url"]["url"] for part in self.content if part["type"] == "image_url"]
        return [base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) for url in urls]


@dataclass(frozen=True)
class Answer:
    """What the server sends back; `length` is announced instead of the body's own if given."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


Script = Callable[[Request], Answer]


@dataclass
class ChatServer:
    """A running server: its address, and every request in the order of arrival."""

    base_url: str
    requests: list[Request]


def says(content: str | None, finish_reason: str = "stop", reply_id: str | None = None) -> Answer:
    """A chat completion whose message is `content`."""
    message = {"role": "assistant", "content": content}
    completion: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 321, "completion_tokens": 45},
    }
    if reply_id is not None:
        completion["id"] = reply_id
    return Answer(body=json.dumps(completion).encode())


def inspects(reply_id: str | None = None, **fields: Any) -> Answer:
    """A chat completion whose message is `INSPECTION` with these fields instead."""
    return says(json.dumps(INSPECTION | fields), reply_id=reply_id)


def one_by_one(*answers: Answer) -> Script:
    """A script of these answers in turn; the last is repeated."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def chat_server(script: Script) -> Iterator[ChatServer]:
    """A server that answers each request, in a thread of its own, by `script`."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, dict(self.headers), json.loads(body))
            requests.append(request)
            answer = script(request)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.length is not None

        def log_message(self, *_: Any) -> None:
            """Nothing: tests look at `requests`."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Nothing: a client that hangs up is part of some tests."""

    server = Server(("127.0.0.1", 0), Handler)
    # A short poll, since shutting down waits for it.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ChatServer(f"http://127.0.0.1:{server.server_port}/v1", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
