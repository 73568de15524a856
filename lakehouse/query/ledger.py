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


def status(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The ledger by day and camera, in seconds."""
    return connection.sql(_STATUS).pl()


def rejections(connection: duckdb.DuckDBPyConnection, day: date | None = None) -> pl.DataFrame:
    """Rejected seconds by day, camera and reason; a clip counts under each of its reasons. Of one
    day, if it is given."""
    if day is None:
        return connection.sql(_REASONS.format(where="")).pl()
    return connection.sql(_REASONS.format(where="WHERE day = ?"), params=[day]).pl()
