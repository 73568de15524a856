"""Shot boundaries by PySceneDetect's detectors, fed frame by frame from our decoder.

Their cuts are those of PySceneDetect reading the file itself. The default detector has a quicker
twin in `content`; dividing long shots belongs to `tiling`.
"""

from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

from av.video.frame import VideoFrame
from scenedetect import (
    AdaptiveDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    ThresholdDetector,
)
from scenedetect.common import Timecode

from lakehouse.video.content import ScreenedContentDetector, scaled


class _Detector(Protocol):
    """The part of PySceneDetect's SceneDetector that is used, fed with frames."""

    @property
    def event_buffer_length(self) -> int: ...

    def process_frame(self, time: FrameTimecode, frame: VideoFrame) -> list[FrameTimecode]: ...

    def post_process(self, time: FrameTimecode) -> list[FrameTimecode]: ...


class _OnPictures:
    """One of PySceneDetect's own detectors, given the pictures that it expects."""

    def __init__(self, detector: SceneDetector) -> None:
        self._detector = detector
        self.event_buffer_length = int(detector.event_buffer_length)
        self.post_process = detector.post_process

    def process_frame(self, time: FrameTimecode, frame: VideoFrame) -> list[FrameTimecode]:
        """The cuts that this frame reveals."""
        return list(self._detector.process_frame(time, scaled(frame)))


_DETECTORS: dict[str, Callable[[float | None], _Detector]] = {
    "content": ScreenedContentDetector,
    "adaptive": lambda level: _OnPictures(AdaptiveDetector(**_given(adaptive_threshold=level))),
    "histogram": lambda level: _OnPictures(HistogramDetector(**_given(threshold=level))),
    "hash": lambda level: _OnPictures(HashDetector(**_given(threshold=level))),
    "threshold": lambda level: _OnPictures(ThresholdDetector(**_given(threshold=level))),
}


def _given(**options: float | None) -> dict[str, float]:
    return {name: value for name, value in options.items() if value is not None}


class ShotDetector:
    """Finds the frames that start a new shot, with the named detector at its own defaults."""

    def __init__(
        self, name: str, threshold: float | None, time_base: Fraction, frame_rate: float
    ) -> None:
        self._detector = _DETECTORS[name](threshold)
        self._time_base = time_base
        self._rate = Fraction(frame_rate).limit_denominator(1001)
        self._pts: list[int] = []
        self._last: FrameTimecode | None = None
        self._size: tuple[int, int] | None = None

    @property
    def lag_frames(self) -> int:
        """How many frames after the cut itself a detector may report it."""
        return self._detector.event_buffer_length

    def add_frame(self, pts: int, frame: VideoFrame) -> list[int]:
        """Frame numbers, from 0, of the cuts that this frame reveals.

        A frame of another size than the first is passed over, as PySceneDetect does.
        """
        self._pts.append(pts)
        self._size = self._size or (frame.width, frame.height)
        if (frame.width, frame.height) != self._size:
            return []
        time = Timecode(pts=pts - self._pts[0], time_base=self._time_base)
        self._last = FrameTimecode(time, fps=self._rate)
        return self._numbers(self._detector.process_frame(self._last, frame))

    def finish(self) -> list[int]:
        """Frame numbers of the cuts that only the end of the stream reveals."""
        return [] if self._last is None else self._numbers(self._detector.post_process(self._last))

    def _numbers(self, cuts: list[FrameTimecode]) -> list[int]:
        return sorted({self._number(cut) for cut in cuts})

    def _number(self, cut: FrameTimecode) -> int:
        # Half a tick of slack: fades are reported between frames, in floating point.
        ticks = cut.seconds / float(self._time_base) - 0.5
        return bisect_left(self._pts, ticks + self._pts[0])
