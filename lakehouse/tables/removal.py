"""Removing what is only history: the rows of footage that is gone from the bucket.

Recordings are marked as gone by their stage, and hidden from then on; this makes them vanish.
"""

from collections.abc import Callable, Iterable

from lakehouse.tables.commit import remove_rows_of
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.schemas import RECORDINGS, Table

_AT_ONCE = 500
_GONE = "gone_since IS NOT NULL"


def remove_gone(lake: Lake, tables: Iterable[Table], is_absent: Callable[[str], bool]) -> int:
    """Remove all rows of recordings that are marked as gone; returns how many recordings.

    `is_absent` tells of a key whether really no object has it: a mark may be old, or come from a
    bucket that was not mounted. Their own rows go last, so that one that is killed is finished by
    the next.
    """
    marked = lake.read(RECORDINGS, None, ["recording_id", "key"], _GONE).sort("recording_id")
    ids = [recording_id for recording_id, key in marked.iter_rows() if is_absent(key)]
    of_footage = [
        table
        for table in tables
        if table is not RECORDINGS and "recording_id" in table.schema.names
    ]
    for start in range(0, len(ids), _AT_ONCE):
        where = f"{among('recording_id', ids[start : start + _AT_ONCE])} AND {_GONE}"
        still = lake.read(RECORDINGS, None, ["recording_id"], where).to_series().to_list()
        for table in (*of_footage, RECORDINGS):
            remove_rows_of(lake, table, still)
    return len(ids)
