"""Asking about whole clips: a long one in windows, each a question, and the answers put together
again by clip.

What is asked, and what the answers of several windows make of a clip, its callers know.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic

from lakehouse.models.clip_view import ClipView, FrameView
from lakehouse.models.vision.protocol import Answer, Question, Value, VisionModel
from lakehouse.models.vision.reading import total

_EMPTY_AHEAD = 64  # clips


@dataclass(frozen=True)
class Inquiry(Generic[Value]):
    """What is asked about every clip; see `Question`."""

    instruction: str
    schema: Mapping[str, Any]
    read: Callable[[str], Value]
    most_frames: int
    """In one question."""


@dataclass(frozen=True)
class Window:
    """A stretch of a clip, in seconds since its start, and the frames of it."""

    start_s: float
    end_s: float
    frames: tuple[FrameView, ...]


@dataclass(frozen=True)
class Part(Generic[Value]):
    """What was answered about one window."""

    start_s: float
    end_s: float
    frame_count: int
    answer: Answer[Value]

    @property
    def span(self) -> str:
        """The window's time, in any language."""
        return f"{self.start_s:.1f}-{self.end_s:.1f} s"


@dataclass(frozen=True)
class ClipAnswer(Generic[Value]):
    """What was answered about the windows of one clip, in order of time; nothing, where it has no
    frame that could be asked about.

    Tokens and seconds are those of all windows together.
    """

    clip_id: str
    parts: tuple[Part[Value], ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """One for each window. Only where there is no error."""
        return tuple(part.answer.value for part in self.parts if part.answer.value is not None)

    @property
    def error(self) -> str | None:
        """The first window's that has one: part of a clip is not the clip."""
        if not self.parts:
            return "the clip has no frames"
        failed = self._failed
        if failed is None:
            return None
        is_whole = len(self.parts) == 1
        return failed.answer.error if is_whole else f"{failed.span}: {failed.answer.error}"

    @property
    def raw_answer(self) -> str | None:
        """That of the error."""
        return self._failed.answer.raw_answer if self._failed else None

    @property
    def tokens_in(self) -> int | None:
        """None where the backend counts none."""
        return total([part.answer.tokens_in for part in self.parts])

    @property
    def tokens_out(self) -> int | None:
        """None where the backend counts none."""
        return total([part.answer.tokens_out for part in self.parts])

    @property
    def seconds(self) -> float | None:
        """None where nothing was answered."""
        return total([part.answer.seconds for part in self.parts])

    @property
    def _failed(self) -> Part[Value] | None:
        return next((part for part in self.parts if part.answer.error is not None), None)


def windows(clip: ClipView, most_frames: int) -> tuple[Window, ...]:
    """As few windows of at most so many frames as hold every frame once, in order of time; the
    frames are spread evenly, and the windows leave no time out from the first frame on."""
    count = -(-len(clip.frames) // most_frames)
    bounds = [len(clip.frames) * number // max(count, 1) for number in range(count + 1)]
    parts = [clip.frames[start:end] for start, end in pairwise(bounds)]
    starts_s = [part[0].time_s for part in parts]
    ends_s = [*starts_s[1:], *(max(clip.duration_s, part[-1].time_s) for part in parts[-1:])]
    return tuple(Window(*window) for window in zip(starts_s, ends_s, parts, strict=True))


def ask_about(
    model: VisionModel, clips: Iterable[ClipView], inquiry: Inquiry[Value]
) -> Iterator[ClipAnswer[Value]]:
    """One answer for each clip, in any order, as they are ready; a clip without frames is not asked
    about. Clips are taken a bounded number ahead. Raises what the model raises."""
    source = iter(clips)
    asking = _Asking(source, inquiry)
    while not asking.is_over:
        for answer in model.ask(asking.questions()):
            yield from asking.complete(answer)
        yield from asking.empty()


@dataclass
class _Open(Generic[Value]):
    """A clip whose windows are being asked about; an answer for each window, once it is there."""

    clip_id: str
    spans: Sequence[tuple[float, float, int]]
    answers: dict[int, Answer[Value]] = field(default_factory=dict)

    def answer(self) -> ClipAnswer[Value]:
        parts = [Part(*span, self.answers[number]) for number, span in enumerate(self.spans)]
        return ClipAnswer(self.clip_id, tuple(parts))


class _Asking(Generic[Value]):
    """Which question is about which window of which clip."""

    def __init__(self, clips: Iterator[ClipView], inquiry: Inquiry[Value]) -> None:
        self._clips = clips
        self._inquiry = inquiry
        self._open: dict[str, tuple[_Open[Value], int]] = {}
        # A model may take its questions in a thread of its own.
        self._empty: deque[str] = deque()
        self.is_over = False

    def questions(self) -> Iterator[Question[Value]]:
        """The next clips' questions. They end with the clips, or where so many clips in a row have
        no frames that their answers should be taken first."""
        for clip in self._clips:
            cut = windows(clip, self._inquiry.most_frames)
            if not cut:
                self._empty.append(clip.clip_id)
                if len(self._empty) >= _EMPTY_AHEAD:
                    return
            spans = [(window.start_s, window.end_s, len(window.frames)) for window in cut]
            about: _Open[Value] = _Open(clip.clip_id, spans)
            keys = [f"{clip.clip_id}:{number}" for number in range(len(cut))]
            self._open.update({key: (about, number) for number, key in enumerate(keys)})
            for key, window in zip(keys, cut, strict=True):
                asked = self._inquiry
                yield Question(key, asked.instruction, window.frames, asked.schema, asked.read)
        self.is_over = True

    def complete(self, answer: Answer[Value]) -> Iterator[ClipAnswer[Value]]:
        """What is whole with this answer."""
        about, number = self._open.pop(answer.key)
        about.answers[number] = answer
        if len(about.answers) == len(about.spans):
            yield about.answer()
        yield from self.empty()

    def empty(self) -> Iterator[ClipAnswer[Value]]:
        """What needed no answer."""
        while self._empty:
            yield ClipAnswer(self._empty.popleft(), ())
