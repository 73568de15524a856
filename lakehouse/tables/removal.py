"""Removing what is only history: the rows of footage that is gone from the bucket.

Recordings are marked as gone by their stage, and hidden from then on; this makes them vanish.
"""

from collections.abc import Iterable

from lakehouse.tables.commit import remove_rows_of
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import RECORDINGS, RUNS, Table

_AT_ONCE = 500


def remove_gone(lake: Lake, tables: Iterable[Table]) -> int:
    """Remove all rows of recordings that are marked as gone; returns how many recordings.

    Their own rows go last, so that one that is killed is finished by the next.
    """
    gone = lake.read(RECORDINGS, None, ["recording_id"], "gone_since IS NOT NULL")
    ids = gone.get_column("recording_id").sort().to_list()
    of_footage = [table for table in tables if table not in (RECORDINGS, RUNS)]
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        for table in (*of_footage, RECORDINGS):
            remove_rows_of(lake, table, some)
    return len(ids)
