"""A server that refuses, falls silent, stammers or mixes its replies up: every clip gets the words
about its own frames or an error, and the run ends.

The frames carry their clip's number, so that the server can say whose they are.
"""

import json
import random
import re
import socketserver
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.captioners.protocol import Caption, Captioner
from lakehouse.models.captioners.registry import load
from lakehouse.models.clip_view import ClipView
from lakehouse.models.vision import waits
from tests.chat_server import (
    INSPECTION,
    Answer,
    Request,
    Script,
    chat_server,
    inspects,
    one_by_one,
    says,
)
from tests.clip_views import clip
from tests.clip_views import openai_settings as settings
from tests.numbered_frames import number_of, numbered_clip

FOREIGN = "the reply belongs to another request"


@pytest.fixture(autouse=True)
def _no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 0.0)


def ask(base_url: str, *clips: ClipView, **changes: Any) -> dict[str, Caption]:
    return captions_of(load(settings(base_url, **changes)), clips)


def ask_at_once(base_url: str, *clips: ClipView, **changes: Any) -> dict[str, Caption]:
    """What `ask` gives of a server that has replied before, and is so asked many at a time."""
    captioner = load(settings(base_url, **changes))
    assert captions_of(captioner, [numbered_clip(0)])["0"].error is None
    return captions_of(captioner, clips)


def captions_of(captioner: Captioner, clips: Iterable[ClipView]) -> dict[str, Caption]:
    pairs = list(captioner.caption(clips))
    captions = dict(pairs)
    assert len(pairs) == len(captions)
    return captions


def seen_by(request: Request) -> int:
    """The number on the frames, which are all of one clip."""
    [number] = {number_of(frame) for frame in request.frames}
    return number


def describes(number: int, reply_id: str | None = None) -> Answer:
    return inspects(reply_id, text=f"clip {number}")


def about(request: Request) -> Answer:
    return describes(seen_by(request), f"chatcmpl-{request.request_id}")


def wrong(captions: dict[str, Caption]) -> list[str]:
    """Clips whose caption is neither an error nor all about their own frames."""

    def is_right(number: str, caption: Caption) -> bool:
        lines = [line.rpartition(" s: ")[2] for line in (caption.text or "").split("\n")]
        return set(lines) == {f"clip {number}"}

    return [
        number
        for number, caption in captions.items()
        if (caption.text is None) == (caption.error is None)
        or (caption.error is None and not is_right(number, caption))
    ]


# Mixed failures


def misbehaviours(over: threading.Event) -> dict[str, Script]:
    """What a server may do instead of answering; some of it ends when the test is over."""
    half = json.dumps(INSPECTION)[:60]
    stranger = "chatcmpl-kennel-00000000000000000000000000000000"

    def hangs(_: Request) -> Answer:
        over.wait(30)
        return Answer(500)

    return {
        "too many": lambda _: Answer(429, headers={"Retry-After": "0"}),
        "overloaded": lambda _: Answer(503),
        "broken": lambda _: Answer(500, b"Traceback"),
        "refusing": lambda _: Answer(400, b"bad image"),
        "garbage": lambda request: says("I see.", reply_id=f"chatcmpl-{request.request_id}"),
        "half": lambda request: says(half, reply_id=f"chatcmpl-{request.request_id}"),
        "Chinese": lambda request: inspects(f"chatcmpl-{request.request_id}", text="阀门开着。"),
        "no completion": lambda _: Answer(body=b"<html>"),
        "empty": lambda _: Answer(),
        "hanging up": lambda _: Answer(body=b"{", length=99),
        "another's answer": lambda request: describes(seen_by(request) + 1, stranger),
        "nobody's answer": lambda request: describes(seen_by(request) + 1),
        "hanging": hangs,
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_among_all_failures_at_once_every_clip_has_its_own_words_or_an_error(seed: int) -> None:
    over = threading.Event()
    asked: Counter[int] = Counter()
    done = misbehaviours(over)
    hanging = done.pop("hanging")

    def script(request: Request) -> Answer:
        number = seen_by(request)
        asked[number] += 1
        # By what is asked and how often, so that it doesn't matter in which order threads run.
        chance = random.Random(f"{seed} {number} {asked[number]}")
        share = chance.random()
        if number == 0 or share < 0.5:
            return about(request)
        return hanging(request) if share > 0.995 else done[chance.choice(sorted(done))](request)

    clips = [numbered_clip(number, frames=1 + number % 9) for number in range(1, 301)]
    with chat_server(script) as server:
        # First one that is answered, which is asked alone: it shows that requests are named.
        asking = {"frames_per_request": 4, "max_in_flight": 24, "timeout_s": 1.0}
        captions = ask(server.base_url, numbered_clip(0), *clips, **asking, max_retries=3)
        over.set()
    assert captions.keys() == {str(number) for number in range(301)}
    assert wrong(captions) == []
    right = sum(caption.error is None for caption in captions.values())
    assert 100 < right < 290


def test_a_server_that_forgets_one_clip_only_costs_that_clip() -> None:
    over = threading.Event()

    def script(request: Request) -> Answer:
        if seen_by(request) == 7:
            over.wait(30)
        return about(request)

    with chat_server(script) as server:
        clips = [numbered_clip(number) for number in range(50)]
        captions = ask(server.base_url, *clips, timeout_s=1.0, max_retries=1)
        over.set()
    assert [number for number in captions if captions[number].error] == ["7"]
    assert wrong(captions) == []


# Replies of other requests


def test_a_server_is_asked_one_at_a_time_until_it_has_replied() -> None:
    taken = 0
    taken_when_asked: dict[int, int] = {}

    def clips() -> Iterator[ClipView]:
        nonlocal taken
        for number in range(9):
            taken += 1
            yield numbered_clip(number)

    def script(request: Request) -> Answer:
        number = seen_by(request)
        taken_when_asked[number] = taken
        return Answer(400) if number < 3 else about(request)

    with chat_server(script) as server:
        captions = dict(load(settings(server.base_url, max_in_flight=4)).caption(clips()))
    assert [number for number in captions if captions[number].error] == ["0", "1", "2"]
    assert [taken_when_asked[number] for number in range(4)] == [1, 2, 3, 4]


def test_answers_in_reverse_order_stay_with_their_clips() -> None:
    at_once = 6
    arrived = threading.Barrier(at_once, timeout=20)
    answered = [threading.Event() for _ in range(at_once + 1)]
    answered[at_once].set()

    def script(request: Request) -> Answer:
        number = seen_by(request)
        if len(server.requests) == 1:
            return describes(number)
        arrived.wait()
        answered[number + 1].wait(20)
        answered[number].set()
        return describes(number)

    with chat_server(script) as server:
        clips = [numbered_clip(number) for number in range(at_once)]
        captions = ask_at_once(server.base_url, *clips, max_in_flight=at_once)
    assert wrong(captions) == []
    assert all(caption.error is None for caption in captions.values())


def swapping(times: int) -> Script:
    """Two requests at a time, of other clips than number 0, get each other's reply, so many times;
    then all get their own."""
    met = threading.Barrier(2, timeout=20)
    lock = threading.Lock()
    at_server: list[Request] = []
    swapped: Counter[int] = Counter()

    def script(request: Request) -> Answer:
        number = seen_by(request)
        if number == 0:
            return about(request)
        with lock:
            swapped[number] += 1
            if swapped[number] > times:
                return about(request)
            at_server.append(request)
        met.wait()
        with lock:
            pair = at_server[-2:]
        met.wait()
        [other] = [one for one in pair if one is not request]
        return about(other)

    return script


def test_replies_that_were_swapped_are_asked_for_once_more() -> None:
    with chat_server(swapping(times=1)) as server:
        captions = ask_at_once(server.base_url, numbered_clip(1), numbered_clip(2))
    assert wrong(captions) == []
    assert [caption.error for caption in captions.values()] == [None, None]
    assert len(server.requests) == 1 + 4


def test_replies_that_stay_swapped_are_errors_that_keep_nothing_of_the_other_clip() -> None:
    with chat_server(swapping(times=2)) as server:
        captions = ask_at_once(server.base_url, numbered_clip(1), numbered_clip(2))
    for caption in captions.values():
        assert caption.error == FOREIGN
        assert caption.text is None
        assert not caption.raw_answer
        assert caption.tokens_out is None


def test_a_server_that_names_its_requests_is_not_believed_once_it_does_not() -> None:
    def script(request: Request) -> Answer:
        number = seen_by(request)
        return about(request) if number == 1 else describes(1, "chatcmpl-of-another-house")

    with chat_server(script) as server:
        captions = ask(server.base_url, numbered_clip(1), numbered_clip(2), max_in_flight=1)
    assert captions["1"].text == "clip 1"
    assert captions["2"].error == FOREIGN


def test_a_reply_that_came_before_is_refused() -> None:
    first, cached = (describes(number, f"chatcmpl-{number}") for number in (0, 1))
    with chat_server(one_by_one(first, cached, cached, describes(2, "chatcmpl-2"))) as server:
        clips = [numbered_clip(number) for number in range(3)]
        captions = ask(server.base_url, *clips, max_in_flight=1)
    assert wrong(captions) == []
    assert captions["2"].error is None
    assert len(server.requests) == 4


def test_a_server_that_calls_all_its_replies_the_same_is_believed() -> None:
    with chat_server(lambda _: inspects("chatcmpl-1")) as server:
        captions = ask(server.base_url, *(numbered_clip(number) for number in range(5)))
    assert all(caption.error is None for caption in captions.values())
    assert len(server.requests) == 5


def test_each_request_has_an_id_of_its_own() -> None:
    replies = one_by_one(Answer(500), says("garbage"), inspects())
    with chat_server(replies) as server:
        ask(server.base_url, clip())
    assert len({request.request_id for request in server.requests}) == 3


def test_a_server_that_names_no_requests_is_believed() -> None:
    with chat_server(lambda request: describes(seen_by(request))) as server:
        captions = ask(server.base_url, *(numbered_clip(number) for number in range(20)))
    assert wrong(captions) == []
    assert all(caption.error is None for caption in captions.values())


@contextmanager
def doubling_server() -> Iterator[tuple[str, list[int]]]:
    """A server on bare sockets, which keeps each connection open and answers a request on it twice:
    about its own clip, then about another. And of each connection, how many requests it had."""
    requests: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            requests.append(0)
            mine = len(requests) - 1
            while head := self._head():
                requests[mine] += 1
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                assert length is not None
                body = json.loads(self.rfile.read(int(length[1])))
                number = seen_by(Request("", {}, body))
                self.wfile.write(self._reply(number) + self._reply(number + 1000))

        def _head(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode()).strip():
                lines.append(line)
            return "".join(lines)

        def _reply(self, number: int) -> bytes:
            body = describes(number).body
            head = f"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: {len(body)}"
            return f"{head}\r\n\r\n".encode() + body

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 64
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Nothing: the client hangs up on what it hasn't asked for."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1", requests
        finally:
            server.shutdown()
            thread.join()


def test_a_second_reply_on_a_connection_becomes_nobodys() -> None:
    with doubling_server() as (base_url, requests):
        clips = [numbered_clip(number) for number in range(60)]
        captions = ask(base_url, *clips, max_in_flight=4)
    assert wrong(captions) == []
    assert all(caption.error is None for caption in captions.values())
    assert set(requests) == {1}


# Time


def test_a_question_that_is_put_off_for_too_long_is_the_error_of_its_caption() -> None:
    with chat_server(one_by_one(Answer(429, headers={"Retry-After": "60"}))) as server:
        caption = ask(server.base_url, clip(), deadline_s=0.2)["a"]
    assert caption == Caption(error="no usable answer in deadline_s = 0.2")


def test_what_was_said_before_a_deadline_is_kept_with_its_error() -> None:
    over = threading.Event()
    answer = one_by_one(says("garbage"), Answer())

    def script(request: Request) -> Answer:
        said = answer(request)
        if said == Answer():
            over.wait(30)
        return said

    with chat_server(script) as server:
        caption = ask(server.base_url, clip(), deadline_s=1.0)["a"]
        over.set()
    assert caption.error == "no usable answer in deadline_s = 1"
    assert caption.raw_answer == "garbage"
    assert caption.tokens_in == 321


def test_a_question_that_waits_for_its_first_turn_is_not_late() -> None:
    pause = Answer(429, headers={"Retry-After": "1.2"})
    with chat_server(one_by_one(pause, inspects())) as server:
        asking = {"max_in_flight": 1, "max_retries": 0, "deadline_s": 1.0}
        captions = ask(server.base_url, clip("refused"), clip("waiting"), **asking)
    assert captions["waiting"].error is None


def test_a_server_that_says_nothing_to_anybody_ends_the_run_after_what_was_ready() -> None:
    over = threading.Event()

    def script(request: Request) -> Answer:
        if seen_by(request) > 0:
            over.wait(30)
        return about(request)

    ready = []
    clips = [numbered_clip(number) for number in range(100)]
    with chat_server(script) as server:
        asking = settings(server.base_url, timeout_s=0.2, max_retries=10_000, silence_s=1.5)
        with pytest.raises(UserError, match=r"answered nothing for 1\.5 s.*run again") as caught:
            ready.extend(pair[0] for pair in load(asking).caption(clips))
        over.set()
    assert server.base_url in str(caught.value)
    assert ready == ["0"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_asks_to_be_left_alone_is_not_silent(status: int) -> None:
    pause = Answer(status, headers={"Retry-After": "1.5"})
    with chat_server(one_by_one(pause, inspects())) as server:
        caption = ask(server.base_url, clip(), silence_s=1.0)["a"]
    assert caption.error is None


def test_a_caller_that_is_busy_for_long_hears_no_silence() -> None:
    with chat_server(about) as server:
        clips = (numbered_clip(number) for number in range(3))
        captions = load(settings(server.base_url, max_in_flight=1, silence_s=1.0)).caption(clips)
        next(captions)
        threading.Event().wait(1.2)
        assert [number for number, _ in captions] == ["1", "2"]


# What a server may say at all times


# All but one: a server that names no request and is wrong is believed, since nothing tells.
ALWAYS = sorted(misbehaviours(threading.Event()).keys() - {"nobody's answer"})


@pytest.mark.parametrize("name", ALWAYS)
def test_whatever_a_server_always_says_every_clip_is_an_error_and_the_run_ends(name: str) -> None:
    over = threading.Event()
    script = misbehaviours(over)[name]
    with chat_server(script) as server:
        clips = [numbered_clip(number) for number in range(1, 9)]
        captions = ask(server.base_url, *clips, timeout_s=1.0, max_retries=1)
        over.set()
    assert len(captions) == 8
    assert all(caption.error and caption.text is None for caption in captions.values())
