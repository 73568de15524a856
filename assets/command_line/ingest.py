"""`lakehouse ingest`: every partition that has work, through Dagster."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from assets.command_line.console import err, progress
from assets.command_line.instance import dagster_home
from assets.command_line.options import CameraOption, DayOption, parse_camera, parse_day, within
from lakehouse.engine.retry import Retry
from lakehouse.engine.scan import Scan, scan, with_work
from lakehouse.query.clock import clock
from lakehouse.tables.partition import Partition

_RUNS_AGAIN = 2

if TYPE_CHECKING:
    from lakehouse.stages.stage import Made, Stage
    from resources.lakehouse import LakehouseResource


@dataclass
class Outcome:
    """What an ingest did; `failed` holds the partitions whose run failed, with the reason."""

    partitions: int = 0
    footage_s: float = 0.0
    errors: int = 0
    failed: dict[Partition, str] = field(default_factory=dict)
    tokens: int = 0
    tokens_saved: int = 0
    captions: int = 0
    captions_reused: int = 0

    def count(self, stage: "Stage", made: "Made") -> None:
        """One more parent whose rows were made."""
        if stage.name == "clips":
            self.footage_s += made.footage_s
        if stage.name.startswith("captions:"):
            self.captions += 1
            self.captions_reused += made.reused
        self.errors += made.error is not None
        self.tokens += int(made.units.get("tokens", 0))
        self.tokens_saved += int(made.units.get("tokens_saved", 0))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ingest)


def ingest(
    day: DayOption = None,
    camera: CameraOption = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also try again what failed before.")
    ] = False,
) -> None:
    """Materialize every partition that has work: new, changed or removed footage, or new settings.

    What that would be, `lakehouse plan` tells beforehand. Rows of removed footage are marked and
    hidden, or removed where the setting `removed_footage` says so. Broken footage is data: it
    becomes rows with errors, counted at the end. Exit code 1 if a run failed.
    """
    retry = Retry() if retry_failed else None
    outcome = run_ingest(parse_day(day), parse_camera(camera), retry)
    if outcome.failed:
        raise typer.Exit(1)


def run_ingest(day: date | None, camera: str | None, retry: Retry | None = None) -> Outcome:
    """Scan, plan, and run what has work. Raises UserError for wrong settings."""
    # Dagster takes seconds to import, and most commands never need it.
    from resources.lakehouse import LakehouseResource  # noqa: PLC0415

    dagster_home()
    lakehouse = LakehouseResource()
    with progress() as bar:
        task = bar.add_task(f"listing {lakehouse.settings.bucket}", total=None)
        found = _scan(lakehouse)
        first_day = lakehouse.settings.first_day
        held = {partition for partition in lakehouse.partitions() if partition.day >= first_day}
        partitions = found.partitions.keys() | held
        chosen = within(partitions, day, camera)
        bar.update(task, description="planning", total=len(chosen))
        work = list(
            with_work(
                _ticking(chosen, bar, task),
                lakehouse.stages(),
                retry=retry,
                max_attempts=lakehouse.settings.limits.attempts,
            )
        )
    _tell_listing(found, chosen, work)
    if work and not found.partitions:
        err.print(
            f"no footage lies in {lakehouse.settings.bucket}: all of the lake's is marked as gone; "
            "if it was only not mounted, the next run brings it back",
            style="yellow",
            markup=False,
        )
    outcome = _run(work, retry) if work else Outcome()
    if removed := lakehouse.remove_gone():
        err.print(f"{removed} recordings removed with all their rows", highlight=False)
    _report(work)
    _tell_outcome(outcome)
    return outcome


def _scan(lakehouse: "LakehouseResource") -> Scan:
    return scan(lakehouse.bucket.list(), lakehouse.pattern, lakehouse.settings.first_day)


def _ticking(partitions: Sequence[Partition], bar: Progress, task: object) -> Iterator[Partition]:
    for partition in partitions:
        yield partition
        bar.advance(task)  # type: ignore[arg-type]


def _tell_listing(found: Scan, chosen: Sequence[Partition], work: Sequence[Partition]) -> None:
    listed = [found.partitions[partition] for partition in chosen if partition in found.partitions]
    objects = sum(of.object_count for of in listed)
    err.print(
        f"{objects} recordings in {len(chosen)} partitions; "
        f"{len(work)} partitions have work, {len(chosen) - len(work)} are up to date",
        highlight=False,
    )
    if found.mismatch_count:
        err.print(f"{found.mismatch_count} keys belong to no partition; the first:", style="yellow")
        for mismatch in found.mismatches[:5]:
            err.print(f"  {mismatch.key}: {mismatch.reason}", markup=False, highlight=False)


def _run(work: Sequence[Partition], retry: Retry | None) -> Outcome:
    outcome = Outcome(partitions=len(work))
    with progress() as bar:
        task = bar.add_task("partitions", total=len(work))
        for partition in work:
            before, started = replace(outcome), time.monotonic()
            with _shown(bar, partition, outcome):
                problem = _run_until_done(partition, retry)
            if problem:
                outcome.failed[partition] = problem
                _require_reachable()
            footage_s = outcome.footage_s - before.footage_s
            bar.console.print(
                f"{partition}: failed, {problem}"
                if problem
                else f"{partition}: {footage_s:.1f} s of footage in "
                f"{time.monotonic() - started:.1f} s, {outcome.errors - before.errors} errors",
                style="red" if problem else "",
                markup=False,
                highlight=False,
            )
            bar.advance(task)
    return outcome


def _report(work: Sequence[Partition]) -> None:
    """Bring the reports of the days up to date. A report that fails fails no ingest: `lakehouse
    report` and the next one make it anew."""
    if not work:
        return
    from assets.command_line.runs import run_report  # noqa: PLC0415

    days = sorted({partition.day for partition in work})
    with progress() as bar:
        for day in bar.track(days, description="reports"):
            if problem := run_report(day):
                told = f"the report of {day} failed, {problem}"
                bar.console.print(told, style="yellow", markup=False, highlight=False)


def _require_reachable() -> None:
    """Raises UserError where bucket or lake are gone: the other partitions need not be tried."""
    from resources.lakehouse import LakehouseResource  # noqa: PLC0415

    lakehouse = LakehouseResource()
    next(lakehouse.bucket.list(), None)
    lakehouse.partitions()


def _run_until_done(partition: Partition, retry: Retry | None) -> str | None:
    """Run it, and again while its objects change under the run; returns why it failed."""
    from assets.command_line.runs import run_partition  # noqa: PLC0415
    from resources.lakehouse import LakehouseResource  # noqa: PLC0415

    problem = run_partition(partition, retry)
    for _ in range(_RUNS_AGAIN):
        if problem or not any(with_work([partition], LakehouseResource().stages())):
            break
        problem = run_partition(partition, None)
    return problem


@contextmanager
def _shown(bar: Progress, partition: Partition, outcome: Outcome) -> Iterator[None]:
    """Counts and shows what is made while the block runs."""
    from resources.lakehouse import heard_by  # noqa: PLC0415

    task = bar.add_task(str(partition), total=None)
    counting = threading.Lock()

    def listener(stage: "Stage", made: "Made") -> None:
        with counting:
            outcome.count(stage, made)
        bar.update(task, description=f"{partition} {stage.name}")
        bar.advance(task)

    try:
        with heard_by(listener):
            yield
    finally:
        bar.remove_task(task)


def _tell_outcome(outcome: Outcome) -> None:
    if outcome.tokens or outcome.tokens_saved:
        err.print(
            f"{outcome.captions_reused} of {outcome.captions} captions reused; "
            f"{outcome.tokens} tokens taken, {outcome.tokens_saved} saved",
            highlight=False,
        )
    done = outcome.partitions - len(outcome.failed)
    err.print(
        f"{done} partitions materialized, {clock(outcome.footage_s)} of footage decoded, "
        f"{outcome.errors} rows with errors, {len(outcome.failed)} runs failed",
        highlight=False,
    )
