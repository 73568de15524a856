"""Shot boundaries by PySceneDetect's own detectors, fed frame by frame.

The detectors get the very pixels that PySceneDetect's own reader would give them, so their cuts
are the same. Dividing long shots belongs to `tiling`.
"""

from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    ThresholdDetector,
)
from scenedetect.common import Timecode
from scenedetect.scene_manager import compute_downscale_factor

Picture = NDArray[np.uint8]

_DETECTORS: dict[str, Callable[[float | None], SceneDetector]] = {
    "content": lambda level: ContentDetector(**_given(threshold=level)),
    "adaptive": lambda level: AdaptiveDetector(**_given(adaptive_threshold=level)),
    "histogram": lambda level: HistogramDetector(**_given(threshold=level)),
    "hash": lambda level: HashDetector(**_given(threshold=level)),
    "threshold": lambda level: ThresholdDetector(**_given(threshold=level)),
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
        return int(self._detector.event_buffer_length)

    def add_frame(self, pts: int, picture: Picture) -> list[int]:
        """Frame numbers, from 0, of the cuts that this frame reveals. `picture` is BGR.

        A picture of another size than the first is passed over, as PySceneDetect does.
        """
        self._pts.append(pts)
        height, width = picture.shape[:2]
        self._size = self._size or (width, height)
        if (width, height) != self._size:
            return []
        time = Timecode(pts=pts - self._pts[0], time_base=self._time_base)
        self._last = FrameTimecode(time, fps=self._rate)
        return self._numbers(self._detector.process_frame(self._last, _scaled(picture)))

    def finish(self) -> list[int]:
        """Frame numbers of the cuts that only the end of the stream reveals."""
        return [] if self._last is None else self._numbers(self._detector.post_process(self._last))

    def _numbers(self, cuts: list[FrameTimecode]) -> list[int]:
        return sorted({self._number(cut) for cut in cuts})

    def _number(self, cut: FrameTimecode) -> int:
        # Half a tick of slack: fades are reported between frames, in floating point.
        ticks = cut.seconds / float(self._time_base) - 0.5
        return bisect_left(self._pts, ticks + self._pts[0])


def _scaled(picture: Picture) -> Picture:
    """PySceneDetect's own downscale. Anything cheaper moved cuts on real robot footage."""
    height, width = picture.shape[:2]
    factor = compute_downscale_factor(max(width, height))
    if factor <= 1:
        return picture
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
