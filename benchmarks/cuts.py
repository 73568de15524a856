"""Are our cuts PySceneDetect's own, and what do they cost beside it?

Each file is read by PySceneDetect as its documentation shows (`open_video`, detector by default),
and by our decode pass, which also measures signals and keeps frames, once with ContentDetector and
once with AdaptiveDetector. A cut agrees if it lies within one frame. Files that PySceneDetect's
default backend can't read are read with its PyAV backend.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    SceneDetector,
    SceneManager,
    VideoOpenFailure,
    open_video,
)

from benchmarks.footage import arguments, videos
from lakehouse.settings import ClipSettings
from lakehouse.video.one_pass import facts_of, run_one_pass
from lakehouse.video.probe import Probe, ProbeError, probe

Detector = Literal["content", "adaptive"]

_THEIRS: dict[Detector, Callable[[], SceneDetector]] = {
    "content": ContentDetector,
    "adaptive": AdaptiveDetector,
}


@dataclass
class Agreement:
    """Over any number of files; CPU seconds of reading them."""

    files: int = 0
    cuts: int = 0
    agreeing: int = 0
    extra: int = 0
    ours_cpu_s: float = 0.0
    theirs_cpu_s: float = 0.0

    def __add__(self, other: "Agreement") -> "Agreement":
        mine, theirs = asdict(self), asdict(other)
        return Agreement(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def f1(self) -> float:
        """Of our cuts against PySceneDetect's; 1 where neither has any."""
        all_cuts = self.cuts + self.agreeing + self.extra
        return 2 * self.agreeing / all_cuts if all_cuts else 1.0

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts, {self.agreeing} agree, {self.extra} extra, F1 {self.f1:.3f}; "
            f"CPU {self.ours_cpu_s:.2f} s, PySceneDetect {self.theirs_cpu_s:.2f} s"
        )


def main() -> None:
    """Compare file by file, then print totals."""
    totals = {detector: Agreement() for detector in _THEIRS}
    with videos(arguments(__doc__ or "").footage) as files:
        for file in files:
            try:
                with file.open("rb") as source:
                    facts = probe(source)
            except ProbeError as error:
                print(f"{file.name}: left out, {error}")
                continue
            for detector in _THEIRS:
                agreement = _compared(file, facts, detector)
                print(f"{file.name}, {detector}: {agreement}", flush=True)
                totals[detector] += agreement
    for detector, total in totals.items():
        print(f"all {total.files} files, {detector}: {total}")
    print(json.dumps({name: {**asdict(total), "f1": total.f1} for name, total in totals.items()}))


def _compared(file: Path, facts: Probe, detector: Detector) -> Agreement:
    theirs, theirs_cpu_s = _timed(partial(_their_cuts, file, detector))
    ours, ours_cpu_s = _timed(partial(_our_cuts, file, facts, detector))
    slack_s = 1.01 / facts.frame_rate
    return Agreement(
        files=1,
        cuts=len(theirs),
        agreeing=sum(_is_near(cut, ours, slack_s) for cut in theirs),
        extra=sum(not _is_near(cut, theirs, slack_s) for cut in ours),
        ours_cpu_s=ours_cpu_s,
        theirs_cpu_s=theirs_cpu_s,
    )


def _is_near(cut: float, others: Sequence[float], slack_s: float) -> bool:
    return any(abs(cut - other) <= slack_s for other in others)


def _their_cuts(file: Path, detector: Detector) -> list[float]:
    try:
        cuts, frame_count = _detected(file, detector, "opencv")
    except VideoOpenFailure:
        frame_count = 0
    return cuts if frame_count else _detected(file, detector, "pyav")[0]


def _detected(file: Path, detector: Detector, backend: str) -> tuple[list[float], int]:
    """PySceneDetect's cuts in seconds, and how many frames its backend could read."""
    manager = SceneManager()
    manager.add_detector(_THEIRS[detector]())
    video = open_video(str(file), backend=backend)
    manager.detect_scenes(video)
    return [start.seconds for start, _ in manager.get_scene_list()[1:]], video.frame_number


def _our_cuts(file: Path, found: Probe, detector: Detector) -> list[float]:
    def open_source() -> BinaryIO:
        return cast(BinaryIO, file.open("rb"))

    result = run_one_pass(open_source, facts_of(found), ClipSettings(detector=detector))
    return [
        float((s.span.start_pts - found.start_pts) * found.time_base)
        for s in result.spans
        if s.span.boundary == "cut"
    ]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    return work(), time.process_time() - started


if __name__ == "__main__":
    main()
