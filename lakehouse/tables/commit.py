"""Writing rows: one idempotent merge that replaces the children of some parents whole.

A commit is all or nothing, so a killed run leaves no parent half done, and the same commit twice
is the same table.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from lakehouse.tables.fingerprint import fingerprint as hash_of
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import Table

Row = Mapping[str, Any]

_RETRIES = 20
_RETRY_FOR = timedelta(seconds=60)


def complete(row: Row, *, fingerprint: str, stage_version: str, run_id: str) -> dict[str, Any]:
    """The row with its provenance: what it was made from, by which version, and its own hash."""
    return {
        **row,
        "fingerprint": fingerprint,
        "stage_version": stage_version,
        "content_hash": hash_of(dict(row)),
        "run_id": run_id,
    }


def replace_children(lake: Lake, table: Table, parents: Sequence[str], rows: Iterable[Row]) -> int:
    """Make `rows`, provenance included, all the rows that these parents have; returns how many."""
    batch = pa.Table.from_pylist(list(rows), schema=table.schema)
    if batch.num_rows == 0:
        remove_children(lake, table, parents)
        return 0
    (
        lake.dataset(table)
        .merge_insert(table.key)
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .when_not_matched_by_source_delete(_among(table.parent, parents))
        # An index on the key would let concurrent merges insert it twice, silently.
        .use_index(False)
        .conflict_retries(_RETRIES)
        .retry_timeout(_RETRY_FOR)
        .execute(batch)
    )
    return batch.num_rows


def add_children(lake: Lake, table: Table, rows: Iterable[Row]) -> int:
    """Add more rows of parents whose rows were replaced before; returns how many."""
    batch = pa.Table.from_pylist(list(rows), schema=table.schema)
    if batch.num_rows:
        (
            lake.dataset(table)
            .merge_insert(table.key)
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .use_index(False)
            .conflict_retries(_RETRIES)
            .retry_timeout(_RETRY_FOR)
            .execute(batch)
        )
    return batch.num_rows


def remove_children(lake: Lake, table: Table, parents: Sequence[str]) -> None:
    """Remove all rows of these parents; no commit where there are none."""
    predicate = _among(table.parent, parents)
    dataset = lake.dataset(table)
    if parents and dataset.count_rows(filter=predicate):
        dataset.delete(predicate, conflict_retries=_RETRIES, retry_timeout=_RETRY_FOR)


def _among(column: str, values: Sequence[str]) -> str:
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({listed})"
