"""What do ingests do to each other, and maintenance to them? Nothing may be lost, doubled or
different.

Several `lakehouse ingest` start at once, each with a Dagster instance of its own, as on machines of
their own, and over partitions that others of them ingest as well. `lakehouse maintain` runs over
and over beside them. In the middle of it, objects of the bucket are replaced. When all have ended,
one more ingest brings in what was replaced after its partition was listed, and every row is
compared with those of a run that nothing disturbed. All the while a reader in a process of its own
looks through the views.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from benchmarks import lakes_compared, small_bucket
from benchmarks.lakes_compared import Difference
from benchmarks.place import Place, place
from benchmarks.undisturbed import undisturbed_runs
from benchmarks.watcher import Watched, Watcher, what_is_complete
from lakehouse.settings import MaintenanceSettings, Settings
from lakehouse.tables.lake import TableMissingError, open_lake
from lakehouse.tables.schemas import CLIPS

_KEEP_VERSIONS_S = 60
_LOOK_EVERY_S = 0.2
_STOPPED = "clips_ledger_closes"  # the blocking check, in what an ingest says
_FAILURES_TOLD = 3
_CHOICES: tuple[tuple[str, ...], ...] = (
    (),
    ("--camera", "rex-front"),
    ("--day", "2026-01-02"),
    ("--camera", "bella-left"),
    ("--day", "2026-01-03"),
)
"""What the processes ingest in turn: all, a camera, a day."""


@dataclass
class Races:
    """What came of all rounds."""

    rounds: int = 0
    ingests: int = 0
    maintained: int = 0
    stopped: int = 0
    """Ingests that stopped since the ledger did not close: others were at work, and not done."""
    failures: list[str] = field(default_factory=list)
    """What ingests and maintenance said that failed for another reason."""
    differences: list[list[Difference]] = field(default_factory=list)
    watched: Watched = field(default_factory=Watched)

    @property
    def hold(self) -> bool:
        """Whether everything is as it must be."""
        same = all(of.is_none for differences in self.differences for of in differences)
        return same and not self.failures and not self.watched.violations and self.watched.polls > 0


def main() -> None:
    """Race, compare, print; exit code 1 if anything does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3, help="each with an empty lake")
    parser.add_argument("--recordings", type=int, default=44)
    parser.add_argument("--s3", action="store_true", help="bucket and lakes on S3")
    parser.add_argument("--endpoint", help="of S3; without it, a server is started")
    asked = parser.parse_args()
    started = time.monotonic()
    with place(on_s3=asked.s3, endpoint=asked.endpoint) as here:
        found = race(here, asked.processes, asked.rounds, asked.recordings)
    print(report(found))
    print(f"  {(time.monotonic() - started) / 60:.1f} minutes in all")
    sys.exit(not found.hold)


def race(here: Place, processes: int, rounds: int, recordings: int) -> Races:
    """So many rounds, each into an empty lake."""
    made = here.folder / "objects"
    small_bucket.make(made, recordings)
    undisturbed = undisturbed_runs(here, made)
    found = Races()
    watcher = Watcher(what_is_complete([run.seen for run in undisturbed.values()]))
    with watcher:
        for number in range(rounds):
            settings = here.with_lake(f"raced-{number}")
            versions = small_bucket.VERSIONS[:: -1 if number % 2 else 1]
            before, after = (made / version for version in versions)
            small_bucket.lay(before, here.settings)
            watcher.watch(settings)
            _round(here, settings, processes, after, found)
            here.run(settings, "ingest")
            expected = undisturbed[versions[-1]].contents
            found.differences.append(
                lakes_compared.differences(lakes_compared.contents(settings), expected)
            )
            found.rounds += 1
            if number:
                here.remove(here.with_lake(f"raced-{number - 1}"))
            print(f"{found.rounds} rounds", file=sys.stderr, flush=True)
    found.watched = watcher.watched
    return found


def report(found: Races) -> str:
    """The figures, for people."""
    differing = [of for of in found.differences if not all(each.is_none for each in of)]
    lines = [
        f"{found.rounds} rounds, {found.ingests} ingests beside {found.maintained} of maintenance",
        f"  {found.stopped} ingests stopped at a ledger that others were still writing, "
        f"{len(found.failures)} failed for another reason",
        *found.failures[:_FAILURES_TOLD],
        f"  {len(found.differences)} complete lakes compared with undisturbed ones, "
        f"{len(differing)} differ",
        *(lakes_compared.table_of(of) for of in differing or found.differences[-1:]),
        f"  {found.watched}",
    ]
    return "\n".join(lines)


def _round(here: Place, settings: Settings, processes: int, after: Path, found: Races) -> None:
    """All at once, and each twice; objects are replaced as soon as there are clips."""
    ended = Event()
    maintenance = Thread(target=_maintain, args=(here, settings, ended, found))
    ingests = [
        Thread(target=_ingest_twice, args=(here, settings, number, found))
        for number in range(processes)
    ]
    for thread in (maintenance, *ingests):
        thread.start()
    while not _has_clips(settings) and any(thread.is_alive() for thread in ingests):
        time.sleep(_LOOK_EVERY_S)
    small_bucket.lay(after, here.settings)
    for thread in ingests:
        thread.join()
    ended.set()
    maintenance.join()


def _ingest_twice(here: Place, settings: Settings, number: int, found: Races) -> None:
    for _ in range(2):
        _run(
            here, settings, ("ingest", *_CHOICES[number % len(_CHOICES)]), f"ingest-{number}", found
        )
        found.ingests += 1


def _maintain(here: Place, settings: Settings, ended: Event, found: Races) -> None:
    keep_versions = MaintenanceSettings(keep_versions_s=_KEEP_VERSIONS_S)
    settings = settings.model_copy(update={"maintenance": keep_versions})
    while not _has_clips(settings) and not ended.wait(_LOOK_EVERY_S):
        pass
    while not ended.is_set():
        _run(here, settings, ("maintain",), "maintenance", found)
        found.maintained += 1


def _run(
    here: Place, settings: Settings, arguments: tuple[str, ...], home: str, found: Races
) -> None:
    if not here.start(settings, *arguments, home=home).wait():
        return
    if _STOPPED in here.said(home):
        found.stopped += 1
    else:
        found.failures.append(f"{' '.join(arguments)}: {here.said(home)}")


def _has_clips(settings: Settings) -> bool:
    try:
        return open_lake(settings).dataset(CLIPS).count_rows() > 0
    except TableMissingError:
        return False


if __name__ == "__main__":
    main()
