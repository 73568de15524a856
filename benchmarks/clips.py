"""Are clips exact at both ends, are their samples the recording's own, and what do they cost?

Random spans of all MP4 and MOV files are cut by `cut_clip`, decoded and compared with the
recording's frames, and their samples with the recording's bytes. In turn with each, an `ffmpeg`
process copies the same span (`-ss -to -i -c copy`), both from and to files; its CPU counts with
what starting it takes.
"""

import hashlib
import json
import random
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from benchmarks.footage import command_line, sample_footage, videos
from lakehouse.video.cut import cut_clip
from lakehouse.video.mp4.boxes import NotSliceable
from lakehouse.video.mp4.slicer import slice_span

_LONGEST_S = 20


@dataclass(frozen=True)
class _Recording:
    """A file, and what of it a clip must repeat: frames as shown, and packets in hashes."""

    file: Path
    time_base: Fraction
    pts: list[int]
    pixels: list[str]
    packets: dict[str, list[str]]

    def bound(self, frame: int) -> int:
        """Where a frame begins; for the number of frames, where the last one ends."""
        return self.pts[frame] if frame < len(self.pts) else 2 * self.pts[-1] - self.pts[-2]


@dataclass(frozen=True)
class _Cut:
    """What one span came to."""

    exact: bool
    identical: bool
    sliced: bool
    clip_s: float
    bytes_copied: int
    ours_cpu_s: float
    ffmpeg_cpu_s: float


def main() -> None:
    """Cut file by file, then print totals."""
    parser = command_line(__doc__ or "")
    parser.add_argument("--clips", type=int, default=200, help="how many spans are cut in all")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        parser.error("there is no ffmpeg program to compare with; install it first")
    with videos(options.footage, sample_footage) as files, tempfile.TemporaryDirectory() as folder:
        recordings = list(filter(None, map(_read, files)))
        cuts: list[_Cut] = []
        for number, recording in enumerate(recordings):
            chooser = random.Random(recording.file.name)
            count = len(range(number, options.clips, len(recordings)))
            found = [_cut_one(recording, chooser, Path(folder)) for _ in range(count)]
            print(f"{recording.file.name}: {_totals(found)}", flush=True)
            cuts += found
    print(json.dumps({"files": len(recordings), **_totals(cuts)}))


def _read(file: Path) -> _Recording | None:
    """Every frame and packet of a file; none, and a line, for one without a moov or in pieces."""
    if file.suffix not in {".mp4", ".mov"}:
        return None
    try:
        with av.open(str(file), format="mov") as movie:
            time_base = movie.streams.video[0].time_base
            assert time_base is not None
        frames = _frames(file)
        if len(frames) < 2:
            raise ValueError("it shows no two frames")
        pts, pixels = map(list, zip(*frames, strict=True))
        return _Recording(file, time_base, pts, pixels, _packets(file))
    except (FFmpegError, IndexError, ValueError) as error:
        print(f"{file.name}: left out, {error}")
        return None


def _frames(file: Path) -> list[tuple[int, str]]:
    with av.open(str(file), format="mov") as movie:
        return [
            (frame.pts, hashlib.sha1(frame.to_ndarray().tobytes()).hexdigest())
            for frame in movie.decode(video=0)
            if frame.pts is not None
        ]


def _packets(file: Path) -> dict[str, list[str]]:
    """Hashes of the samples of the first video and audio stream."""
    found: dict[str, list[str]] = {}
    with av.open(str(file), format="mov") as movie:
        streams = [*movie.streams.video[:1], *movie.streams.audio[:1]]
        for packet in movie.demux(*streams):
            if packet.size:
                digest = hashlib.sha1(bytes(packet)).hexdigest()
                found.setdefault(packet.stream.type, []).append(digest)
    return found


def _cut_one(recording: _Recording, chooser: random.Random, folder: Path) -> _Cut:
    """A random span of up to 20 s, cut by both."""
    count = len(recording.pts)
    first = chooser.randrange(count)
    longest = int(_LONGEST_S / recording.time_base)
    last_pts = recording.pts[first] + chooser.randrange(longest)
    end = chooser.randrange(first, count)
    while recording.pts[end] > last_pts:
        end -= 1
    start_pts, end_pts = recording.bound(first), recording.bound(end + 1)
    ours, theirs = folder / "ours.mp4", folder / "theirs.mp4"
    ffmpeg_cpu_s = _ffmpeg(recording, start_pts, end_pts, theirs)
    started = time.process_time()
    with recording.file.open("rb") as source, ours.open("wb") as target:
        report = cut_clip(source, "mov", start_pts, end_pts, target)
    ours_cpu_s = time.process_time() - started
    expected = [
        (pts - start_pts, pixels)
        for pts, pixels in zip(recording.pts, recording.pixels, strict=True)
        if start_pts <= pts < end_pts
    ]
    return _Cut(
        exact=_frames(ours) == expected,
        identical=all(
            _contains(recording.packets[kind], part) for kind, part in _packets(ours).items()
        ),
        sliced=_is_sliced(recording.file, start_pts, end_pts),
        clip_s=float((end_pts - start_pts) * recording.time_base),
        bytes_copied=report.bytes_copied,
        ours_cpu_s=ours_cpu_s,
        ffmpeg_cpu_s=ffmpeg_cpu_s,
    )


def _ffmpeg(recording: _Recording, start_pts: int, end_pts: int, target: Path) -> float:
    """CPU seconds, user and system, of a process that copies the span."""
    start_s, end_s = (f"{float(pts * recording.time_base):.6f}" for pts in (start_pts, end_pts))
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-ss", start_s, "-to", end_s]
    command += ["-i", str(recording.file), "-c", "copy", str(target)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _contains(whole: list[str], part: list[str]) -> bool:
    """Whether all of the part stands in the whole, in its order."""
    rest = iter(whole)
    return all(digest in rest for digest in part)


def _is_sliced(file: Path, start_pts: int, end_pts: int) -> bool:
    try:
        with file.open("rb") as source:
            slice_span(source, start_pts, end_pts)
    except NotSliceable:
        return False
    return True


def _totals(cuts: list[_Cut]) -> dict[str, float]:
    ours, theirs = sum(cut.ours_cpu_s for cut in cuts), sum(cut.ffmpeg_cpu_s for cut in cuts)
    return {
        "clips": len(cuts),
        "exact": sum(cut.exact for cut in cuts),
        "identical": sum(cut.identical for cut in cuts),
        "sliced": sum(cut.sliced for cut in cuts),
        "clips_s": round(sum(cut.clip_s for cut in cuts), 1),
        "mbytes_copied": round(sum(cut.bytes_copied for cut in cuts) / 1e6, 1),
        "ours_cpu_s": round(ours, 4),
        "ffmpeg_cpu_s": round(theirs, 4),
        "ffmpeg_to_ours": round(theirs / ours, 1) if ours else 0.0,
    }


if __name__ == "__main__":
    main()
