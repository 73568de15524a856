"""Reading the lake: views, SQL that only reads, verdicts, search, and a clip as a file."""

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import av
import cv2
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.query.clip import export_clip
from lakehouse.query.contact_sheet import contact_sheet
from lakehouse.query.ledger import open_accounts, rejections, status
from lakehouse.query.search import Filters, search
from lakehouse.query.sql import read_only
from lakehouse.query.verdicts import RULES, judge
from lakehouse.query.views import connect
from lakehouse.settings import Thresholds
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.lake import open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, SCORES
from tests.lakes import FRAME_RATE, LENIENT, PARTITION, Site, film, key_of, site

TUESDAY = Partition(date(2026, 1, 3), "rex-front")
REAR = Partition(PARTITION.day, "rex-rear")
ROOMS = "rooms.mp4"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three partitions: on the first day two clips that pass, a dark one, and no footage."""
    made = site(tmp_path_factory.mktemp("queries"))
    made.put(ROOMS, film(("yard", 3), ("hall", 2)))
    made.put("dark.mp4", film(("cellar", 2)))
    made.put("broken.mp4", b"not a film")
    made.put("tuesday.mp4", film(("hall", 2)), TUESDAY)
    made.put("rear.mp4", film(("yard", 2)), REAR)
    for partition in (PARTITION, TUESDAY, REAR):
        made.run(partition)
    return made


@pytest.fixture
def copy(lake: Site, tmp_path: Path) -> Site:
    return lake.copied_to(tmp_path)


@pytest.fixture
def connection(lake: Site) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake.connect() as connection:
        yield connection


def first_clip(site: Site, name: str = ROOMS) -> str:
    rows = site.rows(CLIPS, "clip_id", where=f"recording_id = '{recording_id(key_of(name))}'")
    return str(rows[0]["clip_id"])


# Views

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


# SQL that only reads


@pytest.mark.parametrize(
    "query",
    [
        "SELECT clip_id FROM clips",
        "WITH kept AS (SELECT * FROM clips WHERE status = 'kept') SELECT count(*) FROM kept",
        "FROM ledger",
        "DESCRIBE clips",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM clips",
        "SUMMARIZE scores",
        "SELECT * FROM recordings -- with a comment",
        "SELECT 1;",
    ],
)
def test_what_reads_is_answered(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    names, rows = read_only(connection, query)
    assert names
    assert rows
    assert all(len(row) == len(names) for row in rows)


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO clips SELECT * FROM clips",
        "UPDATE clips SET status = 'kept'",
        "DELETE FROM clips",
        "CREATE TABLE mine (a INTEGER)",
        "CREATE OR REPLACE TEMP VIEW clips AS SELECT 1",
        "DROP VIEW clips",
        "COPY clips TO 'clips.csv'",
        "EXPORT DATABASE 'everything'",
        "ATTACH 'other.db'",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW clips",
        "",
        "-- nothing",
    ],
)
def test_what_does_not_only_read_is_refused_in_one_line(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_parquet('https://example.org/a.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/passwd'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'copied.csv'",
        "SELECT * FROM a_frame_of_this_module",
    ],
)
def test_sql_reaches_no_file_no_network_and_no_variable(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


a_frame_of_this_module = pl.DataFrame({"secret": [1]})


@pytest.mark.parametrize(
    "query", ["SELEC 1", "SELECT nonsense FROM clips", "SELECT * FROM nowhere", "SELECT 'a'::INT"]
)
def test_what_the_database_refuses_is_told_in_one_line(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    refused_in_one_line(connection, query)


def refused_in_one_line(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(UserError) as refused:
        read_only(connection, query)
    assert str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_connection_answers_more_than_once(connection: duckdb.DuckDBPyConnection) -> None:
    for _ in range(2):
        assert read_only(connection, "SELECT count(*) FROM clips")[1] == [(6,)]


# Verdicts

THRESHOLDS = Thresholds(
    max_darkness=0.75,
    max_over_exposed=0.5,
    min_sharpness=0.25,
    max_noise=12.0,
    max_stillness=0.875,
    min_texture=6.0,
)
GOOD = {
    "darkness_p50": 0.2,
    "over_exposed_p50": 0.0,
    "sharpness_p50": 0.8,
    "noise_p50": 1.0,
    "stillness": 0.1,
    "texture_p50": 30.0,
}
EDGES = {
    "darkness_p50": 0.75,
    "over_exposed_p50": 0.5,
    "sharpness_p50": 0.25,
    "noise_p50": 12.0,
    "stillness": 0.875,
    "texture_p50": 6.0,
}
UNLIT = {"sharpness_p50": 0.0, "noise_p50": 50.0, "stillness": 1.0, "texture_p50": 0.0}


def reasons(**measured: float | None) -> list[str]:
    """Why a clip that measures like this does not pass."""
    row = {"clip_id": "c", "recording_id": "r", **PARTITION.__dict__, **GOOD, **measured}
    scores = pl.DataFrame(pa.Table.from_pylist([row], schema=SCORES.schema))
    (verdict,) = judge(scores, THRESHOLDS).to_dicts()
    assert verdict["passed"] == (not verdict["reasons"])
    return list(verdict["reasons"])


def test_a_good_clip_passes() -> None:
    assert reasons() == []


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("darkness_p50", 0.8, "dark"),
        ("over_exposed_p50", 0.6, "over_exposed"),
        ("sharpness_p50", 0.2, "blurred"),
        ("noise_p50", 12.5, "noisy"),
        ("stillness", 0.95, "still"),
        ("texture_p50", 5.5, "empty"),
    ],
)
def test_each_measurement_has_its_reason(column: str, value: float, reason: str) -> None:
    assert reasons(**{column: value}) == [reason]


@pytest.mark.parametrize(("column", "value"), EDGES.items())
def test_what_measures_just_the_threshold_passes(column: str, value: float) -> None:
    assert reasons(**{column: value}) == []


def test_all_reasons_are_told() -> None:
    assert reasons(sharpness_p50=0.0, noise_p50=20.0) == ["blurred", "noisy"]


@pytest.mark.parametrize(
    ("column", "reason"), [("darkness_p50", "dark"), ("over_exposed_p50", "over_exposed")]
)
def test_where_nothing_can_be_seen_that_is_the_only_reason(column: str, reason: str) -> None:
    assert reasons(**{column: 1.0}, **UNLIT) == [reason]


def test_a_clip_of_a_single_sample_is_judged_without_its_motion() -> None:
    assert reasons(stillness=None) == []
    assert reasons(stillness=None, sharpness_p50=0.0) == ["blurred"]


def test_a_clip_of_which_nothing_was_measured_does_not_pass() -> None:
    assert reasons(**dict.fromkeys(GOOD)) == ["unmeasured"]


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({name: st.none() | st.floats(0, 256, width=32) for name in GOOD}))
def test_every_measurement_has_a_verdict(measured: dict[str, float | None]) -> None:
    why = reasons(**measured)
    assert set(why) <= set(RULES)
    assert len(why) == len(set(why))
    if "dark" in why:
        assert set(why) <= {"dark", "over_exposed"}


def test_the_view_judges_as_the_stages_do(lake: Site) -> None:
    scores = lake.lake.read(SCORES, None, SCORES.schema.names)
    judged = judge(scores, lake.settings.thresholds).sort("clip_id")
    assert lake.sql("SELECT * FROM verdicts ORDER BY clip_id").equals(judged)


def test_a_changed_threshold_changes_the_view_at_once(lake: Site) -> None:
    dark = "SELECT count(*) FROM verdicts WHERE NOT passed"
    assert lake.sql(dark).item() == 1
    assert lake.changed(thresholds=LENIENT).sql(dark).item() == 0


# The ledger


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


# Search


def found(site: Site, text: str, limit: int = 10, **filters: Any) -> list[dict[str, Any]]:
    return search(site.lake, site.settings, text, Filters(**filters), limit).to_dicts()


def test_english_words_find_clips(lake: Site) -> None:
    hits = found(lake, "green")
    assert {hit["key"] for hit in hits} == {key_of(ROOMS), key_of("tuesday.mp4", TUESDAY)}
    assert all("green" in hit["text"] for hit in hits)


def test_chinese_words_find_clips(lake: Site) -> None:
    hits = found(lake, "画面")
    assert {hit["variant"] for hit in hits} == {"zh"}
    assert len(hits) == 4


def test_the_best_match_comes_first_and_each_clip_once(lake: Site) -> None:
    hits = found(lake, "green motion 画面")
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)
    assert len({hit["clip_id"] for hit in hits}) == len(hits)


def test_a_hit_says_where_its_clip_is(lake: Site) -> None:
    (hit,) = found(lake, "green", camera="rex-front", day=PARTITION.day)
    assert (hit["key"], hit["day"], hit["camera"]) == (key_of(ROOMS), PARTITION.day, "rex-front")
    assert (hit["start_s"], hit["end_s"]) == (3.0, 5.0)


def test_filters_narrow_a_search(lake: Site) -> None:
    for partition in (PARTITION, TUESDAY, REAR):
        hits = found(lake, "motion", day=partition.day, camera=partition.camera)
        assert {(hit["day"], hit["camera"]) for hit in hits} == {(partition.day, partition.camera)}
    assert {hit["camera"] for hit in found(lake, "motion", camera="rex-rear")} == {"rex-rear"}
    assert found(lake, "motion", camera="it's") == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_limit_is_kept(lake: Site, limit: int) -> None:
    assert len(found(lake, "motion", limit)) == min(limit, 4)


def test_only_clips_that_pass_today_are_found(copy: Site) -> None:
    lenient = copy.changed(thresholds=LENIENT)
    lenient.run()
    dark = key_of("dark.mp4")
    assert dark in {hit["key"] for hit in found(lenient, "motion")}
    assert dark not in {hit["key"] for hit in found(copy, "motion")}


def test_captions_of_clips_that_no_longer_pass_do_not_crowd_out_others(copy: Site) -> None:
    copy.put("halls.mp4", film(("hall", 40)))
    copy.run()
    assert found(copy, "dim motion", 1)[0]["start_s"] != 0.0
    strict = copy.changed(thresholds={"max_darkness": 0.4})
    strict.run()
    (hit,) = found(strict, "dim motion", 1, day=PARTITION.day, camera="rex-front")
    assert (hit["key"], hit["start_s"]) == (key_of(ROOMS), 0.0)


@pytest.mark.parametrize(
    "text",
    ['"()*~ AND', '"', "(", "~", "mot*", "a AND", "NOT", "+motion -motion", "text:motion", "'",
     "\\", "\0", "，", "🐕", " ", "", "x" * 5000],
)  # fmt: skip
def test_odd_characters_are_only_characters(lake: Site, text: str) -> None:
    assert all(hit["text"] for hit in found(lake, text))


# One clip as a file


def test_an_exported_clip_shows_its_frames_and_no_other(lake: Site, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    clips = lake.rows(CLIPS, where=f"recording_id = '{recording_id(key_of(ROOMS))}'")
    export_clip(lake.lake, lake.bucket, clips[1]["clip_id"], target)
    assert shown(target.read_bytes()) == shown(film(("yard", 3), ("hall", 2)))[3 * FRAME_RATE :]
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def shown(mp4: bytes) -> list[bytes]:
    with av.open(io.BytesIO(mp4)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    "clip_id", ["unknown", "", "0123456789abcdef-0000000", "it's", "' OR 1=1 --", "../clip", "é"]
)
def test_an_unknown_clip_is_told_and_nothing_written(
    lake: Site, tmp_path: Path, clip_id: str
) -> None:
    refused_export(lake, clip_id, tmp_path / "clip.mp4", "there is no clip")


def test_a_clip_whose_object_is_gone_is_told(copy: Site, tmp_path: Path) -> None:
    copy.remove(ROOMS)
    refused_export(copy, first_clip(copy), tmp_path / "clip.mp4", "gone from the bucket")


def test_a_clip_whose_recording_was_just_removed_is_told(copy: Site, tmp_path: Path) -> None:
    clip_id = first_clip(copy)
    copy.remove(ROOMS)
    stages = [stage for stage in copy.stages() if stage.name == "recordings"]
    copy.run(stages=stages)
    refused_export(copy, clip_id, tmp_path / "clip.mp4", "was removed")


def test_a_clip_whose_object_was_replaced_is_told(copy: Site, tmp_path: Path) -> None:
    copy.put(ROOMS, film(("shed", 3)))
    refused_export(copy, first_clip(copy), tmp_path / "clip.mp4", "was replaced since")


def test_a_failed_clip_is_told_with_its_error(lake: Site, tmp_path: Path) -> None:
    refused_export(lake, first_clip(lake, "broken.mp4"), tmp_path / "clip.mp4", "not a video")


def test_a_target_that_cannot_be_written_is_named(lake: Site, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for target in (tmp_path / "nowhere" / "clip.mp4", tmp_path / "folder.mp4"):
        refused_export(lake, first_clip(lake), target, target.name)
    assert [file.name for file in tmp_path.iterdir()] == ["folder.mp4"]


def refused_export(site: Site, clip_id: str, target: Path, told: str) -> None:
    before = set(target.parent.glob("*"))
    with pytest.raises(UserError) as refused:
        export_clip(site.lake, site.bucket, clip_id, target)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert set(target.parent.glob("*")) == before


# A picture of a partition


def test_a_contact_sheet_is_a_small_jpeg(lake: Site) -> None:
    jpeg = contact_sheet(lake.lake, PARTITION)
    assert jpeg is not None
    assert len(jpeg) < 60_000
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (90, 3 * 160, 3)


def test_a_contact_sheet_of_many_clips_stays_small(copy: Site) -> None:
    copy.put("long.mp4", film(("yard", 40)))
    copy.run()
    jpeg = contact_sheet(copy.lake, PARTITION)
    assert jpeg is not None
    assert len(jpeg) < 60_000
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (180, 640, 3)


def test_a_partition_without_frames_has_no_contact_sheet(lake: Site) -> None:
    assert contact_sheet(lake.lake, Partition(date(2026, 5, 5), "rex-front")) is None
