"""The views that SQL sees: one for each table, and the verdicts and the ledger over them.

They show the footage that lies in the bucket today: no row of an object that is gone (but for the
view `gone`), or of one that was replaced, or of a recording half made. Pictures and raw samples are
left out: they are for programs, through Lance. Running somebody's query is `sql`.
"""

from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.models.embedders.registry import describe as describe_embedder
from lakehouse.query.verdicts import verdicts_sql
from lakehouse.settings import Settings
from lakehouse.tables import schemas
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import Table

_HIDDEN = {
    "recordings": ("first_packet_hash", "gone_since"),
    "clips": ("samples", "frames_hash", "packets_hash"),
    "frames": ("jpeg",),
}
_TABLES = (
    schemas.RECORDINGS,
    schemas.CLIPS,
    schemas.FRAMES,
    schemas.SCORES,
    schemas.CAPTIONS,
    schemas.RUNS,
)
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
    SELECT r.recording_id, r.key, r.day, r.camera,
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
        SELECT clips.recording_id,
            sum(end_s - start_s) FILTER (status = 'kept') AS kept_s,
            sum(end_s - start_s) FILTER (status = 'too_short') AS too_short_s,
            sum(end_s - start_s) FILTER (status = 'failed') AS failed_s,
            sum(end_s - start_s) FILTER (passed) AS passed_s,
            sum(end_s - start_s) FILTER (NOT passed) AS rejected_s,
            max(end_s) AS end_s,
            count(*) AS clips,
            min(error) AS error
        FROM clips LEFT JOIN verdicts USING (clip_id)
        GROUP BY clips.recording_id
    ) c ON r.recording_id = c.recording_id
"""
"""Where every second of every recording went: kept + too_short + failed is its duration, which is
what its header says, or what was decoded where a header promises less. One without `clips` has not
been decoded yet."""


def connect(lake: Lake, settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection with all views, over the tables' versions of this moment.

    Raises UserError if the lake has no tables yet.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_progress_bar = false")  # it would be drawn into the output
    snapshot = _snapshot(lake)
    for table in _TABLES:
        connection.register(f"{table.name}_rows", snapshot[table.name])
        shown = [n for n in table.schema.names if n not in _HIDDEN.get(table.name, ())]
        connection.execute(
            f"CREATE TEMP VIEW {table.name} AS SELECT {', '.join(shown)} FROM {table.name}_rows "
            f"WHERE {_SHOWN.get(table.name, _OF_PRESENT)}"
        )
    connection.execute(_GONE)
    connection.execute(f"CREATE TEMP VIEW embeddings AS {_embeddings(connection, lake, settings)}")
    connection.execute(f"CREATE TEMP VIEW verdicts AS {verdicts_sql(settings.thresholds)}")
    connection.execute(f"CREATE TEMP VIEW ledger AS {LEDGER}")
    return connection


def _snapshot(lake: Lake) -> dict[str, Any]:
    """The tables as they were at one moment, so far as recordings and clips go: of a recording
    that is replaced while they are opened, frames must not come from before and clips from after.
    """
    for _ in range(_TRIES):
        opened = {table.name: lake.dataset(table) for table in _TABLES}
        before = [opened[name] for name in ("recordings", "clips")]
        if all(dataset.latest_version == dataset.version for dataset in before):
            break
    return opened


def embedding_tables(settings: Settings) -> dict[str, Table]:
    """The table of each configured embedder, by variant."""
    return {
        variant: schemas.embeddings(variant, describe_embedder(embedder).dimensions)
        for variant, embedder in settings.embedders.items()
    }


def all_tables(settings: Settings) -> tuple[Table, ...]:
    """Every table of the lake."""
    return (
        *_TABLES,
        *embedding_tables(settings).values(),
    )


def _embeddings(connection: duckdb.DuckDBPyConnection, lake: Lake, settings: Settings) -> str:
    """One query over the tables of all variants: vectors of any length, side by side."""
    queries = []
    tables = list(embedding_tables(settings).values()) or [schemas.embeddings("none", 1)]
    for number, table in enumerate(tables):
        name = f"embeddings_{number}_rows"
        rows = lake.dataset(table) if lake.exists(table) else pa.table(table.schema.empty_table())
        connection.register(name, rows)
        queries.append(
            f"SELECT * REPLACE (vector::FLOAT[] AS vector) FROM {name} WHERE {_OF_PRESENT}"
        )
    return " UNION ALL ".join(queries)
