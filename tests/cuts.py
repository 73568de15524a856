"""The cuts of a stream, by frame: those of our detectors, and those of PySceneDetect's.

Only finding them belongs here; that they agree stays in the tests.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import scenedetect
from scenedetect.common import Timecode

from lakehouse.video.shots import ShotDetector, Sight, watcher

DETECTORS = {
    "content": scenedetect.ContentDetector,
    "adaptive": scenedetect.AdaptiveDetector,
    "histogram": scenedetect.HistogramDetector,
    "hash": scenedetect.HashDetector,
    "threshold": scenedetect.ThresholdDetector,
}
TIME_BASE, RATE = Fraction(1, 25), 25.0


def seen(frames: Iterable[av.VideoFrame], name: str, threshold: float | None = None) -> list[Sight]:
    """What the named detector's watcher sees of a stream in one go."""
    looking = watcher(name, threshold)
    sights = [looking.see(frame) for frame in frames]
    looking.finish()
    return sights


def decided(
    sights: Sequence[Sight],
    name: str,
    threshold: float | None = None,
    times: Sequence[int] | None = None,
) -> list[int]:
    """The frames that the named detector cuts at, 25 frames a second if nothing else is said."""
    detector = ShotDetector(name, threshold, TIME_BASE, RATE)
    cuts = [detector.add(*shown) for shown in zip(times or range(len(sights)), sights, strict=True)]
    return [*chain.from_iterable(cuts), *detector.finish()]


def decided_by_theirs(
    detector: scenedetect.SceneDetector, pictures: Iterable[Any], times: Sequence[int]
) -> list[int]:
    """The frames that one of PySceneDetect's detectors cuts at, given what it expects."""
    cuts: list[scenedetect.FrameTimecode] = []
    for pts, picture in zip(times, pictures, strict=True):
        timecode = Timecode(pts=pts - times[0], time_base=TIME_BASE)
        time = scenedetect.FrameTimecode(timecode, fps=Fraction(RATE))
        cuts += detector.process_frame(time, picture)
    if times:
        cuts += detector.post_process(time)
    return [bisect_left(times, cut.seconds * RATE - 0.5 + times[0]) for cut in cuts]


class GivenScores(scenedetect.ContentDetector):  # type: ignore[misc]
    """PySceneDetect's content detector, over scores instead of pictures."""

    def _calculate_frame_score(self, _: Any, score: float) -> float:
        return score


class GivenScoresAdaptive(GivenScores, scenedetect.AdaptiveDetector):  # type: ignore[misc]
    """The adaptive one likewise."""
