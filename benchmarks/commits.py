"""What do thousands of small commits cost a table, and does maintenance take it all back?

`python -m benchmarks.commits --commits 3000`. Four tables of the same rows: written at once
(fresh), by so many commits (worn), the same then maintained, and one maintained every few commits
on the way. Then one more merge is timed on each in turn, a few dozen rounds, so that a busy
machine slows all alike. Exit code 1 if a merge after maintenance costs more than 1.5 times what
it costs on the fresh table, or if maintenance on the way doesn't bound the versions.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from lakehouse.settings import load_settings
from lakehouse.tables.commit import add_children, replace_children
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.schemas import CAPTIONS

_BOUND = 1.5
_NOTHING = timedelta(0)
_FIRST_DAY = date(2025, 1, 1)


@dataclass(frozen=True)
class Cost:
    """Of one merge."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Size:
    """Of a table: its fragments, and the manifests that say which files a version is made of."""

    fragments: int
    versions: int
    versions_mb: float

    def __str__(self) -> str:
        return (
            f"{self.fragments:5} fragments, {self.versions:5} versions, "
            f"_versions {self.versions_mb:8.3f} MB"
        )


def main() -> None:
    """Make the tables, time merges on them, print ratios to the fresh one."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        fresh, tended, worn = (_lake(folder / name) for name in ("fresh", "tended", "worn"))
        add_children(fresh, CAPTIONS, map(_row, range(asked.commits)))
        largest = _write_tended(tended, asked.commits, asked.every)
        _write_worn(worn, asked.commits)
        shutil.copytree(folder / "worn", folder / "maintained")
        maintained = _lake(folder / "maintained")
        with _told("maintenance of the worn table"):
            maintain(maintained, CAPTIONS, _NOTHING)
        maintain(tended, CAPTIONS, _NOTHING)
        lakes = {"fresh": fresh, "worn": worn, "maintained": maintained, "tended": tended}
        sizes = {name: _size(lake) for name, lake in lakes.items()}
        costs = _time_merges(lakes, asked.commits, asked.rounds)
    ratios = _tell(sizes, costs)
    bounded = largest <= 2 * asked.every + 10  # each commit one, and some of maintenance's own
    print(f"tended every {asked.every} commits: at most {largest} versions on the way")
    within = max(ratios["maintained"] + ratios["tended"]) <= _BOUND
    print(f"bound {_BOUND}: {'kept' if within and bounded else 'BROKEN'}")
    sys.exit(0 if within and bounded else 1)


def _write_worn(lake: Lake, commits: int) -> None:
    for number in range(commits):
        if number % max(1, commits // 6) == 0:
            print(f"worn after {number:5} commits: {_size(lake)}", flush=True)
        _merge(lake, number)
    print(f"worn after {commits:5} commits: {_size(lake)}", flush=True)


def _write_tended(lake: Lake, commits: int, every: int) -> int:
    """The greatest number of versions on the way."""
    largest = 0
    for number in range(commits):
        _merge(lake, number)
        if (number + 1) % every == 0:
            before = _size(lake)
            largest = max(largest, before.versions)
            report = maintain(lake, CAPTIONS, _NOTHING)
            print(
                f"tended after {number + 1:5} commits: {before} -> {_size(lake)} "
                f"in {report.wall_s:.2f} s",
                flush=True,
            )
    return largest


def _time_merges(lakes: Mapping[str, Lake], commits: int, rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in lakes}
    for turn in range(rounds):
        # In another order each time: whoever comes after the worn table finds colder caches.
        for name, lake in random.sample(sorted(lakes.items()), len(lakes)):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            _merge(lake, commits + turn)
            costs[name].append(Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s))
    return costs


def _tell(
    sizes: Mapping[str, Size], costs: Mapping[str, Sequence[Cost]]
) -> dict[str, tuple[float, float]]:
    """Prints sizes and costs; returns the ratios to the fresh table, by wall clock and by CPU."""
    ratios = {}
    for name, of in costs.items():
        pairs = list(zip(of, costs["fresh"], strict=True))
        ratios[name] = (
            median(mine.wall_s / fresh.wall_s for mine, fresh in pairs),
            median(mine.cpu_s / fresh.cpu_s for mine, fresh in pairs),
        )
        print(
            f"{name:10} {sizes[name]}; a merge {1e3 * median(c.wall_s for c in of):7.1f} ms, "
            f"{1e3 * median(c.cpu_s for c in of):7.1f} ms of CPU; to fresh "
            f"{ratios[name][0]:6.2f} by wall clock, {ratios[name][1]:6.2f} by CPU"
        )
    return ratios


def _merge(lake: Lake, number: int) -> None:
    row = _row(number)
    replace_children(lake, CAPTIONS, [row[CAPTIONS.parent]], [row])


def _row(number: int) -> dict[str, Any]:
    empty = {f.name: "" if f.type == pa.string() else 0 for f in CAPTIONS.schema if not f.nullable}
    return {
        **empty,
        "caption_id": f"{number:08}:default",
        "clip_id": f"{number:08}",
        "recording_id": f"{number // 10:07}",
        "day": _FIRST_DAY + timedelta(days=number // 100),
        "camera": f"rex-{number % 4}",
        "text": f"A robot dog walks along corridor {number % 97}, past door {number}.",
    }


def _lake(folder: Path) -> Lake:
    lake = open_lake(load_settings(lake=str(folder)))
    lake.bootstrap([CAPTIONS])
    return lake


def _size(lake: Lake) -> Size:
    manifests = list((Path(lake.uri(CAPTIONS)) / "_versions").glob("*.manifest"))
    return Size(
        fragments=len(lake.dataset(CAPTIONS).get_fragments()),
        versions=len(manifests),
        versions_mb=sum(manifest.stat().st_size for manifest in manifests) / 1e6,
    )


@contextmanager
def _told(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{what} took {time.perf_counter() - started:.2f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=3000)
    parser.add_argument("--every", type=int, default=250, help="commits between maintenances")
    parser.add_argument("--rounds", type=int, default=21, help="merges timed on each table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
