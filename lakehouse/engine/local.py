"""Runs one stage over one partition: plan, make, commit in batches, count.

Which work there is belongs to `tables.plan`, what the work is to the stages.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.errors import UserError
from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.commit import add_children, complete, remove_children, replace_children
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan, make_plan
from lakehouse.tables.schemas import Table

_COMMIT_ROWS = 512
_COMMIT_BYTES = 32 * 2**20
_COMMIT_AFTER_S = 30.0


@dataclass(frozen=True)
class StageReport:
    """What a run of a stage over a partition did.

    `rows_written` counts by table, `skipped` the parents that were current, `failed` those whose
    rows hold an error; `footage_s` is the footage that the rows are about.
    """

    stage: str
    rows_written: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    failed: int = 0
    removed: int = 0
    footage_s: float = 0.0
    wall_s: float = 0.0
    units: Mapping[str, float] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows written, of all tables."""
        return sum(self.rows_written.values())


def plan_stage(stage: Stage, partition: Partition) -> Plan:
    """Which parents of the partition need work. Reads keys and fingerprints only."""
    return make_plan(stage.parents(partition), stage.children(partition))


def run_stage(
    stage: Stage,
    lake: Lake,
    partition: Partition,
    run_id: str,
    *,
    retry_failed: bool = False,
    on_made: Callable[[Made], None] | None = None,
) -> StageReport:
    """Bring the stage's rows of the partition up to date; commits nothing if they are.

    A run that is killed keeps the commits made so far; a parent of which only some rows are
    written counts as new.
    `on_made` hears of every parent as soon as its rows are made.
    """
    started = time.monotonic()
    parents = stage.parents(partition)
    plan = make_plan(parents, stage.children(partition))
    work = plan.work(retry_failed=retry_failed)
    if plan.orphaned:
        for table in (*stage.side_tables, stage.table):
            remove_children(lake, table, plan.orphaned)
    made_from = dict(parents.select("parent_id", "fingerprint").iter_rows())
    failed = 0
    rows_written: Counter[str] = Counter()
    footage_s = 0.0
    units: Counter[str] = Counter()
    results = stage.make(partition, work) if work else iter(())
    writer = _Writer(stage, lake, made_from, run_id)
    for batch in _batches(_told(results, on_made) if on_made else results):
        rows_written += writer.commit(batch)
        for made in batch:
            failed += made.error is not None
            footage_s += made.footage_s
            units.update(made.units)
    return StageReport(
        stage=stage.name,
        rows_written=rows_written,
        skipped=len(plan.current) + (0 if retry_failed else len(plan.failed)),
        failed=failed,
        removed=len(plan.orphaned),
        footage_s=footage_s,
        wall_s=time.monotonic() - started,
        units=units,
    )


@dataclass
class _Writer:
    """Commits what a stage made; remembers the parents of which only some rows are written."""

    stage: Stage
    lake: Lake
    made_from: Mapping[str, str]
    run_id: str
    begun: set[str] = field(default_factory=set)

    def commit(self, batch: Sequence[Made]) -> Counter[str]:
        """One commit a table, the stage's own last: a parent found in it has all of its rows."""
        written: Counter[str] = Counter()
        # Without its old rows in the stage's own table, a parent that is left half written is new.
        in_parts = {made.parent_id for made in batch if not made.is_complete} - self.begun
        remove_children(self.lake, self.stage.table, sorted(in_parts))
        for table in self.stage.side_tables:
            parents = {made.parent_id for made in batch} - self.begun
            rows = self._rows(table, [made for made in batch if made.parent_id in parents])
            written[table.name] = replace_children(self.lake, table, sorted(parents), rows)
            more = self._rows(table, [made for made in batch if made.parent_id in self.begun])
            written[table.name] += add_children(self.lake, table, more)
        complete_ones = [made for made in batch if made.is_complete]
        if complete_ones:
            parents = {made.parent_id for made in complete_ones}
            rows = self._rows(self.stage.table, complete_ones)
            written[self.stage.table.name] = replace_children(
                self.lake, self.stage.table, sorted(parents), rows
            )
        self.begun |= {made.parent_id for made in batch}
        return written

    def _rows(self, table: Table, batch: Sequence[Made]) -> list[dict[str, Any]]:
        return [
            complete(
                row,
                fingerprint=self.made_from[made.parent_id],
                stage_version=self.stage.version,
                run_id=self.run_id,
            )
            for made in batch
            for row in made.rows.get(table.name, ())
        ]


def _told(results: Iterator[Made], on_made: Callable[[Made], None]) -> Iterator[Made]:
    for made in results:
        if made.is_complete:
            on_made(made)
        yield made


def _batches(results: Iterator[Made]) -> Iterator[list[Made]]:
    """Groups large enough for a commit, and none older than `_COMMIT_AFTER_S`.

    What was made before a UserError is yielded before it is raised: a server that is gone must
    not cost what it answered.
    """
    batch: list[Made] = []
    rows = size_bytes = 0
    since = time.monotonic()
    try:
        for made in results:
            batch.append(made)
            rows += sum(len(of_table) for of_table in made.rows.values())
            size_bytes += sum(
                len(row.get("jpeg") or b"") for of_table in made.rows.values() for row in of_table
            )
            waited_s = time.monotonic() - since
            if rows >= _COMMIT_ROWS or size_bytes >= _COMMIT_BYTES or waited_s >= _COMMIT_AFTER_S:
                yield batch
                batch, rows, size_bytes, since = [], 0, 0, time.monotonic()
    except UserError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
