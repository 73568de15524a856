"""How many requests a server is given at once: what the allowance promises whatever the server
takes, and that a run against a server that takes only a few of them at once loses nothing.
"""

import asyncio
import math
import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.models.captioners.registry import load
from lakehouse.models.vision import waits
from lakehouse.models.vision.pace import Allowance, Pace
from lakehouse.models.vision.waits import asked_wait_s
from tests.chat_server import Answer, Request, chat_server, inspects, one_by_one
from tests.clip_views import clip
from tests.clip_views import openai_settings as settings
from tests.numbered_frames import number_of, numbered_clip


@pytest.fixture(autouse=True)
def _no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 0.0)


def test_the_limit_is_halved_once_for_a_burst_of_refusals_and_again_for_the_next() -> None:
    allowance = Allowance(16)
    burst = [allowance.send() for _ in range(16)]
    for number in burst:
        allowance.refused(number)
    assert allowance.limit == 8
    allowance.refused(allowance.send())
    assert allowance.limit == 4


def test_the_limit_grows_by_one_in_a_round_trip_and_not_over_what_is_allowed() -> None:
    allowance = Allowance(4)
    for _ in range(2):
        allowance.refused(allowance.send())
    limits = []
    for _ in range(20):
        allowance.answered()
        limits.append(allowance.limit)
    assert limits[:3] == [2, 2, 2]
    assert sorted(limits) == limits
    assert limits[-1] == 4


def test_the_limit_does_not_grow_while_a_refused_request_is_to_be_made_again() -> None:
    allowance = Allowance(4)
    allowance.refused(allowance.send())
    with allowance.steady():
        allowance.answered()
        assert allowance.limit == 1
    allowance.answered()
    assert allowance.limit == 2


def test_where_few_are_at_the_server_it_is_these_that_are_halved() -> None:
    allowance = Allowance(64)
    [first, *_] = [allowance.send() for _ in range(4)]
    allowance.refused(first)
    assert allowance.limit == 2


@dataclass
class _Simulated:
    """A request of a simulated run: its number while it is at the server, whether the server took
    it, and how often it did not."""

    number: int = 0
    is_taken: bool = False
    refusals: int = 0
    while_refused: ExitStack = field(default_factory=ExitStack)


@hypothesis.settings(deadline=None)
@given(
    most=st.integers(1, 64),
    takes=st.integers(1, 64),
    requests=st.integers(1, 150),
    seed=st.integers(0, 2**32),
)
def test_whatever_a_server_takes_at_once_no_request_is_refused_more_often_than_promised(
    most: int, takes: int, requests: int, seed: int
) -> None:
    chance = random.Random(seed)
    allowance = Allowance(most)
    waiting = [_Simulated() for _ in range(requests)]
    at_server: list[_Simulated] = []
    bound = max(0, math.ceil(math.log2(most / takes)))
    while waiting or at_server:
        assert 1 <= allowance.limit <= most
        while waiting and allowance.in_flight < allowance.limit:
            request = waiting.pop(0)
            request.number = allowance.send()
            request.is_taken = sum(other.is_taken for other in at_server) < takes
            at_server.append(request)
        replied = at_server.pop(chance.randrange(len(at_server)))
        if replied.is_taken:
            allowance.answered()
            replied.while_refused.close()
        else:
            allowance.refused(replied.number)
            replied.refusals += 1
            replied.while_refused.enter_context(allowance.steady())
            waiting.insert(0, replied)
            assert replied.refusals <= bound
        allowance.leave()
    assert allowance.in_flight == 0


def test_a_pause_holds_every_turn() -> None:
    async def began_after_s() -> float:
        pace = Pace(4)
        async with pace.turn() as number:
            pace.refused(number, pause_s=0.05)
            paused_at_s = time.monotonic()
        async with pace.turn():
            return time.monotonic() - paused_at_s

    assert asyncio.run(began_after_s()) >= 0.049


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    order = []

    async def run() -> None:
        pace = Pace(2)

        async def take(number: int) -> None:
            async with pace.turn():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(take(number) for number in range(20)))

    asyncio.run(run())
    assert order == list(range(20))


def test_what_was_refused_goes_before_all_others() -> None:
    order = []

    async def run() -> None:
        pace = Pace(1)

        async def take(name: str) -> None:
            async with pace.turn(was_refused=name == "refused"):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(take(name) for name in ("first", "second", "third", "refused")))

    asyncio.run(run())
    assert order == ["first", "refused", "second", "third"]


def test_a_refused_request_that_gives_up_its_place_in_line_lets_the_others_go() -> None:
    async def run() -> None:
        pace = Pace(1)
        async with pace.turn():
            given_up = asyncio.create_task(pace.turn(was_refused=True).__aenter__())
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        async with asyncio.timeout(20), pace.turn():
            pass

    asyncio.run(run())


@pytest.mark.parametrize("takes", [1, 3, 16])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_takes_few_at_once_answers_all_in_the_end(takes: int, status: int) -> None:
    most = 16
    at_server = 0
    together = 0
    lock = threading.Lock()

    def script(request: Request) -> Answer:
        nonlocal at_server, together
        with lock:
            if at_server >= takes:
                return Answer(status)
            at_server += 1
            together = max(together, at_server)
        # Long enough for others to come meanwhile; nothing depends on how long.
        threading.Event().wait(0.002)
        with lock:
            at_server -= 1
        return inspects(text=f"clip {number_of(request.frames[0])}")

    retries = math.ceil(math.log2(most / takes))
    with chat_server(script) as server:
        asking = settings(server.base_url, max_in_flight=most, max_retries=retries)
        captions = dict(load(asking).caption(numbered_clip(number) for number in range(200)))
    assert {clip_id: caption.text for clip_id, caption in captions.items()} == {
        str(number): f"clip {number}" for number in range(200)
    }
    assert together <= takes


def test_a_server_that_asks_for_a_pause_is_left_alone_by_all_requests() -> None:
    arrived_s: list[float] = []
    answer = one_by_one(Answer(429, headers={"Retry-After": "0.3"}), inspects())

    def script(request: Request) -> Answer:
        arrived_s.append(time.monotonic())
        return answer(request)

    with chat_server(script) as server:
        asking = settings(server.base_url, max_in_flight=1, max_retries=0)
        captions = dict(load(asking).caption([clip("refused"), clip("another")]))
    assert captions["refused"].error is not None
    assert captions["another"].error is None
    assert arrived_s[1] - arrived_s[0] >= 0.29


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("1e9", 300.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 300.0),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_a_wait_that_a_server_asks_for_is_understood_and_bounded(
    header: str | None, seconds: float | None
) -> None:
    assert asked_wait_s(header) == seconds


def test_a_back_off_is_bounded_however_often_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert all(0 < waits.back_off_s(attempt) <= 30 for attempt in (0, 1, 10, 10_000))
