"""The views that SQL sees: one for each table, and the verdicts and the ledger over them.

They show the footage that lies in the bucket today: no row of an object that is gone (but for the
view `gone`), or of one that was replaced, or of a recording half made. Pictures and raw samples are
left out: they are for programs, through Lance. Running somebody's query is `sql`.
"""

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.query.tables import (
    FIXED,
    caption_embedding_tables,
    embedding_tables,
    frame_embedding_tables,
    score_tables,
)
from lakehouse.query.verdicts import verdicts_sql
from lakehouse.settings import Settings
from lakehouse.tables import schemas
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import Table

_HIDDEN = {
    "recordings": ("first_packet_hash", "gone_since"),
    "clips": ("samples", "packets_hash"),
    "frames": ("jpeg",),
    "captions": ("frame_hashes",),
}
_TRIES = 5
_OF_PRESENT = """(recording_id, etag) IN (
    SELECT (recording_id, etag) FROM recordings_rows WHERE gone_since IS NULL)"""
_SHOWN = {
    "recordings": "gone_since IS NULL",
    # Frames are written before their clips, and count with them.
    "frames": f"""{_OF_PRESENT} AND (clip_id, fingerprint, attempts) IN (
        SELECT (clip_id, fingerprint, attempts) FROM clips_rows)""",
    "runs": "true",
}
_GONE = """CREATE TEMP VIEW gone AS SELECT recording_id, key, day, camera, duration_s, gone_since
    FROM recordings_rows WHERE gone_since IS NOT NULL"""

LEDGER = """
    SELECT recording_id, r.key, day, camera,
        greatest(coalesce(r.duration_s, 0), coalesce(c.end_s, 0)) AS duration_s,
        coalesce(c.kept_s, 0) AS kept_s,
        coalesce(c.too_short_s, 0) AS too_short_s,
        coalesce(c.failed_s, 0) AS failed_s,
        coalesce(c.passed_s, 0) AS passed_s,
        coalesce(c.rejected_s, 0) AS rejected_s,
        1 / r.frame_rate AS frame_s,
        coalesce(c.clips, 0) AS clips,
        coalesce(r.error, c.error) AS error
    FROM recordings r LEFT JOIN (
        SELECT recording_id, day, camera,
            sum(end_s - start_s) FILTER (status = 'kept') AS kept_s,
            sum(end_s - start_s) FILTER (status = 'too_short') AS too_short_s,
            sum(end_s - start_s) FILTER (status = 'failed') AS failed_s,
            sum(end_s - start_s) FILTER (passed) AS passed_s,
            sum(end_s - start_s) FILTER (NOT passed) AS rejected_s,
            max(end_s) AS end_s,
            count(*) AS clips,
            min(error) AS error
        FROM clips LEFT JOIN verdicts USING (clip_id, recording_id, day, camera)
        GROUP BY recording_id, day, camera
    ) c USING (recording_id, day, camera)
"""
"""Where every second of every recording went: kept + too_short + failed is its duration, which is
what its header says, or what was decoded where a header promises less. One without `clips` has not
been decoded yet. Days and cameras are joined too: who asks for one partition reads of others
no more than which rows count."""


def connect(lake: Lake, settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection with all views, over the tables' versions of this moment.

    Raises UserError if the lake has no tables yet.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_progress_bar = false")  # it would be drawn into the output
    snapshot = _snapshot(lake)
    for table in FIXED:
        connection.register(f"{table.name}_rows", snapshot[table.name])
        shown = [n for n in table.schema.names if n not in _HIDDEN.get(table.name, ())]
        query = (
            f"SELECT {', '.join(shown)} FROM {table.name}_rows "
            f"WHERE {_SHOWN.get(table.name, _OF_PRESENT)}"
        )
        if table is schemas.SCORES:
            query = _with_model_scores(connection, lake, query, score_tables(settings))
        connection.execute(f"CREATE TEMP VIEW {table.name} AS {query}")
    connection.execute(_GONE)
    _registered(connection, lake, schemas.DAILY_REPORTS)
    connection.execute(f"CREATE TEMP VIEW embeddings AS {_embeddings(connection, lake, settings)}")
    frames = list(frame_embedding_tables(settings).values())
    frame_vectors = _vectors(connection, lake, frames or [schemas.frame_embeddings("none", 1)])
    connection.execute(f"CREATE TEMP VIEW frame_embeddings AS {frame_vectors}")
    verdicts = verdicts_sql(settings.thresholds, settings.scorers)
    connection.execute(f"CREATE TEMP VIEW verdicts AS {verdicts}")
    connection.execute(f"CREATE TEMP VIEW ledger AS {LEDGER}")
    return connection


def _snapshot(lake: Lake) -> dict[str, Any]:
    """The tables as they were at one moment, so far as recordings and clips go: of a recording
    that is replaced while they are opened, frames must not come from before and clips from after.
    """
    for _ in range(_TRIES):
        opened = {table.name: lake.dataset(table) for table in FIXED}
        before = [opened[name] for name in ("recordings", "clips")]
        if all(dataset.latest_version == dataset.version for dataset in before):
            break
    return opened


def _with_model_scores(
    connection: duckdb.DuckDBPyConnection, lake: Lake, measured: str, tables: dict[str, Table]
) -> str:
    """What was measured, with two columns for each scorer: its score, and why there is none."""
    columns, joins = "", ""
    for scorer, table in tables.items():
        rows = _registered(connection, lake, table)
        columns += f", {rows}.score AS {scorer}, {rows}.error AS {scorer}_error"
        joins += f" LEFT JOIN {rows} ON {rows}.clip_id = m.clip_id AND {rows}.etag = m.etag"
    return f"SELECT m.*{columns} FROM ({measured}) m{joins}"


def _embeddings(connection: duckdb.DuckDBPyConnection, lake: Lake, settings: Settings) -> str:
    """One query over the vectors of all variants, of clips and of captions, of any length."""
    clips = list(embedding_tables(settings).values())
    captions = list(caption_embedding_tables(settings).values())
    of_clips = _vectors(connection, lake, clips or [schemas.embeddings("none", 1)])
    of_captions = _vectors(connection, lake, captions or [schemas.caption_embeddings("none", 1)])
    return f"{of_clips} UNION ALL BY NAME {of_captions}"


def _vectors(connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Iterable[Table]) -> str:
    return " UNION ALL BY NAME ".join(
        f"SELECT * REPLACE (vector::FLOAT[] AS vector) "
        f"FROM {_registered(connection, lake, table)} WHERE {_OF_PRESENT}"
        for table in tables
    )


def _registered(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table) -> str:
    """The name under which SQL finds the table's rows; none are there before its first run."""
    rows = lake.dataset(table) if lake.exists(table) else pa.table(table.schema.empty_table())
    connection.register(table.name, rows)
    return f'"{table.name}"'
