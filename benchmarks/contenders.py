"""The contenders of the decode benchmark, each of which runs alone in a process of its own.

`python -m benchmarks.contenders NAME FILE` does one run and prints what it spent as JSON: only the
work counts, no imports. Decoding alone and our profiles get one thread, so that CPU seconds
compare; PySceneDetect and the usual pipeline are run as their documentation shows, with the threads
that they choose, and PySceneDetect once more on one thread; `split` gets four workers of one thread
each. Comparing belongs to `decode`.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import cv2
from scenedetect import ContentDetector, detect

from lakehouse.settings import ClipSettings, Profile
from lakehouse.video import signals
from lakehouse.video.one_pass import facts_of, stream_spans
from lakehouse.video.packets import Damage, Reading
from lakehouse.video.probe import probe
from lakehouse.video.segmenting import SampledSpan

_ENVIRONMENTS = {"pyscenedetect_one_thread": {"OPENCV_FFMPEG_THREADS": "1"}}


@dataclass(frozen=True)
class Rows:
    """What the tables would hold, small enough to compare: pictures and signals as digests, by
    pts; `spans` as start, end, boundary and state; `left_out` as the ranges of pts named there."""

    spans: list[tuple[int, int, str, str | None]]
    samples: dict[str, str]
    frames: dict[str, str]
    left_out: list[tuple[int, int]]
    frames_left_out: int
    packets_damaged: int


@dataclass(frozen=True)
class Run:
    """One run. Of ours also the rows, and the bytes that were read from the file."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    bytes_read: int | None
    rows: Rows | None


def run(name: str, file: Path) -> Run:
    """One run in a fresh process. Raises RuntimeError with the last that it said if it fails."""
    command = [sys.executable, "-m", "benchmarks.contenders", name, str(file)]
    environment = {**os.environ, **_ENVIRONMENTS.get(name, {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout.splitlines()[-1])
    rows = told.pop("rows")
    return Run(**told, rows=Rows(**rows) if rows else None)


def bare_decode(file: Path) -> None:
    """PyAV, nothing done with the frames."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for _ in container.decode(stream):
            pass


def ffmpeg_null(file: Path) -> None:
    """The program, decoding to nothing."""
    _ffmpeg("-threads", "1", "-i", str(file), "-map", "0:v:0", "-f", "null", "-")


def pyscenedetect(file: Path) -> None:
    """PySceneDetect alone, as documented."""
    detect(str(file), ContentDetector())


def three_decodes(file: Path) -> None:
    """The usual pipeline: detect shots, copy each clip to a file, decode it for JPEG files, and
    read those for their scores. As many pictures are measured as by ours, as large as they are."""
    sampled = f"fps={1 / ClipSettings().sample_interval_s}"
    with tempfile.TemporaryDirectory() as folder:
        shots = detect(str(file), ContentDetector(), start_in_scene=True)
        for number, (start, end) in enumerate(shots):
            clip = f"{folder}/{number}.mp4"
            span = ("-ss", f"{start.seconds}", "-to", f"{end.seconds}")
            _ffmpeg(*span, "-i", str(file), "-c", "copy", "-an", clip)
            _ffmpeg("-i", clip, "-vf", sampled, f"{folder}/{number}-%03d.jpg")
        for jpeg in sorted(Path(folder).glob("*.jpg")):
            luma = cv2.imread(str(jpeg), cv2.IMREAD_GRAYSCALE)
            assert luma is not None, "ffmpeg wrote a JPEG"
            signals.measure(cast(signals.Gray, luma))


def _ffmpeg(*options: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *options], check=True)


class _Counted(FileIO):
    """A file that counts the bytes read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def ours(file: Path, profile: Profile, workers: int = 1) -> tuple[Rows, int]:
    """Probe and decode pass, as ingest does them: shots, states, signals and JPEG frames, which
    are let go of as they come.

    Returns the bytes read, too.
    """
    opened: list[_Counted] = []

    def open_file() -> BinaryIO:
        opened.append(_Counted(file))
        return cast(BinaryIO, opened[-1])

    with open_file() as source:
        facts = facts_of(probe(source))
    reading = Reading()
    spans = stream_spans(open_file, facts, ClipSettings(), reading, profile, workers)
    rows = _rows(spans, reading.damage)
    return rows, sum(source.bytes_read for source in opened)


CONTENDERS: dict[str, Callable[[Path], tuple[Rows, int] | None]] = {
    "bare_decode": bare_decode,
    "ffmpeg_null": ffmpeg_null,
    "pyscenedetect": pyscenedetect,
    "pyscenedetect_one_thread": pyscenedetect,
    "three_decodes": three_decodes,
    "exact": partial(ours, profile="exact"),
    "split": partial(ours, profile="exact", workers=4),
    "thrifty": partial(ours, profile="thrifty"),
    "preview": partial(ours, profile="preview"),
}
NEED_FFMPEG = ("ffmpeg_null", "three_decodes")


def main() -> None:
    """One run of the named contender over the named file."""
    name, file = sys.argv[1:]
    cpu_s, wall_s = _cpu_s(), time.monotonic()
    result = CONTENDERS[name](Path(file))
    cpu_s, wall_s = _cpu_s() - cpu_s, time.monotonic() - wall_s
    rows, bytes_read = result or (None, None)
    print(json.dumps(asdict(Run(cpu_s, wall_s, _peak_mb(), bytes_read, rows))))


def _cpu_s() -> float:
    """Of this process and of the children that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _peak_mb() -> float:
    """Of this process or its largest child. Where /proc tells it, without what this process was
    before it became Python, which `getrusage` counts in."""
    children_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        own_kb = int(lines["VmHWM"].split()[0])
    else:
        own_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own_kb, children_kb) / 1024


def _rows(spans: Iterable[SampledSpan], damage: Damage) -> Rows:
    rows = Rows([], {}, {}, [], 0, 0)
    frames_left_out = 0
    for sampled in spans:
        span = sampled.span
        rows.spans.append((span.start_pts, span.end_pts, span.boundary, sampled.state))
        rows.samples.update({str(pts): _digest(measured) for pts, measured in sampled.samples})
        rows.frames.update({str(frame.pts): _digest(frame) for frame in sampled.frames})
        rows.left_out.extend(sampled.left_out)
        frames_left_out += sampled.frames_left_out
    return replace(rows, frames_left_out=frames_left_out, packets_damaged=damage.packets)


def _digest(row: Any) -> str:
    return hashlib.sha256(repr(row).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
