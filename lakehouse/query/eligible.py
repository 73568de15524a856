"""Which clips a search may find: those of its filters, looked up before anything is ranked.

A filter by day and camera reaches Lance as it is; all others are one SQL query over the views,
whose clips are kept by whoever asks again, while no table changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time

import duckdb
import polars as pl

from lakehouse.query.asked import Filters
from lakehouse.query.resident import places
from lakehouse.query.sandbox import check
from lakehouse.query.sql import bounded
from lakehouse.settings import QuerySettings
from lakehouse.tables.lake import among

_JOINED = ("clips", "recordings", "scores", "verdicts")
_SHOWN = "clip_id, etag, day, camera, key, start_s, end_s, start_time, hash(frames_hash) AS frames"

_PLAIN = (
    "clips.clip_id",
    "clips.etag",
    "clips.day",
    "clips.camera",
    "clips.start_s",
    "clips.end_s",
    "clips.frames_hash",
    "recordings.key",
    "recordings.robot",
    "recordings.start_time",
)


@dataclass(frozen=True)
class Eligible:
    """The clips that may be found, in the order of their ids: clip_id, etag, day, camera, key,
    start_s, end_s, start_time and frames, a number that is the same where all frames are.

    `predicate` is as much of the filter as Lance can be told, none for any row.
    """

    clips: pl.DataFrame
    predicate: str | None

    @property
    def by_ids(self) -> str:
        """The filter of exactly these clips."""
        ids = among("clip_id", self.clips.get_column("clip_id"))
        return f"({self.predicate}) AND {ids}" if self.predicate else ids

    def among(self, hits: pl.DataFrame) -> pl.DataFrame:
        """Those of the hits whose clips may be found, in their order."""
        at = places(self.clips.get_column("clip_id"), hits.get_column("clip_id"))
        hits = hits.filter(at >= 0)
        etags = self.clips.get_column("etag").gather(at[at >= 0])
        return hits.filter(hits.get_column("etag") == etags)


def eligible(
    connection: duckdb.DuckDBPyConnection, filters: Filters, limits: QuerySettings
) -> Eligible:
    """The clips of these filters, over the views of the connection.

    Raises UserError for a condition that isn't one, that reads more than views, or takes too long.
    """
    query = eligible_sql(connection, filters)
    with bounded(connection, limits):
        if filters.where:
            check(connection, query)
        clips = connection.sql(query).pl()
    return Eligible(clips.sort("clip_id"), partition_predicate(filters))


def eligible_sql(connection: duckdb.DuckDBPyConnection, filters: Filters) -> str:
    """The query that finds them, columns as in `Eligible`."""
    predicate = partition_predicate(filters)
    narrowed = f" WHERE {predicate}" if predicate else ""
    needed = _needed(filters)
    joins = f"(SELECT * FROM clips{narrowed}) clips"
    joins += f" JOIN (SELECT * FROM recordings{narrowed}) recordings USING (recording_id)"
    for view in ("scores", "verdicts"):
        if view in needed:
            joins += f" LEFT JOIN (SELECT * FROM {view}{narrowed}) {view} USING (clip_id)"
    # Of all columns only a condition may use any.
    columns = ", ".join(_columns(connection, needed) if filters.where else _PLAIN)
    if "verdicts" in needed and not filters.where:
        columns += ", verdicts.passed"
    # The line ends after the condition, so that a comment at its end hides nothing of ours.
    conditions = "\n AND ".join(f"({condition}\n)" for condition in _conditions(filters))
    return f"SELECT {_SHOWN} FROM (SELECT {columns} FROM {joins}) WHERE {conditions or 'true'}"


def partition_predicate(filters: Filters) -> str | None:
    """Days and cameras, as Lance and SQL both read it."""
    parts = []
    if filters.first_day is not None:
        parts.append(f"day >= date '{filters.first_day.isoformat()}'")
    if filters.last_day is not None:
        parts.append(f"day <= date '{filters.last_day.isoformat()}'")
    if filters.cameras:
        parts.append(among("camera", filters.cameras))
    return " AND ".join(parts) or None


def _needed(filters: Filters) -> tuple[str, ...]:
    if filters.where:
        return _JOINED
    return ("clips", "recordings") + (() if filters.verdict == "any" else ("verdicts",))


def _columns(connection: duckdb.DuckDBPyConnection, views: Iterable[str]) -> list[str]:
    """Each column once, of the first view that has it."""
    owner: dict[str, str] = {}
    for view in views:
        for name in connection.sql(f"SELECT * FROM {view} LIMIT 0").columns:
            owner.setdefault(name, view)
    return [f'{view}."{name}"' for name, view in owner.items()]


def _conditions(filters: Filters) -> Iterable[str]:
    if filters.verdict == "passed":
        yield "passed"
    elif filters.verdict == "rejected":
        yield "NOT passed"
    if filters.robot is not None:
        yield among("robot", [filters.robot])
    if filters.from_time is not None or filters.until_time is not None:
        yield time_of_day(filters.from_time or time.min, filters.until_time)
    if filters.where:
        yield filters.where


def time_of_day(first: time, until: time | None) -> str:
    """The condition of SQL that clips begin at these times of day, over columns of `clips` and
    `recordings`; from an evening until a morning is a night."""
    of_day = "(start_time + to_microseconds(CAST(start_s * 1e6 AS BIGINT)))::TIME"
    begun = f"{of_day} >= TIME '{first.isoformat()}'"
    if until is None:
        return begun
    ended = f"{of_day} < TIME '{until.isoformat()}'"
    return f"{begun} {'AND' if first < until else 'OR'} {ended}"
