"""Commits what a stage made, so that a reader at any moment sees all or nothing of a parent.

Single commits are `tables.commit`; how much goes into one is decided by `local`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.commit import add_children, complete, remove_left_over, replace_children
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import Table

_MARK_LENGTH = 8


@dataclass
class Writer:
    """Writes the rows of one stage over one partition.

    Rows of side tables come first and lie beside the old ones, since their keys end in what they
    were made from. One commit of the stage's own table then replaces the rows of the parents whole,
    and makes those of the side tables count. What no longer counts is swept away at last.

    `made_from` holds the planned fingerprint of each parent, `attempts` how often those were tried
    that failed.
    """

    stage: Stage
    partition: Partition
    run_id: str
    made_from: Mapping[str, str]
    attempts: Mapping[str, int]
    rows_written: Counter[str] = field(default_factory=Counter)

    def commit(self, batch: Sequence[Made]) -> list[Made]:
        """Write the batch; returns what was written. Parents that are made of something else by
        now, since another run has changed their own parents, are left out."""
        current = self._still_current(batch)
        for table in self.stage.side_tables:
            self.rows_written[table.name] += add_children(
                self.stage.lake, table, self._rows(table, current)
            )
        complete_ones = [made for made in current if made.is_complete]
        if complete_ones:
            table = self.stage.table
            parents = sorted({made.parent_id for made in complete_ones})
            rows = self._rows(table, complete_ones)
            self.rows_written[table.name] += replace_children(self.stage.lake, table, parents, rows)
            self._remove_of_failed(rows)
        return current

    def sweep(self) -> None:
        """Remove the rows of side tables that no longer count, or that a killed run left and that
        nobody will complete."""
        if not self.stage.side_tables:
            return
        # Read first: another run may be about to complete what it has begun since.
        begun = set(self.stage.fingerprints(self.partition).values())
        made = self.stage.lake.read(self.stage.table, self.partition, ["clip_id", "fingerprint"])
        live = set(made.iter_rows())
        for table in self.stage.side_tables:
            remove_left_over(self.stage.lake, table, self.partition, live, spared=begun)

    def _remove_of_failed(self, rows: Sequence[dict[str, Any]]) -> None:
        """A parent that is tried again is made from the same as before: a sweep can't tell what
        it made then from what another run is making now."""
        tried_again = [row for row in rows if row[self.stage.table.parent] in self.attempts]
        if tried_again:
            parents = {row[self.stage.table.parent] for row in tried_again}
            live = {(row["clip_id"], row["fingerprint"]) for row in tried_again}
            for table in self.stage.side_tables:
                remove_left_over(self.stage.lake, table, self.partition, live, parents=parents)

    def _still_current(self, batch: Sequence[Made]) -> list[Made]:
        now = self.stage.fingerprints(self.partition)
        return [made for made in batch if now.get(made.parent_id) == self.made_from[made.parent_id]]

    def _rows(self, table: Table, batch: Sequence[Made]) -> list[dict[str, Any]]:
        rows = [
            complete(
                row,
                fingerprint=self.made_from[made.parent_id],
                stage_version=self.stage.version,
                run_id=self.run_id,
                attempts=self.attempts.get(made.parent_id, 0) + 1,
            )
            for made in batch
            for row in made.rows.get(table.name, ())
        ]
        if table is not self.stage.table:
            for row in rows:
                row[table.key] += f"-{row['fingerprint'][:_MARK_LENGTH]}"
        return rows
