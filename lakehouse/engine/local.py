"""Runs one stage over one partition: plan, make, commit in batches, count.

Which work there is belongs to `tables.plan`, what the work is to the stages, and the order of
commits that lets no reader see half a parent, to `writer`.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakehouse.engine.ahead import ahead
from lakehouse.engine.retry import Retry, retried
from lakehouse.engine.writer import Writer
from lakehouse.errors import UserError
from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.commit import add_children
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan, make_plan
from lakehouse.tables.schemas import RUNS

_COMMIT_ROWS = 512
_COMMIT_BYTES = 32 * 2**20
_COMMIT_SHARE = 0.1
_COMMIT_AFTER_S = 30.0
_A_COMMIT_S = 0.1  # until one has been seen
_RESULTS_AHEAD = 128


@dataclass(frozen=True)
class StageReport:
    """What a run of a stage over a partition did.

    `plan` is what it found to do. `rows_written` counts by table; `failed` the parents whose rows
    hold an error, `reused` those whose rows were copied, `left` those that turned out to be others
    by now, and wait for the next run. `footage_s` is the footage that the rows are about.
    """

    stage: str
    plan: Plan
    rows_written: Mapping[str, int] = field(default_factory=dict)
    made: int = 0
    failed: int = 0
    reused: int = 0
    footage_s: float = 0.0
    wall_s: float = 0.0
    units: Mapping[str, float] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows written, of all tables."""
        return sum(self.rows_written.values())

    @property
    def removed(self) -> int:
        """Parents whose rows were removed, or marked as gone."""
        return len(self.plan.orphaned)

    @property
    def skipped(self) -> int:
        """Parents that needed nothing, or whose failure is not tried again."""
        return len(self.plan.current) + len(self.plan.failed) + len(self.plan.given_up)

    @property
    def left(self) -> int:
        """See the class."""
        return len(self.plan.work) - self.made


def plan_stage(
    stage: Stage,
    partition: Partition,
    *,
    retry: Retry | None = None,
    max_attempts: int = 1,
) -> Plan:
    """Which parents of the partition need work. Reads keys and fingerprints only."""
    chosen = retried(retry, stage, partition, max_attempts)
    # Children first: of those that another run makes meanwhile, the parents are seen too.
    children = stage.children(partition)
    return make_plan(stage.parents(partition), children, chosen, max_attempts)


def run_stage(
    stage: Stage,
    partition: Partition,
    run_id: str,
    *,
    retry: Retry | None = None,
    max_attempts: int = 1,
    on_made: Callable[[Made], None] | None = None,
    on_committed: Callable[[], None] | None = None,
) -> StageReport:
    """Bring the stage's rows of the partition up to date; commits nothing if they are.

    A run that is killed keeps the commits made so far; a parent of which only some rows are
    written counts as new. `on_made` hears of every parent as soon as its rows are made, and
    `on_committed` of every commit.
    """
    started, started_at = time.monotonic(), datetime.now(UTC).replace(tzinfo=None)
    # Children first: of those that another run makes meanwhile, the parents are seen too.
    children = stage.children(partition)
    parents = stage.parents(partition)
    chosen = retried(retry, stage, partition, max_attempts)
    plan = make_plan(parents, children, chosen, max_attempts)
    if plan.orphaned:
        stage.retire(plan.orphaned)
    work = set(plan.work)
    made_from = {
        parent_id: made_of
        for parent_id, made_of in parents.select("parent_id", "fingerprint").iter_rows()
        if parent_id in work
    }
    tried = children.filter(children["parent_id"].is_in(plan.retried)).select(
        "parent_id", "attempts"
    )
    writer = Writer(stage, partition, run_id, made_from, dict(tried.iter_rows()))
    made_count = failed = reused = 0
    footage_s = 0.0
    units: Counter[str] = Counter()
    with closing(_results(stage, partition, made_from)) as results:
        for batch in _batches(_told(results, on_made) if on_made else results, writer):
            for made in batch:
                made_count += made.is_complete
                failed += made.error is not None
                reused += made.reused
                footage_s += made.footage_s
                units.update(made.units)
            if on_committed:
                on_committed()
    writer.sweep()
    report = StageReport(
        stage=stage.name,
        plan=plan,
        rows_written=writer.rows_written,
        made=made_count,
        failed=failed,
        reused=reused,
        footage_s=footage_s,
        wall_s=time.monotonic() - started,
        units=units,
    )
    if not plan.is_empty:
        _record(report, stage, partition, run_id, started_at)
    return report


def _results(
    stage: Stage, partition: Partition, made_from: Mapping[str, str]
) -> Generator[Made, None, None]:
    """What the stage makes, so that it goes on while rows are committed. A stage whose parents are
    dear works ahead by itself, and its rows are large."""
    if made_from and stage.is_dear:
        yield from stage.make(partition, made_from)
    elif made_from:
        yield from ahead(stage.make(partition, made_from), _RESULTS_AHEAD)


def _record(
    report: StageReport,
    stage: Stage,
    partition: Partition,
    run_id: str,
    started_at: datetime,
) -> None:
    row = {
        "stage_run_id": f"{run_id}:{stage.name}:{partition}:{started_at.isoformat()}",
        "day": partition.day,
        "camera": partition.camera,
        "run_id": run_id,
        "stage": stage.name,
        "stage_version": stage.version,
        "started_at": started_at,
        "wall_s": report.wall_s,
        "made": report.made,
        "failed": report.failed,
        "reused": report.reused,
        "removed": report.removed,
        "rows_written": report.written,
        "footage_s": report.footage_s,
        "tokens": int(report.units.get("tokens", 0)),
        "model_s": report.units.get("model_s", 0.0),
        "tokens_saved": int(report.units.get("tokens_saved", 0)),
        "model_s_saved": report.units.get("model_s_saved", 0.0),
    }
    add_children(stage.lake, RUNS, [row])


def _told(results: Iterator[Made], on_made: Callable[[Made], None]) -> Iterator[Made]:
    for made in results:
        if made.is_complete:
            on_made(made)
        yield made


def _batches(results: Iterator[Made], writer: Writer) -> Iterator[list[Made]]:
    """What was made, in groups that have been committed.

    A group is large enough for a commit, or old enough that committing takes no more than a small
    share of the time; where parents are dear, each is committed once it is complete, so that a
    killed run has to do again only what was being made. What was made before a UserError is
    committed before it is raised: a server that is gone must not cost what it answered.
    """
    batch: list[Made] = []
    rows = size_bytes = 0
    since, commit_s = time.monotonic(), _A_COMMIT_S

    def committed() -> list[Made]:
        nonlocal since, commit_s, rows, size_bytes
        began = time.monotonic()
        done = writer.commit(batch)
        since, rows, size_bytes = time.monotonic(), 0, 0
        commit_s = since - began
        batch.clear()
        return done

    try:
        for made in results:
            batch.append(made)
            rows += sum(len(of_table) for of_table in made.rows.values())
            size_bytes += sum(
                len(row.get("jpeg") or b"") for of_table in made.rows.values() for row in of_table
            )
            waited_s = time.monotonic() - since
            is_due = writer.stage.is_dear or waited_s >= min(
                commit_s / _COMMIT_SHARE, _COMMIT_AFTER_S
            )
            if rows >= _COMMIT_ROWS or size_bytes >= _COMMIT_BYTES or (is_due and made.is_complete):
                yield committed()
    except UserError:
        if batch:
            yield committed()
        raise
    if batch:
        yield committed()
