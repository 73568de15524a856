"""The views that SQL sees, and the ledger over them."""

from pathlib import Path

import duckdb
import pytest

from lakehouse.errors import UserError
from lakehouse.query.ledger import open_accounts, rejections, status
from lakehouse.query.views import connect
from lakehouse.tables.lake import open_lake
from lakehouse.tables.schemas import CLIPS
from tests.lakes import PARTITION, Site, key_of, site
from tests.queried import ROOMS, TUESDAY, first_clip

VIEWS = {
    "recordings": "recording_id key day camera robot etag duration_s frame_count codec width "
    "height error",
    "clips": "clip_id recording_id day camera start_s end_s start_pts end_pts status error",
    "frames": "clip_id pts",
    "scores": "clip_id",
    "verdicts": "clip_id passed reasons",
    "captions": "clip_id variant text",
    "embeddings": "clip_id variant vector",
    "ledger": "recording_id day camera duration_s kept_s too_short_s failed_s passed_s rejected_s",
}


@pytest.mark.parametrize(("view", "columns"), VIEWS.items())
def test_a_view_has_the_columns_that_queries_rely_on(lake: Site, view: str, columns: str) -> None:
    rows = lake.sql(f"SELECT * FROM {view}")
    assert set(columns.split()) <= set(rows.columns)
    assert not rows.is_empty()


def test_pictures_and_raw_samples_are_not_for_sql(lake: Site) -> None:
    assert "jpeg" not in lake.sql("SELECT * FROM frames").columns
    assert "samples" not in lake.sql("SELECT * FROM clips").columns


def test_views_join(lake: Site) -> None:
    found = lake.sql(
        "SELECT key, count(*) AS captions FROM captions JOIN clips USING (clip_id) "
        "JOIN recordings ON recordings.recording_id = clips.recording_id "
        "WHERE captions.day = DATE '2026-01-02' AND captions.camera = 'rex-front' GROUP BY ALL"
    )
    assert found.rows() == [(key_of(ROOMS), 4)]


def test_an_embedder_that_never_ran_has_no_vectors_and_does_not_disturb(lake: Site) -> None:
    both = {"default": {"backend": "descriptor"}, "later": {"backend": "descriptor"}}
    settings = lake.changed(embedders=both).settings
    with connect(open_lake(settings), settings) as connection:
        found = connection.sql("SELECT DISTINCT variant FROM embeddings").fetchall()
    assert found == [("default",)]


def test_without_embedders_the_view_is_empty(lake: Site) -> None:
    nothing = lake.changed(embedders={}).sql("SELECT clip_id, variant, vector FROM embeddings")
    assert nothing.is_empty()


def test_a_lake_without_tables_says_what_to_do(tmp_path: Path) -> None:
    empty = site(tmp_path)
    with pytest.raises(UserError, match="lakehouse ingest"):
        connect(open_lake(empty.settings), empty.settings)


def test_a_recording_that_lost_a_clip_does_not_add_up(copy: Site) -> None:
    copy.lake.dataset(CLIPS).delete(f"clip_id = '{first_clip(copy)}'")
    with copy.connect() as connection:
        assert open_accounts(connection, PARTITION).get_column("key").to_list() == [key_of(ROOMS)]
        assert open_accounts(connection, TUESDAY).is_empty()


def test_the_status_adds_up_each_partition(connection: duckdb.DuckDBPyConnection) -> None:
    rows = {(row["day"], row["camera"]): row for row in status(connection).to_dicts()}
    first = rows[PARTITION.day, PARTITION.camera]
    assert (first["recordings"], first["errors"]) == (3, 1)
    assert [first[f"{part}_s"] for part in ("duration", "passed", "rejected")] == [7.0, 5.0, 2.0]
    assert len(rows) == 3


def test_rejected_seconds_are_told_by_reason(connection: duckdb.DuckDBPyConnection) -> None:
    assert rejections(connection).select("camera", "reason", "rejected_s").rows() == [
        ("rex-front", "dark", 2.0)
    ]
