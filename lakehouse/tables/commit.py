"""Writing rows: idempotent merges that replace the children of some parents whole.

A commit is all or nothing, so a killed run leaves no parent half done, and the same commit twice
is the same table. In which order tables are written, `engine.writer` decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Any

import pyarrow as pa

from lakehouse.tables.fingerprint import fingerprint as hash_of
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.schemas import IDENTITY, RECORDINGS, Table

Row = Mapping[str, Any]

_RETRIES = 20
_RETRY_FOR = timedelta(seconds=60)
_DELETED_AT_ONCE = 1000


def complete(
    row: Row, *, fingerprint: str, stage_version: str, run_id: str, attempts: int
) -> dict[str, Any]:
    """The row with its provenance: what it was made from, by which version, and its own hash,
    which a row that was copied has already."""
    content = {name: value for name, value in row.items() if name not in IDENTITY}
    return {
        **row,
        "fingerprint": fingerprint,
        "stage_version": stage_version,
        "content_hash": row.get("content_hash") or hash_of(content),
        "attempts": attempts,
        "run_id": run_id,
    }


def replace_children(lake: Lake, table: Table, parents: Sequence[str], rows: Iterable[Row]) -> int:
    """Make `rows`, provenance included, all the rows that these parents have, in one commit;
    returns how many."""
    batch = pa.Table.from_pylist(list(rows), schema=table.schema)
    if batch.num_rows == 0:
        remove_children(lake, table, parents)
        return 0
    others = among(table.parent, parents)
    lake.on(
        table,
        lambda dataset: (
            _merge(dataset, table).when_not_matched_by_source_delete(others).execute(batch)
        ),
    )
    return batch.num_rows


def add_children(lake: Lake, table: Table, rows: Iterable[Row]) -> int:
    """Add rows, or replace those of the same key; returns how many."""
    batch = pa.Table.from_pylist(list(rows), schema=table.schema)
    if batch.num_rows:
        lake.on(table, lambda dataset: _merge(dataset, table).execute(batch))
    return batch.num_rows


def remove_children(lake: Lake, table: Table, parents: Sequence[str]) -> None:
    """Remove all rows of these parents; no commit where there are none."""
    _delete(lake, table, among(table.parent, parents) if parents else "false")


def remove_rows_of(lake: Lake, table: Table, gone_recordings: Sequence[str]) -> None:
    """Remove all rows of these recordings; of those themselves only if they are still gone."""
    is_gone = " AND gone_since IS NOT NULL" if table is RECORDINGS else ""
    _delete(lake, table, among("recording_id", gone_recordings) + is_gone)


def remove_keys(lake: Lake, table: Table, keys: Sequence[str]) -> None:
    """Remove the rows of these keys; no commit where there are none."""
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        _delete(lake, table, among(table.key, keys[start : start + _DELETED_AT_ONCE]))


def mark_gone(lake: Lake, recordings: Sequence[str]) -> None:
    """Mark these recordings as no longer lying in the bucket. Their rows stay, in all tables."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
    mark = methodcaller(
        "update",
        {"gone_since": f"cast('{now}' as timestamp)"},
        where=f"{among('recording_id', recordings)} AND gone_since IS NULL",
        conflict_retries=_RETRIES,
        retry_timeout=_RETRY_FOR,
    )
    lake.on(RECORDINGS, mark)


def _merge(dataset: Any, table: Table) -> Any:
    return (
        dataset.merge_insert(table.key)
        .when_matched_update_all()
        .when_not_matched_insert_all()
        # An index on the key would let concurrent merges insert it twice, silently.
        .use_index(False)
        .conflict_retries(_RETRIES)
        .retry_timeout(_RETRY_FOR)
    )


def _delete(lake: Lake, table: Table, predicate: str) -> None:
    def delete(dataset: Any) -> None:
        if dataset.count_rows(filter=predicate):
            dataset.delete(predicate, conflict_retries=_RETRIES, retry_timeout=_RETRY_FOR)

    lake.on(table, delete)
