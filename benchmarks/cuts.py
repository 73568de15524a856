"""Are our cuts PySceneDetect's own, and what do they cost beside it?

Each file is read by PySceneDetect as its documentation shows (`open_video`, default detector) and
by our decode pass, which also measures signals and keeps frames. A cut agrees if it lies within
one frame. Files that PySceneDetect's default backend can't read are read with its PyAV backend.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scenedetect import ContentDetector, SceneManager, VideoOpenFailure, open_video

from benchmarks.footage import arguments, videos
from lakehouse.settings import ClipSettings
from lakehouse.video.one_pass import facts_of, run_one_pass
from lakehouse.video.probe import Probe, ProbeError, probe

_UNDIVIDED = ClipSettings(max_clip_s=1e6)


def main() -> None:
    """Compare file by file, then print totals."""
    totals = dict.fromkeys(
        ("files", "cuts", "agreeing", "extra", "ours_cpu_s", "theirs_cpu_s"), 0.0
    )
    with videos(arguments(__doc__ or "").footage) as files:
        for file in files:
            try:
                with file.open("rb") as source:
                    facts = probe(source)
            except ProbeError as error:
                print(f"{file.name}: left out, {error}")
                continue
            theirs, theirs_cpu_s = _timed(partial(_their_cuts, file))
            ours, ours_cpu_s = _timed(partial(_our_cuts, file, facts))
            slack_s = 1.01 / facts.frame_rate
            agreeing = sum(any(abs(a - b) <= slack_s for b in ours) for a in theirs)
            extra = sum(all(abs(a - b) > slack_s for b in theirs) for a in ours)
            print(
                f"{file.name}: {len(theirs)} cuts, {agreeing} agree, {extra} extra; "
                f"CPU {ours_cpu_s:.2f} s, PySceneDetect {theirs_cpu_s:.2f} s"
            )
            figures = (1, len(theirs), agreeing, extra, ours_cpu_s, theirs_cpu_s)
            for name, figure in zip(totals, figures, strict=True):
                totals[name] += figure
    ratio = totals["ours_cpu_s"] / totals["theirs_cpu_s"] if totals["theirs_cpu_s"] else None
    agreement = totals["agreeing"] / totals["cuts"] if totals["cuts"] else None
    print(json.dumps({**totals, "agreement": agreement, "cpu_ratio_to_pyscenedetect": ratio}))


def _their_cuts(file: Path) -> list[float]:
    try:
        cuts, frame_count = _detected(file, "opencv")
    except VideoOpenFailure:
        frame_count = 0
    return cuts if frame_count else _detected(file, "pyav")[0]


def _detected(file: Path, backend: str) -> tuple[list[float], int]:
    """PySceneDetect's cuts in seconds, and how many frames its backend could read."""
    manager = SceneManager()
    manager.add_detector(ContentDetector())
    video = open_video(str(file), backend=backend)
    manager.detect_scenes(video)
    return [start.seconds for start, _ in manager.get_scene_list()[1:]], video.frame_number


def _our_cuts(file: Path, found: Probe) -> list[float]:
    with file.open("rb") as source:
        result = run_one_pass(source, facts_of(found), _UNDIVIDED, threads=1)
    return [float((s.span.start_pts - found.start_pts) * found.time_base) for s in result.spans[1:]]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    return work(), time.process_time() - started


if __name__ == "__main__":
    main()
