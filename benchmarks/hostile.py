"""What becomes of a bucket full of broken and forged footage?

The files of a folder `broken`, if the footage has one, and mutations by seed of good videos of a
few seconds are ingested through all stages. Then it is counted whether each of them ended as rows
that add up, in its time, and what it cost in worker processes. How videos are damaged is
`mutations`.
"""

import argparse
import io
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from benchmarks.footage import command_line, videos
from benchmarks.mutations import mutations
from lakehouse.engine import workers
from lakehouse.engine.local import run_stage
from lakehouse.query.ledger import open_accounts
from lakehouse.query.tables import all_tables
from lakehouse.query.views import connect
from lakehouse.settings import Settings, load_settings
from lakehouse.stages.chain import chain
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, RECORDINGS
from lakehouse.video.probe import ProbeError, probe

_BROKEN = "broken"
_CAMERA = "hostile-front"
_FIRST_DAY = date(2026, 1, 1)
_FILES_A_PARTITION = 64
_SECONDS = 3.0
_CONTAINERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("mp4", {}),
    ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ("matroska", {}),
    ("mpegts", {}),
    ("avi", {}),
)
_CLOSE_S = 1e-6
_EXAMPLES = 15


class TaskLog(logging.Handler):
    """What the workers say of their tasks: how long they took, and why some were lost."""

    def __init__(self) -> None:
        super().__init__()
        self.nearest = (0.0, 1.0, "none")
        """Of the task that came nearest to its deadline: seconds, deadline, key."""
        self.lost: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `engine.workers`."""
        arguments: Any = record.args
        key = arguments[0].source.key
        if record.levelno == logging.INFO:
            self.lost.append(f"{key}: {arguments[1]}")
            return
        _, taken_s, deadline_s = arguments
        if taken_s / deadline_s > self.nearest[0] / self.nearest[1]:
            self.nearest = taken_s, deadline_s, key


def main() -> None:
    """Damage, ingest, check, print; exit code 1 if anything does not hold."""
    asked = _arguments()
    tasks = TaskLog()
    log = logging.getLogger(workers.__name__)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(tasks)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "bucket").mkdir()
        settings = load_settings(bucket=str(folder / "bucket"), lake=str(folder / "lake"))
        keys = _lay_out(asked, settings)
        lake = open_lake(settings)
        lake.bootstrap(all_tables(settings))
        wrong = [
            *_ingested(settings, lake, sorted(keys.values())),
            *_missing(lake, set(keys)),
            *_untiled(lake),
            *_unbalanced(settings, lake, sorted(set(keys.values()))),
        ]
        found = _found(lake)
    taken_s, deadline_s, key = tasks.nearest
    print(f"{len(keys)} files in {time.monotonic() - started:.0f} s, of which {found}")
    print(f"nearest to its deadline: {taken_s:.1f} of {deadline_s:.1f} s, {key}")
    print(f"{len(tasks.lost)} workers lost", *tasks.lost[:_EXAMPLES], sep="\n  ")
    print(f"{len(wrong)} things do not hold", *wrong[:_EXAMPLES], sep="\n  ")
    sys.exit(bool(wrong))


def _arguments() -> argparse.Namespace:
    parser = command_line(__doc__ or "")
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _lay_out(asked: argparse.Namespace, settings: Settings) -> dict[str, Partition]:
    """Fill the bucket; returns its keys and where each of them belongs."""
    keys = {}
    bucket = open_bucket(settings.bucket, settings.s3)
    with videos(asked.footage) as files:
        broken = [(path.name, path.read_bytes()) for path in _broken(files)]
        good = [video for path in files if path.parent.name != _BROKEN for video in _short(path)]
        for number, (name, data) in enumerate(
            [*broken, *mutations(good, asked.mutations, asked.seed)]
        ):
            day = _FIRST_DAY + timedelta(days=number // _FILES_A_PARTITION)
            key = f"{_CAMERA.replace('-', '/')}/{day.isoformat()}/{name}"
            bucket.put(key, data)
            keys[key] = Partition(day, _CAMERA)
    return keys


def _broken(files: Sequence[Path]) -> Iterator[Path]:
    """All files beside those videos of a folder `broken`, whatever their suffix."""
    for folder in sorted({path.parent for path in files if path.parent.name == _BROKEN}):
        yield from sorted(path for path in folder.iterdir() if path.is_file())


def _short(path: Path) -> Iterator[bytes]:
    """The first seconds of a video's pictures, in each container that may hold them."""
    for container, options in _CONTAINERS:
        target = io.BytesIO()
        try:
            with av.open(str(path)) as source, av.open(target, "w", container, options) as short:
                pictures = source.streams.video[0]
                stream = short.add_stream_from_template(pictures)
                for packet in source.demux(pictures):
                    if packet.dts is None or packet.time_base is None:
                        break
                    if packet.dts * packet.time_base > _SECONDS:
                        break
                    packet.stream = stream
                    short.mux(packet)
            probe(target)
        except (av.FFmpegError, ValueError, ProbeError):
            continue  # not every codec goes into every container
        yield target.getvalue()


def _ingested(settings: Settings, lake: Lake, partitions: Sequence[Partition]) -> Iterator[str]:
    """Runs all stages; yields what they raised."""
    bucket = open_bucket(settings.bucket, settings.s3)
    for partition in dict.fromkeys(partitions):
        for stage in chain(settings, bucket, lake):
            try:
                run_stage(stage, partition, "hostile")
            except Exception:
                yield f"{stage.name} of {partition}: {traceback.format_exc()}"


def _missing(lake: Lake, keys: set[str]) -> Iterator[str]:
    rows = Counter(lake.read(RECORDINGS, None, ["key"])["key"])
    for key in sorted(keys | rows.keys()):
        if rows[key] != (key in keys):
            yield f"{key} has {rows[key]} recordings"


def _untiled(lake: Lake) -> Iterator[str]:
    """Recordings whose clips leave a gap, overlap, or are missing."""
    columns = ["recording_id", "start_s", "end_s", "status", "error"]
    clips = lake.read(CLIPS, None, columns).sort("recording_id", "start_s")
    of_recording = clips.partition_by("recording_id", as_dict=True)
    for row in lake.read(RECORDINGS, None, ["recording_id", "key", "error"]).iter_rows(named=True):
        own = of_recording.get((row["recording_id"],))
        if own is None:
            yield f"{row['key']} has no clips"
            continue
        spans = list(own.select("start_s", "end_s").iter_rows())
        if spans[0][0] > _CLOSE_S or any(
            abs(after[0] - before[1]) > _CLOSE_S for before, after in pairwise(spans)
        ):
            yield f"{row['key']} has clips that do not tile it: {spans}"
        failed = own.filter(own["status"] == "failed")
        if failed["error"].null_count() or (row["error"] and failed.is_empty()):
            yield f"{row['key']} failed, and its clips do not say why"


def _unbalanced(settings: Settings, lake: Lake, partitions: Sequence[Partition]) -> Iterator[str]:
    with connect(lake, settings) as connection:
        for partition in partitions:
            for row in open_accounts(connection, partition).iter_rows(named=True):
                yield f"the ledger does not close: {row}"


def _found(lake: Lake) -> str:
    recordings = lake.read(RECORDINGS, None, ["error"])
    clips = lake.read(CLIPS, None, ["recording_id", "status"])
    unread = recordings["error"].count()
    damaged = clips.filter(clips["status"] == "failed")["recording_id"].n_unique() - unread
    return f"{unread} can't be read and {damaged} are damaged"


if __name__ == "__main__":
    main()
