"""A proxy before an S3 server that spoils a part of what passes, as networks and servers do.

Requests go on as they came, Host and signature included, one connection each; what is spoilt is
drawn by seed. It keeps whole bodies in memory: for tests and benchmarks on this machine.
"""

import asyncio
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

_NO_ANSWER_S = 60.0
_SLOW_S = 0.4
_SLOW_PIECES = 4

BEFORE: Final = ("closed", "500", "503", "no answer")
"""The server never hears of the request: the connection is cut, an error answered, or nothing."""
LOST: Final = ("lost, closed", "lost, 500", "lost, 503", "lost, no answer")
"""The server does what it was asked to, and its answer is lost."""
BODY: Final = ("slow", "cut off", "length too long", "length too short")
"""The answer's body dribbles, breaks off, or is announced with a wrong length."""
LISTING: Final = ("XML cut off", "XML garbled", "XML empty")
"""An answer in XML is wrong, and its length is right."""
KINDS: Final = BEFORE + LOST + BODY + LISTING


@dataclass(frozen=True)
class _Message:
    """A request or an answer, its body as it travels."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for found, value in self.headers if found.lower() == name), "")

    def without(self, names: Collection[str]) -> "_Message":
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return replace(self, headers=kept)

    def with_header(self, name: str, value: object) -> "_Message":
        kept = self.without({name.lower()})
        return replace(kept, headers=(*kept.headers, (name, str(value))))

    def encoded(self) -> bytes:
        lines = (self.start, *(f"{name}: {value}" for name, value in self.headers), "", "")
        return "\r\n".join(lines).encode("latin-1") + self.body


class FaultProxy:
    """Passes requests on to `upstream`, an `http://` address; made by `fault_proxy`.

    Attributes may be changed at any time: `rate`, the share of requests to spoil, in one of the
    ways of `kinds`, and no more than `limit` of them; `dropped`, headers in lower case that the
    server never gets to see.
    """

    def __init__(self, upstream: str, rate: float, seed: int, kinds: Collection[str]) -> None:
        self.upstream = upstream
        self.rate = rate
        self.kinds = tuple(kinds)
        self.limit = sys.maxsize
        self.dropped: frozenset[str] = frozenset()
        self.requests = 0
        self.injected: Counter[str] = Counter()
        """Faults by kind, so far."""
        self._random = random.Random(seed)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def endpoint(self) -> str:
        """Where clients find it; the same for as long as it lives."""
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Accepts connections."""
        self._run(self._listen())

    def down(self) -> None:
        """Cuts all connections and refuses new ones, as a server does that isn't running."""
        self._run(self._shut())

    def restart(self, after_s: float) -> None:
        """Goes down, and up again after so long; returns at once, from any thread."""
        asyncio.run_coroutine_threadsafe(self._restart(after_s), self._loop)

    def close(self) -> None:
        """Ends it."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def serve(self) -> None:
        """Works until it is closed; for a thread of its own."""
        self._loop.run_forever()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _restart(self, after_s: float) -> None:
        await self._shut()
        await asyncio.sleep(after_s)
        await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether another may follow on the connection."""
        request = await _received(reader, writer)
        self.requests += 1
        fault = self._drawn()
        if fault not in BEFORE:
            answer = await self._answer(request)
            if fault not in LOST:
                return await self._answered(writer, request, answer, fault)
        self.injected[fault] += 1
        if fault.endswith("no answer"):
            with suppress(TimeoutError):  # until the client gives up
                await asyncio.wait_for(reader.read(1), _NO_ANSWER_S)
        if fault[-3:] in {"500", "503"}:
            writer.write(_refusal(fault[-3:], is_head=request.start.startswith("HEAD ")).encoded())
            await writer.drain()
            return True
        return False

    async def _answered(
        self, writer: asyncio.StreamWriter, request: _Message, answer: _Message, fault: str
    ) -> bool:
        """Sends the answer; spoilt, if it has a body that the fault applies to."""
        is_xml = answer.body.lstrip().startswith(b"<")
        has_body = len(answer.body) > 1 and not request.start.startswith("HEAD ")
        if not has_body or (fault in LISTING and not is_xml):
            fault = ""
        if fault:
            self.injected[fault] += 1
        spoilt = _SPOILT.get(fault, _whole)(answer)
        if fault == "slow":
            for piece in _pieces(spoilt.encoded()):
                await asyncio.sleep(_SLOW_S / _SLOW_PIECES)
                writer.write(piece)
                await writer.drain()
        else:
            writer.write(spoilt.encoded())
            await writer.drain()
        if fault in {"cut off", "length too long", "length too short"}:
            writer.write_eof()
            return False
        return request.header("connection").lower() != "close"

    async def _answer(self, request: _Message) -> _Message:
        server = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(server.hostname, server.port)
        try:
            sent = request.without({"expect", "connection", *self.dropped})
            writer.write(sent.with_header("Connection", "close").encoded())
            await writer.drain()
            answer = await _read_message(reader)
            body = await reader.read()
        finally:
            writer.transport.abort()
        if "chunked" in answer.header("transfer-encoding"):
            body = b"".join(_chunks(body))
        if not request.start.startswith("HEAD "):
            answer = answer.with_header("Content-Length", len(body))
        return replace(answer.without({"connection", "transfer-encoding"}), body=body)

    def _drawn(self) -> str:
        if self.injected.total() >= self.limit or self._random.random() >= self.rate:
            return ""
        return self._random.choice(self.kinds)


@contextmanager
def fault_proxy(
    upstream: str, *, rate: float = 0.0, seed: int = 0, kinds: Collection[str] = KINDS
) -> Iterator[FaultProxy]:
    """A running proxy before the server at `upstream`."""
    proxy = FaultProxy(upstream, rate, seed, kinds)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    proxy.up()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


async def _received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Message:
    """The next request, with its body."""
    request = await _read_message(reader)
    if request.header("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in request.header("transfer-encoding"):
        return replace(request, body=await _read_chunks(reader))
    length = int(request.header("content-length") or 0)
    return replace(request, body=await reader.readexactly(length))


async def _read_message(reader: asyncio.StreamReader) -> _Message:
    """Up to the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return _Message(start, tuple((name, value.strip()) for name, _, value in pairs), b"")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it travels."""
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        body += size
        length = int(size.split(b";")[0], 16)
        body += await reader.readexactly(length + 2)
        if length == 0:
            return body


def _chunks(body: bytes) -> Iterator[bytes]:
    """What is in a chunked body."""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return
        yield rest[:length]
        body = rest[length + 2 :]


def _refusal(status: str, *, is_head: bool) -> _Message:
    code, reason = {"500": ("InternalError", "Internal Server Error")}.get(
        status, ("SlowDown", "Slow Down")
    )
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    length = ("Content-Length", str(len(body)))
    return _Message(
        f"HTTP/1.1 {status} {reason}",
        (("Content-Type", "application/xml"), length),
        b"" if is_head else body,
    )


def _pieces(data: bytes) -> Iterator[bytes]:
    length = len(data) // _SLOW_PIECES + 1
    for start in range(0, len(data), length):
        yield data[start : start + length]


def _whole(answer: _Message) -> _Message:
    return answer


def _cut_off(answer: _Message) -> _Message:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _announced_longer(answer: _Message) -> _Message:
    return answer.with_header("Content-Length", len(answer.body) + 100)


def _announced_shorter(answer: _Message) -> _Message:
    return answer.with_header("Content-Length", len(answer.body) // 2)


def _with_body(body: Callable[[bytes], bytes]) -> Callable[[_Message], _Message]:
    """A wrong body of an announced length that is right."""

    def spoilt(answer: _Message) -> _Message:
        wrong = body(answer.body)
        return replace(answer, body=wrong).with_header("Content-Length", len(wrong))

    return spoilt


_SPOILT: Final[dict[str, Callable[[_Message], _Message]]] = {
    "cut off": _cut_off,
    "length too long": _announced_longer,
    "length too short": _announced_shorter,
    "XML cut off": _with_body(lambda body: body[: len(body) // 2]),
    "XML garbled": _with_body(lambda body: body.replace(b"<", b"\0", 3)),
    "XML empty": _with_body(lambda _: b""),
}
