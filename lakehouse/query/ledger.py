"""Questions to the ledger: does a partition add up, and what became of its seconds."""

from datetime import date

import duckdb
import polars as pl

from lakehouse.tables.partition import Partition

_OPEN = """
    SELECT key, duration_s, kept_s, too_short_s, failed_s
    FROM ledger
    WHERE day = ? AND camera = ? AND clips > 0
        AND abs(duration_s - kept_s - too_short_s - failed_s) > coalesce(frame_s, 0) + 1e-6
    ORDER BY key
"""
_SPENT = """
    SELECT count(*) AS recordings, coalesce(sum(kept_s), 0) AS kept_s,
        coalesce(sum(too_short_s), 0) AS too_short_s, coalesce(sum(failed_s), 0) AS failed_s
    FROM ledger WHERE day = ? AND camera = ? AND clips > 0
"""
_STATUS = """
    SELECT l.day, l.camera, count(*) AS recordings, sum(l.duration_s) AS duration_s,
        sum(l.passed_s) AS passed_s, sum(l.rejected_s) AS rejected_s,
        sum(l.too_short_s) AS too_short_s, sum(l.failed_s) AS failed_s,
        count(l.error) AS errors
    FROM ledger l
    GROUP BY ALL ORDER BY ALL
"""
_REASONS = """
    SELECT day, camera, reason, sum(end_s - start_s) AS rejected_s
    FROM (SELECT clip_id, day, camera, unnest(reasons) AS reason FROM verdicts)
        JOIN clips USING (clip_id, day, camera)
    {where}
    GROUP BY ALL ORDER BY ALL
"""


def open_accounts(connection: duckdb.DuckDBPyConnection, partition: Partition) -> pl.DataFrame:
    """The recordings of a partition whose seconds do not add up to within one frame. Those that
    have not been decoded yet, since another run has just found them, are no part of it."""
    return connection.sql(_OPEN, params=[partition.day, partition.camera]).pl()


def spent(connection: duckdb.DuckDBPyConnection, partition: Partition) -> pl.DataFrame:
    """One row: the recordings of a partition that have been decoded, and what became of their
    seconds before any verdict."""
    return connection.sql(_SPENT, params=[partition.day, partition.camera]).pl()


def status(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The ledger by day and camera, in seconds."""
    return connection.sql(_STATUS).pl()


def rejections(
    connection: duckdb.DuckDBPyConnection, day: date | None = None, camera: str | None = None
) -> pl.DataFrame:
    """Rejected seconds by day, camera and reason; a clip counts under each of its reasons. Only of
    this day and this camera, where they are given."""
    asked = {name: of for name, of in (("day", day), ("camera", camera)) if of is not None}
    where = " AND ".join(f"{name} = ${name}" for name in asked)
    query = _REASONS.format(where=f"WHERE {where}" if where else "")
    return connection.sql(query, params=asked).pl()
