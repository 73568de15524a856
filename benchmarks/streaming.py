"""How soon a clip of two hours plays, and what it costs: `python -m benchmarks.streaming`.

Recordings of two hours, one for each container, lie in a folder and on an S3 server. `lakehouse
serve` is asked for a clip at the start, in the middle and at the end: once as the first thing after
its start (cold), then again, and for one beside it (warm). A relay before the S3 server counts
what it sends. Then 50 visitors come at once; what they are shown is compared with exported clips,
and their times with those of a plain server of static files that holds the same bytes.
Prints JSON, with the machine's load.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.long_recordings import CONTAINERS, make
from benchmarks.relay import Relay, relay
from benchmarks.undecoded import ingest
from benchmarks.visitors import Answer, Ask, visit_once, visits
from lakehouse.query.clip import export_clip
from lakehouse.settings import S3Settings, Settings, load_settings
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import open_lake
from lakehouse.tables.partition import Partition

_PARTITION = Partition(date(2026, 1, 2), "rex-front")
_KEY = "rex/front/2026-01-02/{}"
_COMMAND = "from assets.command_line.app import main; main()"
_STATIC = """
import sys, uvicorn
from starlette.staticfiles import StaticFiles
uvicorn.run(StaticFiles(directory=sys.argv[1]), port=0, log_level="info", access_log=False)
"""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_STARTED_S = 60.0
_PLACES = ("folder", "s3")


def main() -> None:
    """Measure all, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [container.name for container in CONTAINERS]
    parser.add_argument("--container", action="append", choices=names, help="all unless given")
    parser.add_argument("--place", action="append", choices=_PLACES, help="both unless given")
    parser.add_argument("--minutes", type=int, default=None, help="of recording, instead of 120")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where recordings are made, and kept")
    options = parser.parse_args()
    # Worker processes keep the environment that they were started in.
    from tests.s3_server import ACCESS_KEY, SECRET_KEY  # noqa: PLC0415, needs what the tests need

    os.environ.update(AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY)
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()}
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        for container in CONTAINERS:
            if container.name in (options.container or names):
                recording = (options.folder or folder) / container.name
                if not recording.exists():
                    make(recording, container, *([options.minutes] if options.minutes else []))
                report[container.name] = {
                    place: _measured(folder / place, place, recording, options.visitors)
                    for place in options.place or _PLACES
                }
                if not options.folder:
                    recording.unlink()
                print(json.dumps({container.name: report[container.name]}), file=sys.stderr)
    report["load_after"] = os.getloadavg()
    print(json.dumps(report, indent=2))


def _measured(folder: Path, place: str, recording: Path, visitors: int) -> dict[str, Any]:
    folder.mkdir()
    try:
        with _bucket(folder, place) as (settings, counted):
            key = _KEY.format(recording.name)
            if place == "folder":
                (folder / "bucket" / key).parent.mkdir(parents=True)
                os.link(recording, folder / "bucket" / key)
            else:
                with recording.open("rb") as file:
                    open_bucket(settings.bucket, settings.s3).put(key, file)
            clips = ingest(settings, _PARTITION)
            report: dict[str, Any] = {
                name: _one_clip(settings, counted, clips, number, folder)
                for name, number in (
                    ("start", 1),
                    ("middle", len(clips) // 2),
                    ("end", len(clips) - 2),
                )
            }
            report["at_once"] = _at_once(settings, clips, visitors, folder)
            return report
    finally:
        shutil.rmtree(folder)


@contextmanager
def _bucket(folder: Path, place: str) -> Iterator[tuple[Settings, Relay | None]]:
    """An empty bucket, and what counts the bytes that it sends."""
    lake = str(folder / "lake")
    if place == "folder":
        (folder / "bucket").mkdir()
        yield load_settings(bucket=str(folder / "bucket"), lake=lake, settle_s=0), None
        return
    from tests.s3_server import new_bucket, running  # noqa: PLC0415

    with running(folder, in_memory=True) as server, relay(server) as counted:
        s3 = S3Settings(endpoint=counted.endpoint)
        bucket = f"s3://{new_bucket(s3)}/footage"
        yield load_settings(bucket=bucket, lake=lake, s3=s3, settle_s=0), counted


def _one_clip(
    settings: Settings, counted: Relay | None, clips: Sequence[str], number: int, folder: Path
) -> dict[str, Any]:
    """Of one clip, as a server's first, again, and then of its neighbour."""
    right = _exported(settings, clips[number], folder)
    with _serving(settings, folder) as (address, process):
        asked = {"cold": clips[number], "again": clips[number], "beside": clips[number + 1]}
        report: dict[str, Any] = {"clip_bytes": len(right)}
        for name, clip in asked.items():
            before = counted.bytes_sent if counted else 0
            answer = visit_once(address, Ask("video", f"/clips/{clip}/video.mp4"))
            if name != "beside" and answer.body != right:
                raise RuntimeError(f"{clip} is not what `lakehouse clip` writes: {answer.status}")
            time.sleep(0.2)  # so that what is still on its way is counted, too
            report[name] = {
                "first_byte_ms": _ms(answer.first_byte_s),
                "total_ms": _ms(answer.total_s),
            }
            if counted:
                read = counted.bytes_sent - before
                report[name] |= {"bytes_read": read, "ratio": round(read / len(answer.body), 2)}
        report["most_memory_mb"] = _most_memory_mb(process.pid)
    return report


def _at_once(
    settings: Settings, clips: Sequence[str], visitors: int, folder: Path
) -> dict[str, Any]:
    """All visitors at once, each at a clip of its own, beside a server of static files."""
    shown = [clips[number * len(clips) // visitors] for number in range(visitors)]
    static = folder / "static"
    static.mkdir()
    for clip in shown:
        (static / f"{clip}.mp4").write_bytes(_exported(settings, clip, folder))
    half = {clip: (static / f"{clip}.mp4").stat().st_size // 2 for clip in shown}
    with _serving(settings, folder) as (address, process):
        asks = [_browsing(clip, half[clip]) for clip in shown]
        since = time.perf_counter()
        answers = [answer for of_one in visits(address, asks) for answer in of_one]
        wall_s = time.perf_counter() - since
        memory_mb = _most_memory_mb(process.pid)
    with _static(static, folder) as address:
        plain = [
            [Ask("video", f"/{clip}.mp4"), Ask("seek", f"/{clip}.mp4", f"{half[clip]}-")]
            for clip in shown
        ]
        of_static = [answer for of_one in visits(address, plain) for answer in of_one]
    report: dict[str, Any] = {
        "visitors": visitors,
        "requests": len(answers),
        "errors": sum(_is_wrong(answer, static) for answer in answers),
        "wall_s": round(wall_s, 2),
        "megabytes_a_s": round(sum(len(answer.body) for answer in answers) / wall_s / 1e6, 1),
        "most_memory_mb": memory_mb,
    }
    for kind in dict.fromkeys(answer.ask.kind for answer in answers):
        report[kind] = _times(answers, kind)
    for kind in ("video", "seek"):
        limit = _times(of_static, kind)
        report[kind]["static_p50_ms"] = limit["p50_ms"]
        report[kind]["ratio_to_static"] = round(report[kind]["p50_ms"] / limit["p50_ms"], 2)
    return report


def _browsing(clip: str, half: int) -> list[Ask]:
    return [
        Ask("search", "/"),
        Ask("clip", f"/clips/{clip}"),
        Ask("poster", f"/clips/{clip}/poster.jpg"),
        Ask("video", f"/clips/{clip}/video.mp4", "0-"),
        Ask("seek", f"/clips/{clip}/video.mp4", f"{half}-"),
    ]


def _is_wrong(answer: Answer, static: Path) -> bool:
    if answer.status not in {200, 206} or not answer.body:
        return True
    if answer.ask.kind not in {"video", "seek"}:
        return False
    right = (static / f"{answer.ask.path.split('/')[2]}.mp4").read_bytes()
    return answer.body != right[int(answer.ask.wanted.rstrip("-")) :]


def _times(answers: Sequence[Answer], kind: str) -> dict[str, float]:
    """To the first byte."""
    taken = [answer.first_byte_s for answer in answers if answer.ask.kind == kind]
    return {
        "p50_ms": _ms(statistics.median(taken)),
        "p95_ms": _ms(sorted(taken)[int(0.95 * (len(taken) - 1))]),
    }


def _exported(settings: Settings, clip: str, folder: Path) -> bytes:
    target = folder / "exported.mp4"
    export_clip(open_lake(settings), open_bucket(settings.bucket, settings.s3), clip, target)
    return target.read_bytes()


@contextmanager
def _serving(settings: Settings, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`lakehouse serve` in a process of its own, once it says that it can read the lake."""
    web = settings.web.model_copy(update={"cache_folder": folder / "cache"})
    shutil.rmtree(folder / "cache", ignore_errors=True)
    environment = {
        "LAKEHOUSE_BUCKET": settings.bucket,
        "LAKEHOUSE_LAKE": settings.lake,
        "LAKEHOUSE_S3": settings.s3.model_dump_json(exclude_defaults=True),
        "LAKEHOUSE_WEB": web.model_dump_json(exclude_defaults=True),
    }
    command = [sys.executable, "-c", _COMMAND, "serve", "--port", "0"]
    with _process(command, environment, folder) as (address, process):
        visit_once(address, Ask("health", "/healthz"))
        yield address, process


@contextmanager
def _static(files: Path, folder: Path) -> Iterator[str]:
    with _process([sys.executable, "-c", _STATIC, str(files)], {}, folder) as (address, _):
        yield address


@contextmanager
def _process(
    command: Sequence[str], environment: dict[str, str], folder: Path
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A running server, and its address, which it says."""
    said = folder / "said"
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _STARTED_S
        while not (found := _ADDRESS.search(said.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{said.read_text()}")
            time.sleep(0.02)
        yield found[0], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _most_memory_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


if __name__ == "__main__":
    main()
