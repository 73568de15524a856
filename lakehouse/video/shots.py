"""Shot boundaries by PySceneDetect's detectors, fed frame by frame from our decoder.

Their cuts are those of PySceneDetect reading the file itself. Looking at frames (`Watcher`) is
apart from deciding on cuts (`ShotDetector`): frames of one recording may be looked at in several
places, the decision is one walk over all that was seen. What a score is belongs to `content`;
dividing long shots to `tiling`.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from scenedetect import (
    AdaptiveDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    ThresholdDetector,
)
from scenedetect.common import Timecode
from scenedetect.detector import FlashFilter

from lakehouse.video.content import (
    NO_CHANGE,
    SLACK,
    Change,
    Glance,
    Glancer,
    Picture,
    change,
    exact_score,
    scaled,
)

_CONTENT_THRESHOLD = 27.0
_MIN_SHOT_FRAMES = 15
_ADAPTIVE_RATIO = 3.0
_ADAPTIVE_MIN_SCORE = 15.0
_ADAPTIVE_RADIUS = 2  # a frame is compared with so many on either side


@dataclass(slots=True)
class Sight:
    """What was seen of one frame: its change since the one before, and, where the detector wants
    them, pixels. At the ends of a part of a stream the glance stays, for the part beside it."""

    change: Change = NO_CHANGE
    picture: Picture | None = None
    glance: Glance | None = None

    def set_score(self, score: float) -> None:
        """Replace the estimated score by the exact one."""
        self.change = Change(score, self.change.value)


class Watcher(Protocol):
    """Looks at the frames of one part of a stream, in order."""

    @property
    def delay_frames(self) -> int:
        """After so many more frames a sight is final."""
        ...

    def see(self, frame: VideoFrame) -> Sight:
        """A look at the next frame."""
        ...

    def finish(self) -> None:
        """No more frames: the last sights become final."""
        ...


class _ScoreWatcher:
    """Scores frames by tiny pictures, and exactly where `may_cut` says so of the scores around.

    `is_part` tells that other parts of the stream lie beside this one: frames near its ends are
    then scored exactly, since their surroundings are unknown here.
    """

    def __init__(
        self, may_cut: Callable[[Sequence[float]], bool], radius: int, is_part: bool
    ) -> None:
        self._may_cut = may_cut
        self._width = 2 * radius + 1
        self._is_part = is_part
        self._glancer = Glancer()
        self._window: deque[tuple[Glance | None, Glance, Sight]] = deque(maxlen=self._width)
        self._seen = 0
        self.delay_frames = 2 * radius

    def see(self, frame: VideoFrame) -> Sight:
        now = self._glancer.glance(frame)
        before = self._window[-1][1] if self._window else None
        sight = Sight(change(before, now), glance=now if self._is_part and not before else None)
        self._window.append((before, now, sight))
        self._seen += 1
        full = len(self._window) == self._width
        at_start = self._is_part and 1 < self._seen <= self._width
        if at_start or (full and self._may_cut([seen.change.score for *_, seen in self._window])):
            self._score_exactly()
        return sight

    def finish(self) -> None:
        if self._is_part and self._window:
            if self._width > 1:
                self._score_exactly()
            self._window[-1][2].glance = self._window[-1][1]

    def _score_exactly(self) -> None:
        for before, now, sight in self._window:
            if before:
                sight.set_score(exact_score(before, now))


class _PictureWatcher:
    """Passes on the pictures that PySceneDetect's other detectors expect."""

    delay_frames = 0

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def see(self, frame: VideoFrame) -> Sight:
        return Sight(picture=scaled(frame, self._reformatter))

    def finish(self) -> None:
        pass


def _content_may_cut(threshold: float) -> Callable[[Sequence[float]], bool]:
    return lambda scores: scores[0] >= threshold - SLACK


def _adaptive_may_cut(ratio: float) -> Callable[[Sequence[float]], bool]:
    def may_cut(scores: Sequence[float]) -> bool:
        centre = scores[_ADAPTIVE_RADIUS]
        around = (sum(scores) - centre) / (len(scores) - 1)
        highest, lowest_around = centre + SLACK, max(around - SLACK, 0.0)
        return highest >= max(_ADAPTIVE_MIN_SCORE, ratio * lowest_around)

    return may_cut


def watcher(name: str, threshold: float | None, *, is_part: bool = False) -> Watcher:
    """What looks at frames for the named detector; see `_ScoreWatcher` for `is_part`."""
    match name:
        case "content":
            level = _CONTENT_THRESHOLD if threshold is None else threshold
            return _ScoreWatcher(_content_may_cut(level), 0, is_part)
        case "adaptive":
            ratio = _ADAPTIVE_RATIO if threshold is None else threshold
            return _ScoreWatcher(_adaptive_may_cut(ratio), _ADAPTIVE_RADIUS, is_part)
    return _PictureWatcher()


def join(before: Sight, now: Sight) -> None:
    """Complete the first sight of a part with what the part before it saw last."""
    if before.glance and now.glance:
        estimated = change(before.glance, now.glance)
        now.change = Change(exact_score(before.glance, now.glance), estimated.value)


class _Content:
    """ContentDetector's decision over given scores."""

    lag_frames = _MIN_SHOT_FRAMES

    def __init__(self, threshold: float | None) -> None:
        self._threshold = _CONTENT_THRESHOLD if threshold is None else threshold
        self._filter = FlashFilter(FlashFilter.Mode.MERGE, _MIN_SHOT_FRAMES)

    def is_above(self, sight: Sight) -> bool:
        return sight.change.score >= self._threshold

    def cuts(self, time: FrameTimecode, sight: Sight) -> list[FrameTimecode]:
        return self._filter.filter(time, self.is_above(sight))

    def last_cuts(self, time: FrameTimecode) -> list[FrameTimecode]:
        del time
        return []


class _GivenScores(AdaptiveDetector):  # type: ignore[misc]  # PySceneDetect is untyped
    """AdaptiveDetector over scores instead of pictures."""

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: Any) -> float:
        del timecode
        return float(frame_img)


class _Native:
    """One of PySceneDetect's own detectors, given `of` each sight."""

    def __init__(self, detector: SceneDetector, of: Callable[[Sight], Any]) -> None:
        self._detector = detector
        self._of = of
        self.lag_frames = int(detector.event_buffer_length)

    def is_above(self, sight: Sight) -> bool:
        del sight
        return True

    def cuts(self, time: FrameTimecode, sight: Sight) -> list[FrameTimecode]:
        return list(self._detector.process_frame(time, self._of(sight)))

    def last_cuts(self, time: FrameTimecode) -> list[FrameTimecode]:
        return list(self._detector.post_process(time))


def _detector(name: str, threshold: float | None) -> _Content | _Native:
    def given(option: str) -> dict[str, float]:
        return {} if threshold is None else {option: threshold}

    match name:
        case "content":
            return _Content(threshold)
        case "adaptive":
            scores = _GivenScores(**given("adaptive_threshold"))
            return _Native(scores, lambda sight: sight.change.score)
        case "histogram":
            detector: SceneDetector = HistogramDetector(**given("threshold"))
        case "hash":
            detector = HashDetector(**given("threshold"))
        case _:
            detector = ThresholdDetector(**given("threshold"))
    return _Native(detector, lambda sight: sight.picture)


class ShotDetector:
    """Finds the frames that start a new shot, with the named detector at its own defaults."""

    def __init__(
        self, name: str, threshold: float | None, time_base: Fraction, frame_rate: float
    ) -> None:
        self._detector = _detector(name, threshold)
        self._time_base = time_base
        self._rate = Fraction(frame_rate).limit_denominator(1001)
        self._lingers = 2 * _MIN_SHOT_FRAMES / (self._rate * time_base)
        self._idle_from: float | None = None
        self._pts: list[int] = []

    @property
    def lag_frames(self) -> int:
        """How many frames after the cut itself a detector may report it."""
        return self._detector.lag_frames

    def add(self, pts: int, sight: Sight) -> list[int]:
        """Frame numbers, from 0, of the cuts that this frame reveals."""
        self._pts.append(pts)
        if self._idle_from is None or self._detector.is_above(sight):
            self._idle_from = pts + float(self._lingers)
        elif self._pts[-2] > self._idle_from:
            return []  # a filter that was asked so long after the last frame above says no more
        return self._numbers(self._detector.cuts(self._time(pts), sight))

    def finish(self) -> list[int]:
        """Frame numbers of the cuts that only the end of the stream reveals."""
        if not self._pts:
            return []
        return self._numbers(self._detector.last_cuts(self._time(self._pts[-1])))

    def _time(self, pts: int) -> FrameTimecode:
        time = Timecode(pts=pts - self._pts[0], time_base=self._time_base)
        return FrameTimecode(time, fps=self._rate)

    def pts(self, frame: int) -> int:
        """When the frame of this number is shown."""
        return self._pts[frame]

    def _numbers(self, cuts: list[FrameTimecode]) -> list[int]:
        return sorted({self._number(cut) for cut in cuts})

    def _number(self, cut: FrameTimecode) -> int:
        # Half a tick of slack: fades are reported between frames, in floating point.
        ticks = cut.seconds / float(self._time_base) - 0.5
        return bisect_left(self._pts, ticks + self._pts[0])
