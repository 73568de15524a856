"""What does our decode pass cost, beside a bare decode and beside the usual pipelines?

Every contender reads the same files in turn, round after round, and each round gives one ratio to
the bare decode of that round; medians are printed. CPU seconds count, children included, so that
threads and other loads on the machine matter little. `ffmpeg` contenders need that program.
"""

import json
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
from scenedetect import ContentDetector, detect

from benchmarks.footage import arguments, footage_of_1080p, videos
from lakehouse.settings import ClipSettings
from lakehouse.video.one_pass import facts_of, run_one_pass
from lakehouse.video.probe import ProbeError, probe
from lakehouse.video.signals import measure

_ROUNDS = 3
_FRAMES_A_CLIP = 8
_LONGEST_PX = 640

Contender = Callable[[Path], None]


def bare_decode(file: Path) -> None:
    """PyAV, one thread, nothing done with the frames."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for _ in container.decode(stream):
            pass


def one_pass(file: Path) -> None:
    """Ours: shots, signals and JPEG frames."""
    with file.open("rb") as source:
        run_one_pass(source, facts_of(probe(source)), ClipSettings(), threads=1)


def ffmpeg_null(file: Path) -> None:
    """The program, decoding to nothing on one thread."""
    _ffmpeg("-threads", "1", "-i", str(file), "-map", "0:v:0", "-f", "null", "-")


def pyscenedetect(file: Path) -> None:
    """PySceneDetect alone, as documented."""
    detect(str(file), ContentDetector())


def three_decodes(file: Path) -> None:
    """The usual pipeline: detect shots, copy each clip to a file, decode it for JPEG files, and
    read those for their scores."""
    with tempfile.TemporaryDirectory() as folder:
        shots = detect(str(file), ContentDetector(), start_in_scene=True)
        for number, (start, end) in enumerate(shots):
            clip = Path(folder) / f"{number}.mp4"
            span = ("-ss", f"{start.seconds}", "-to", f"{end.seconds}")
            _ffmpeg(*span, "-i", str(file), "-c", "copy", "-an", str(clip))
            rate = _FRAMES_A_CLIP / max(end.seconds - start.seconds, 0.1)
            scale = f"fps={rate},scale={_LONGEST_PX}:-2"
            _ffmpeg("-threads", "1", "-i", str(clip), "-vf", scale, f"{folder}/{number}-%03d.jpg")
        for jpeg in sorted(Path(folder).glob("*.jpg")):
            luma = cv2.imread(str(jpeg), cv2.IMREAD_GRAYSCALE)
            assert luma is not None, "ffmpeg wrote a JPEG"
            measure(luma, None)


def _ffmpeg(*options: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *options], check=True)


def main() -> None:
    """Run all contenders over all files, interleaved."""
    contenders: dict[str, Contender] = {
        "bare_decode": bare_decode,
        "one_pass": one_pass,
        "pyscenedetect": pyscenedetect,
    }
    if shutil.which("ffmpeg"):
        contenders |= {"ffmpeg_null": ffmpeg_null, "three_decodes": three_decodes}
    else:
        print("no ffmpeg program here: its contenders are left out")
    asked = arguments(__doc__ or "")
    figures: dict[str, dict[str, float]] = {}
    with videos(asked.footage, made_by=footage_of_1080p) as files:
        for file in files:
            seconds = _seconds(file)
            if seconds is not None:
                figures[file.name] = _compare(file, seconds, contenders)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"files": figures, "peak_memory_mb": round(peak_mb)}))


def _compare(file: Path, seconds: float, contenders: dict[str, Contender]) -> dict[str, float]:
    rounds = [{name: _cpu_s(run, file) for name, run in contenders.items()} for _ in range(_ROUNDS)]
    figures = {}
    for name in contenders:
        cpu_s = statistics.median(spent[name] for spent in rounds)
        ratio = statistics.median(spent[name] / spent["bare_decode"] for spent in rounds)
        a_minute = cpu_s / seconds * 60
        figures[f"{name}_cpu_s_per_minute"] = round(a_minute, 3)
        figures[f"{name}_to_bare_decode"] = round(ratio, 3)
        print(f"{file.name}: {name} {a_minute:.2f} CPU s a minute, x {ratio:.2f}", flush=True)
    return figures


def _seconds(file: Path) -> float | None:
    try:
        with file.open("rb") as source:
            return probe(source).duration_s
    except ProbeError as error:
        print(f"{file.name}: left out, {error}", flush=True)
        return None


def _cpu_s(run: Contender, file: Path) -> float:
    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    before = spent()
    run(file)
    return spent() - before


if __name__ == "__main__":
    main()
