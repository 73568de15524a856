"""Commits what a stage made, so that a reader at any moment sees all or nothing of a parent.

Single commits are `tables.commit`; how much goes into one is decided by `local`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.commit import add_children, complete, remove_keys, replace_children
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import Table

_MARK_LENGTH = 8
_MADE = ("clip_id", "fingerprint", "attempts")
"""Rows of a side table count beside the row of the stage's own table that has the same."""


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
        return current

    def sweep(self) -> None:
        """Remove the rows of side tables that no longer count, and those that a killed run left.

        Rows that another run has just written stay: those of parents that are not complete yet,
        or that are being tried once more than what is there.
        """
        for table in self.stage.side_tables:
            # Listed before what counts: what is added from here on is none of ours.
            listed = self._listed(table, table.key, table.parent, *_MADE)
            if not listed:
                continue
            current = self.stage.fingerprints(self.partition)
            rows = self._listed(self.stage.table, table.parent, *_MADE)
            live = {tuple(made) for _, *made in rows}
            tried: dict[tuple[str, str], int] = {}
            for parent_id, _, made_from, attempts in rows:
                tried[parent_id, made_from] = attempts
            left_over = [
                key
                for key, parent_id, *made in listed
                if tuple(made) not in live
                and not (
                    current.get(parent_id) == made[1]
                    and made[2] > tried.get((parent_id, made[1]), 0)
                )
            ]
            remove_keys(self.stage.lake, table, left_over)

    def _listed(self, table: Table, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of the partition's rows; a column may be named twice."""
        rows = self.stage.lake.read(table, self.partition, list(dict.fromkeys(columns)))
        return [tuple(row[name] for name in columns) for row in rows.iter_rows(named=True)]

    def _still_current(self, batch: Sequence[Made]) -> list[Made]:
        """Those whose parents are as planned, but for errors where another run had none."""
        now = self.stage.fingerprints(self.partition)
        current = [
            made for made in batch if now.get(made.parent_id) == self.made_from[made.parent_id]
        ]
        if all(made.error is None for made in current):
            return current
        children = self.stage.children(self.partition)
        whole = children.group_by("parent_id").agg(
            pl.col("fingerprint").unique(), pl.col("error").drop_nulls().len()
        )
        good = {
            parent_id: made_from for parent_id, made_from, errors in whole.iter_rows() if not errors
        }
        return [
            made
            for made in current
            if made.error is None or good.get(made.parent_id) != [now[made.parent_id]]
        ]

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
                if row["attempts"] > 1:
                    row[table.key] += f".{row['attempts']}"
        return rows
