"""What does `kill -9` cost an ingest? Nothing may be lost, doubled or different.

`lakehouse ingest` runs over a bucket of small recordings, and all its processes are killed at a
random moment: one time in ten before its first commit, else within as long after it as an
undisturbed run takes for as much work as is left. It is started again until it gets to its end;
then every row is compared with those of a run that nothing disturbed. The next runs find objects
replaced, or an empty lake. All the while a reader in a process of its own looks through the views.

Without `--s3`, bucket and lakes are folders, and it is counted which recordings a killed run had
opened to decode them and not committed: they are all that it repeats.
"""

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks import lakes_compared, small_bucket
from benchmarks.lakes_compared import Contents, Difference
from benchmarks.place import WORKERS, Command, Place, kill, place
from benchmarks.undisturbed import Undisturbed, undisturbed_runs
from benchmarks.watcher import Object, Watched, Watcher, what_is_complete
from lakehouse.query.tables import all_tables
from lakehouse.settings import Settings
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.lake import TableMissingError, open_lake
from lakehouse.tables.schemas import CLIPS, RECORDINGS, RUNS

_FAILURES_TOLD = 3
_LEAST_LEFT = 0.1
_LOOK_EVERY_S = 0.1
_SHARE_BEFORE_COMMITS = 0.1


@dataclass
class Kills:
    """What came of all kills so far."""

    kills: int = 0
    last_ended: Counter[str] = field(default_factory=Counter)
    """Kills by the stage that the killed run had last brought to its end."""
    repeated: Counter[int] = field(default_factory=Counter)
    """Kills by how many recordings they made to be decoded again."""
    doubled: int = 0
    """Rows that had the key of another after a kill."""
    compared: int = 0
    """Lakes that were complete, and compared."""
    differing: list[list[Difference]] = field(default_factory=list)
    last: list[Difference] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What runs said that failed by themselves."""
    watched: Watched = field(default_factory=Watched)

    @property
    def hold(self) -> bool:
        """Whether everything is as it must be."""
        bad = self.doubled or self.differing or self.failures or self.watched.violations
        return not bad and max(self.repeated, default=0) <= WORKERS and self.watched.polls > 0


def main() -> None:
    """Kill, compare, print; exit code 1 if anything does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--recordings", type=int, default=44)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--s3", action="store_true", help="bucket and lakes on S3")
    parser.add_argument("--endpoint", help="of S3; without it, a server is started")
    asked = parser.parse_args()
    started = time.monotonic()
    with place(on_s3=asked.s3, endpoint=asked.endpoint) as here:
        found = kill_over_and_over(here, asked.kills, asked.recordings, asked.seed)
    print(report(found))
    print(f"  {(time.monotonic() - started) / 60:.1f} minutes in all")
    sys.exit(not found.hold)


def kill_over_and_over(here: Place, kills: int, recordings: int, seed: int) -> Kills:
    """So many kills of ingests of so many recordings."""
    made = here.folder / "objects"
    small_bucket.make(made, recordings)
    undisturbed = undisturbed_runs(here, made)
    found = Kills()
    moments = random.Random(seed)
    watcher = Watcher(what_is_complete([run.seen for run in undisturbed.values()]))
    with watcher:
        for number in range(kills):
            settings = here.with_lake(f"killed-{number}")
            watcher.watch(settings)
            # Each lake begins with the version that the one before ended with.
            for version in small_bucket.VERSIONS[:: -1 if number % 2 else 1]:
                small_bucket.lay(made / version, here.settings)
                _until_complete(here, settings, undisturbed[version], kills, moments, found)
            if found.kills >= kills:
                break
            if number:
                here.remove(here.with_lake(f"killed-{number - 1}"))
    found.watched = watcher.watched
    return found


def report(found: Kills) -> str:
    """The figures, for people."""
    by_stage = ", ".join(f"{stage} {count}" for stage, count in found.last_ended.most_common())
    repeated = ", ".join(f"{many}: {count}" for many, count in sorted(found.repeated.items()))
    lines = [
        f"{found.kills} kills; by the last stage that the run had ended: {by_stage}",
        f"  recordings decoded again after a kill, and kills: {repeated or 'not counted on S3'}",
        f"  {found.compared} complete lakes compared with undisturbed ones, {len(found.differing)} "
        f"differ; {found.doubled} doubled rows after kills; {len(found.failures)} runs failed",
        *found.failures[:_FAILURES_TOLD],
        *(lakes_compared.table_of(of) for of in found.differing[:_FAILURES_TOLD] or [found.last]),
        f"  {found.watched}",
    ]
    return "\n".join(lines)


def _until_complete(
    here: Place,
    settings: Settings,
    undisturbed: Undisturbed,
    kills: int,
    moments: random.Random,
    found: Kills,
) -> None:
    """Ingest and kill until a run comes to its end, and compare what it leaves."""
    all_objects = undisturbed.seen.objects
    while True:
        (probed, done), ended = _progress(settings), _ended_stages(settings)
        left = max(_LEAST_LEFT, 1 - len(done & all_objects) / len(all_objects))
        command = here.start(settings, "ingest")
        if found.kills < kills:
            _wait_for_moment(settings, command, undisturbed, left, moments)
        if found.kills < kills and command.poll() is None:
            kill(command)
            found.kills += 1
            newly_ended = _ended_stages(settings) - ended
            found.last_ended[max(newly_ended)[1] if newly_ended else "none"] += 1
            if here.is_local:
                committed = _progress(settings)[1] - done
                found.repeated[len(_decoded(here, all_objects, probed) - committed)] += 1
            found.doubled += lakes_compared.all_doubled(_contents(settings))
            continue
        failed = command.wait()
        if here.is_local:
            here.opened()
        if not failed:
            break
        found.failures.append(here.said())
        if len(found.failures) >= _FAILURES_TOLD:
            raise RuntimeError("runs fail by themselves:\n" + "\n".join(found.failures))
    found.last = lakes_compared.differences(lakes_compared.contents(settings), undisturbed.contents)
    found.compared += 1
    if not all(of.is_none for of in found.last):
        found.differing.append(found.last)
    print(f"{found.kills} kills, {found.compared} lakes complete", file=sys.stderr, flush=True)


def _wait_for_moment(
    settings: Settings,
    command: Command,
    undisturbed: Undisturbed,
    left: float,
    moments: random.Random,
) -> None:
    """Until a random moment of the run, or its end; `left` is the share of the work that it has."""
    if moments.random() < _SHARE_BEFORE_COMMITS:
        delay_s = moments.random() * undisturbed.first_commit_s
    else:
        before = _versions(settings)
        while _versions(settings) == before and command.poll() is None:
            time.sleep(_LOOK_EVERY_S)
        delay_s = moments.random() * left * (undisturbed.end_s - undisturbed.first_commit_s)
    with suppress(subprocess.TimeoutExpired):
        command.wait(delay_s)


def _versions(settings: Settings) -> dict[str, int]:
    """The version of every table; none while no row of any is there."""
    lake = open_lake(settings)
    try:
        if not lake.dataset(RECORDINGS).count_rows():
            return {}
        return {table.name: lake.dataset(table).version for table in all_tables(settings)}
    except TableMissingError:
        return {}


def _progress(settings: Settings) -> tuple[set[Object], set[Object]]:
    """The objects that were probed, and those whose clips are committed."""
    lake = open_lake(settings)
    columns = ["recording_id", "etag"]
    try:
        probed, cut = (lake.read(table, None, columns) for table in (RECORDINGS, CLIPS))
    except TableMissingError:
        return set(), set()
    return {Object(*row) for row in probed.iter_rows()}, {Object(*row) for row in cut.iter_rows()}


def _decoded(here: Place, objects: frozenset[Object], probed: set[Object]) -> set[Object]:
    """The objects of a folder that a run opened to decode them, and not only to probe them, which
    it does once with those that were not `probed` before."""
    opened = {recording_id(key): count for key, count in here.opened().items()}
    return {of for of in objects if opened.get(of.recording_id, 0) > (of not in probed)}


def _contents(settings: Settings) -> Contents:
    try:
        return lakes_compared.contents(settings)
    except TableMissingError:
        return {}


def _ended_stages(settings: Settings) -> set[tuple[datetime, str]]:
    """When each stage of each run and partition started that came to its end, and its family."""
    columns = ["started_at", "stage"]
    try:
        rows = open_lake(settings).read(RUNS, None, columns).iter_rows()
    except TableMissingError:
        return set()
    return {(started_at, stage.split(":")[0]) for started_at, stage in rows}


if __name__ == "__main__":
    main()
