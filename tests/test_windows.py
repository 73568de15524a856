"""Long clips: cut into windows that hold every frame once, asked about one by one, and put together
again to one caption.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.models.captioners.protocol import Caption, SeenObject
from lakehouse.models.captioners.registry import load
from lakehouse.models.captioners.windows import caption_of
from lakehouse.models.clip_view import ClipView, FrameView
from lakehouse.models.vision import waits
from lakehouse.models.vision.clips import ClipAnswer, Inquiry, Part, ask_about, windows
from lakehouse.models.vision.protocol import Answer, Question, Value
from tests.chat_server import Answer as Reply
from tests.chat_server import Request, chat_server, inspects, says
from tests.clip_views import clip
from tests.clip_views import openai_settings as settings


@pytest.fixture(autouse=True)
def _no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 0.0)


def view(clip_id: str = "a", frames: int = 1) -> ClipView:
    """A clip with frames a second apart, of which each JPEG is its number."""
    views = tuple(FrameView(float(number), str(number).encode()) for number in range(frames))
    return ClipView(clip_id, "rex-front", float(frames), views, {})


@hypothesis.settings(deadline=None)
@given(frames=st.integers(0, 300), most=st.integers(1, 64))
def test_every_frame_is_in_exactly_one_window_in_order(frames: int, most: int) -> None:
    cut = windows(view(frames=frames), most)
    assert tuple(frame for window in cut for frame in window.frames) == view(frames=frames).frames


@hypothesis.settings(deadline=None)
@given(frames=st.integers(1, 300), most=st.integers(1, 64))
def test_windows_are_as_few_as_can_be_and_even(frames: int, most: int) -> None:
    sizes = [len(window.frames) for window in windows(view(frames=frames), most)]
    assert len(sizes) == -(-frames // most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


@hypothesis.settings(deadline=None)
@given(frames=st.integers(1, 300), most=st.integers(1, 64))
def test_windows_leave_no_time_out(frames: int, most: int) -> None:
    cut = windows(view(frames=frames), most)
    assert [window.start_s for window in cut[1:]] == [window.end_s for window in cut[:-1]]
    assert (cut[0].start_s, cut[-1].end_s) == (0.0, frames)


# Asking


class Shuffled:
    """A model in memory, which answers with the frames it was shown, in any order, and never takes
    more than a few questions ahead."""

    def __init__(self, ahead: int = 5) -> None:
        self.ahead = ahead
        self.asked: list[str] = []

    def ask(self, questions: Iterable[Question[Value]]) -> Iterator[Answer[Value]]:
        chance = random.Random(0)
        source = iter(questions)
        held: list[Question[Value]] = []
        while True:
            while len(held) < self.ahead and (question := next(source, None)) is not None:
                self.asked.append(question.key)
                held.append(question)
            if not held:
                return
            asked = held.pop(chance.randrange(len(held)))
            said = ",".join(frame.jpeg.decode() for frame in asked.frames)
            yield Answer(asked.key, asked.read(said), seconds=1.0)


INQUIRY: Inquiry[str] = Inquiry("What is shown?", {}, str, most_frames=4)


@hypothesis.settings(deadline=None)
@given(frames=st.lists(st.integers(0, 20), max_size=60))
def test_each_clip_gets_the_answers_about_its_own_windows_in_order(frames: list[int]) -> None:
    clips = [view(str(number), count) for number, count in enumerate(frames)]
    answers = {answer.clip_id: answer for answer in ask_about(Shuffled(), clips, INQUIRY)}
    assert {clip_id: ",".join(answer.values) for clip_id, answer in answers.items()} == {
        asked.clip_id: ",".join(frame.jpeg.decode() for frame in asked.frames) for asked in clips
    }


def test_no_two_questions_have_the_same_key() -> None:
    model = Shuffled()
    list(ask_about(model, [view("a", 20), view("a:1", 20), view("a:1:1", 3)], INQUIRY))
    assert len(model.asked) == len(set(model.asked)) == 11


def test_clips_without_frames_are_not_taken_without_end() -> None:
    taken = 0

    def clips() -> Iterator[ClipView]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield view(str(number), 1 if number % 400 == 399 else 0)

    for yielded, _ in enumerate(ask_about(Shuffled(), clips(), INQUIRY), start=1):
        assert taken <= yielded + 200
    assert yielded == taken == 1000


def test_long_clips_are_not_taken_without_end() -> None:
    taken = 0

    def clips() -> Iterator[ClipView]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield view(str(number), 1 + number % 20)

    for yielded, _ in enumerate(ask_about(Shuffled(ahead=5), clips(), INQUIRY), start=1):
        assert taken <= yielded + 6


# One caption out of several


def part(number: int, caption: Caption | None = None, **fields: Any) -> Part[Caption]:
    answer = Answer(str(number), caption, tokens_in=10, tokens_out=2, seconds=1.5)
    return Part(8.0 * number, 8.0 * number + 8, 16, replace(answer, **fields))


FIRST = Caption(
    text="A corridor.",
    environment="corridor",
    objects=(SeenObject("valve", "left", "open"), SeenObject("lamp")),
    signs=("rust",),
    light="bright",
    floor="dry",
    dynamics=("a person walks",),
    risks=("cable",),
)
SECOND = Caption(
    text="A hall.",
    environment="hall",
    objects=(SeenObject("lamp"), SeenObject("door")),
    signs=("smoke", "rust"),
    light="bright",
    space="open",
    risks=("cable", "step"),
)


def test_the_captions_of_several_windows_become_one() -> None:
    merged = caption_of(ClipAnswer("a", (part(0, FIRST), part(1, SECOND))))
    assert merged == Caption(
        text="0.0-8.0 s: A corridor.\n8.0-16.0 s: A hall.",
        environment="corridor; hall",
        objects=(SeenObject("valve", "left", "open"), SeenObject("lamp"), SeenObject("door")),
        signs=("rust", "smoke"),
        light="bright",
        floor="dry",
        space="open",
        dynamics=("a person walks",),
        risks=("cable", "step"),
        tokens_in=20,
        tokens_out=4,
        seconds=3.0,
    )


def test_the_caption_of_a_single_window_is_left_as_it_is() -> None:
    assert caption_of(ClipAnswer("a", (part(0, FIRST),))) == replace(
        FIRST, tokens_in=10, tokens_out=2, seconds=1.5
    )


def test_the_error_of_one_window_is_that_of_the_caption_and_names_its_time() -> None:
    failed = part(1, error="the answer can't be used", raw_answer="I see.")
    assert caption_of(ClipAnswer("a", (part(0, FIRST), failed))) == Caption(
        error="8.0-16.0 s: the answer can't be used",
        raw_answer="I see.",
        tokens_in=20,
        tokens_out=4,
        seconds=3.0,
    )


def test_tokens_that_nobody_counted_stay_unknown() -> None:
    uncounted = part(0, FIRST, tokens_in=None, tokens_out=None, seconds=None)
    merged = caption_of(ClipAnswer("a", (uncounted, uncounted)))
    assert (merged.tokens_in, merged.tokens_out, merged.seconds) == (None, None, None)


# Over HTTP


def test_a_long_clip_is_asked_about_in_windows_that_keep_its_times() -> None:
    with chat_server(lambda _: inspects()) as server:
        asking = settings(server.base_url, frames_per_request=2, max_in_flight=1)
        [(_, caption)] = load(asking).caption([view(frames=5)])
    times = [
        [part["text"] for part in request.content[1:] if part["type"] == "text"]
        for request in server.requests
    ]
    assert times == [["0.0 s:"], ["1.0 s:", "2.0 s:"], ["3.0 s:", "4.0 s:"]]
    assert (caption.text or "").startswith("0.0-1.0 s: A narrow corridor")


@pytest.mark.parametrize("failure", [Reply(500), says("garbage")])
def test_a_window_that_was_answered_is_not_asked_about_again(failure: Reply) -> None:
    failed: list[bytes] = []

    def script(request: Request) -> Reply:
        if request.frames[0] == b"1" and not failed:
            failed.append(request.frames[0])
            return failure
        return inspects(text=json.dumps([frame.decode() for frame in request.frames]))

    with chat_server(script) as server:
        asking = settings(server.base_url, frames_per_request=1)
        [(_, caption)] = load(asking).caption([view(frames=3)])
    assert caption.error is None
    assert sorted(request.frames[0] for request in server.requests) == [b"0", b"1", b"1", b"2"]


def test_a_clip_without_frames_among_others_is_an_error_that_is_not_asked_about() -> None:
    with chat_server(lambda _: inspects()) as server:
        clips = [clip("empty", frames=()), clip("full"), clip("empty too", frames=())]
        captions = dict(load(settings(server.base_url)).caption(clips))
    assert [captions[name].error for name in ("empty", "full", "empty too")] == [
        "the clip has no frames",
        None,
        "the clip has no frames",
    ]
    assert len(server.requests) == 1
