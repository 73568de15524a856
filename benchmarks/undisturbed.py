"""What an ingest makes of the small bucket when nothing disturbs it, in each version: what every
other ingest must come to."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import lakes_compared, small_bucket
from benchmarks.lakes_compared import Contents
from benchmarks.place import Place
from benchmarks.watcher import Seen, look
from lakehouse.settings import Settings
from lakehouse.tables.lake import open_lake
from lakehouse.tables.schemas import RECORDINGS


@dataclass(frozen=True)
class Undisturbed:
    """A run into an empty lake: what it made, and how long it took from its start to its first
    commit and to its end."""

    contents: Contents
    seen: Seen
    first_commit_s: float
    end_s: float

    def __str__(self) -> str:
        rows = ", ".join(f"{table} {rows.total()}" for table, rows in self.contents.items())
        return (
            f"an undisturbed run takes {self.end_s:.1f} s, its first commit comes after "
            f"{self.first_commit_s:.1f} s; rows: {rows}"
        )


def undisturbed_runs(here: Place, objects: Path) -> Mapping[str, Undisturbed]:
    """By version, over the objects that `small_bucket.make` left in this folder."""
    runs = {name: _run(here, objects / name, name) for name in small_bucket.VERSIONS}
    for name, run in runs.items():
        print(f"{name}: {run}", flush=True)
    if here.is_local:
        here.opened()
    if not all(rows for run in runs.values() for rows in run.contents.values()):
        raise RuntimeError(
            "an undisturbed run leaves a table without rows: there is nothing to compare"
        )
    return runs


def _run(here: Place, version: Path, name: str) -> Undisturbed:
    settings = here.with_lake(f"undisturbed-{name}")
    small_bucket.lay(version, here.settings)
    since, started = time.time(), time.monotonic()
    here.run(settings, "ingest")
    end_s = time.monotonic() - started
    run = Undisturbed(
        contents=lakes_compared.contents(settings),
        seen=look(settings),
        first_commit_s=_first_commit(settings) - since,
        end_s=end_s,
    )
    here.remove(settings)
    return run


def _first_commit(settings: Settings) -> float:
    """When the first row was committed to the lake, as `time.time` counts."""
    dataset = open_lake(settings).dataset(RECORDINGS)
    return min(
        version["timestamp"].timestamp()
        for version in dataset.versions()
        if dataset.checkout_version(version["version"]).count_rows()
    )
