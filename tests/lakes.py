"""Small real lakes for tests: films of a few seconds, a folder as their bucket, the whole chain.

Films are encoded once a session. What a test needs beyond a lake of its own stands in the test.
"""

import io
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
import duckdb
import numpy as np
import polars as pl

from lakehouse.engine.local import StageReport, run_stage
from lakehouse.engine.retry import Retry
from lakehouse.query.tables import all_tables
from lakehouse.query.views import connect
from lakehouse.settings import Settings, load_settings
from lakehouse.stages.chain import chain
from lakehouse.stages.stage import Made, Stage
from lakehouse.storage.address import open_bucket
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.local import LocalBucket
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import DAILY_REPORTS, FRAMES, RUNS, Table

PARTITION = Partition(date(2026, 1, 2), "rex-front")
FRAME_RATE = 10
_WIDTH, _HEIGHT, _BLOCK_PX = 160, 128, 16

PLACES = {
    "yard": (1, 90, 255),
    "hall": (2, 0, 150),
    "shed": (3, 170, 255),
    "cellar": (4, 0, 12),
}
"""What a shot shows: seed, darkest and brightest level of its blocks. Nothing is lit in the
cellar; the others are bright, sharp and moving, so that they pass."""

LENIENT = {"max_darkness": 1.0, "min_texture": 0.0}
"""Thresholds by which even the cellar passes."""

_CLIPS = {
    "min_clip_s": 1.0,
    "max_clip_s": 4.0,
    "frames_per_clip": 2,
    "sample_interval_s": 0.2,
}


@cache
def film(*shots: tuple[str, float]) -> bytes:
    """An H.264 MP4 of these shots: each a place, moving, for so many seconds."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "g": str(FRAME_RATE)}
        )
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for place, seconds in shots:
            picture = _picture(place)
            for number in range(round(seconds * FRAME_RATE)):
                shown = np.roll(picture, 3 * number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _picture(place: str) -> np.ndarray:
    seed, darkest, brightest = PLACES[place]
    shape = (_HEIGHT // _BLOCK_PX, _WIDTH // _BLOCK_PX, 3)
    blocks = np.random.default_rng(seed).integers(darkest, brightest + 1, shape, np.uint8)
    return blocks.repeat(_BLOCK_PX, axis=0).repeat(_BLOCK_PX, axis=1)


class ShutBucket(LocalBucket):
    """A bucket that can be listed, and fails the test that reads from it."""

    def open(self, key: str) -> BinaryIO:
        raise AssertionError(f"{key} is read again")


@dataclass(frozen=True)
class Site:
    """A folder with a bucket and a lake, and the settings that name them."""

    settings: Settings

    @property
    def bucket(self) -> Bucket:
        return open_bucket(self.settings.bucket, self.settings.s3)

    @property
    def lake(self) -> Lake:
        """The lake with all its tables."""
        lake = open_lake(self.settings)
        lake.bootstrap(all_tables(self.settings))
        return lake

    def changed(self, **settings: Any) -> "Site":
        """The same bucket and lake under other settings; groups are merged into today's."""
        merged = {
            name: {**getattr(self.settings, name).model_dump(), **value}
            if name in ("clips", "thresholds")
            else value
            for name, value in settings.items()
        }
        return Site(self.settings.model_copy(update=_validated(merged)))

    def put(self, name: str, data: bytes, partition: Partition = PARTITION) -> str:
        """Lay a file into the bucket; returns its key."""
        key = key_of(name, partition)
        self.bucket.put(key, data)
        return key

    def remove(self, name: str) -> None:
        (Path(self.settings.bucket) / key_of(name)).unlink()

    def stages(self, bucket: Bucket | None = None) -> tuple[Stage, ...]:
        """The whole chain, over another bucket if one is given."""
        return chain(self.settings, bucket or self.bucket, self.lake)

    def run(
        self,
        partition: Partition = PARTITION,
        *,
        retry: Retry | None = None,
        on_made: Callable[[Stage, Made], None] | None = None,
        stages: Sequence[Stage] | None = None,
    ) -> dict[str, StageReport]:
        """The whole chain, or these stages, over a partition; what each did, by its name."""
        return {
            stage.name: run_stage(
                stage,
                partition,
                "a-run",
                retry=retry,
                max_attempts=self.settings.limits.attempts,
                on_made=(lambda made, stage=stage: on_made(stage, made)) if on_made else None,
            )
            for stage in (self.stages() if stages is None else stages)
        }

    def rows(self, table: Table, *columns: str, where: str = "") -> list[dict[str, Any]]:
        """Rows of a table in the order of its key; all columns if none is named."""
        wanted = tuple(dict.fromkeys(columns)) or table.schema.names
        frame = self.lake.read(table, None, wanted, where)
        return (frame.sort(table.key) if table.key in frame.columns else frame).to_dicts()

    def sql(self, query: str) -> pl.DataFrame:
        with self.connect() as connection:
            return connection.sql(query).pl()

    def connect(self) -> duckdb.DuckDBPyConnection:
        return connect(self.lake, self.settings)

    def versions(self) -> dict[str, int]:
        """The version of every table: none is raised without a commit."""
        return {table.name: self.lake.dataset(table).version for table in self.tables()}

    def contents(self) -> dict[str, set[tuple[str, str]]]:
        """Keys and content hashes of every table; frames by what they are of, not made from."""
        return {
            table.name: {
                (
                    row[table.key].rpartition("-")[0] if table is FRAMES else row[table.key],
                    row["content_hash"],
                )
                for row in self.rows(table, table.key, "content_hash")
            }
            for table in self.tables()
        }

    def tables(self) -> list[Table]:
        """The tables of what was made of footage."""
        of_runs_and_days = (RUNS, DAILY_REPORTS)
        return [table for table in all_tables(self.settings) if table not in of_runs_and_days]

    def row_versions(self, table: Table) -> dict[str, int]:
        """For each key, the version of the table in which its row was last written."""
        written = "_row_last_updated_at_version"
        rows = self.lake.dataset(table).scanner(columns=[table.key, written]).to_table()
        return {row[table.key]: row[written] for row in rows.to_pylist()}

    def copied_to(self, folder: Path) -> "Site":
        """A copy to change. Its footage keeps its etags, being the same files."""
        shutil.copytree(self.settings.bucket, folder / "bucket", copy_function=os.link)
        shutil.copytree(self.settings.lake, folder / "lake")
        return self.changed(bucket=str(folder / "bucket"), lake=str(folder / "lake"))


def site(folder: Path, **settings: Any) -> Site:
    """An empty bucket and a lake without tables in this folder, with clips of a second or more."""
    (folder / "bucket").mkdir(parents=True)
    clips = {**_CLIPS, **settings.pop("clips", {})}
    return Site(
        load_settings(
            bucket=str(folder / "bucket"),
            lake=str(folder / "lake"),
            clips=clips,
            workers=2,
            settle_s=settings.pop("settle_s", 0.0),
            **settings,
        )
    )


def at_once(count: int, work: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Run `work(barrier, number, *arguments)` in so many processes; returns their exit codes.

    Work waits for the barrier once it has imported what it needs, so that all start together.
    """
    spawn = multiprocessing.get_context("spawn")  # Lance does not survive a fork
    barrier = spawn.Barrier(count)
    processes = [
        spawn.Process(target=work, args=(barrier, number, *arguments)) for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def key_of(name: str, partition: Partition = PARTITION) -> str:
    robot, camera = partition.camera.split("-")
    return f"{robot}/{camera}/{partition.day}/{name}"


def _validated(settings: dict[str, Any]) -> dict[str, Any]:
    loaded = load_settings(**settings)
    return {name: getattr(loaded, name) for name in settings}
