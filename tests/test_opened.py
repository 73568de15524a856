"""A lake opened from Python: views as relations and frames, search, and always the latest rows."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path

import cv2
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lakehouse
from lakehouse.errors import UserError
from lakehouse.query.asked import By, Filters, Query
from lakehouse.query.opened import Opened
from lakehouse.query.search import search
from lakehouse.query.tables import embedding_tables
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.schemas import CAPTIONS, FRAMES
from tests.lakes import PARTITION, Site, film, key_of
from tests.queried import REAR, ROOMS, TUESDAY, first_clip


@pytest.fixture
def opened(lake: Site) -> Iterator[Opened]:
    with lakehouse.open(lake.settings) as opened:
        yield opened


def test_importing_the_library_imports_no_lance() -> None:
    check = "import lakehouse, sys; sys.exit('lance' in sys.modules or 'duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_settings_file_and_single_settings_say_which_lake(lake: Site, tmp_path: Path) -> None:
    file = tmp_path / "kennel.toml"
    file.write_text(f'lake = "{lake.settings.lake}"\n')
    with lakehouse.open(file) as by_file, lakehouse.open(lake=lake.settings.lake) as by_name:
        assert by_file.settings.lake == by_name.settings.lake == lake.settings.lake


def test_sql_gives_a_relation_that_can_be_queried_further(opened: Opened) -> None:
    per_camera = opened.sql("SELECT camera, count(*) AS clips FROM clips GROUP BY camera")
    assert dict(per_camera.fetchall()) == {"rex-front": 5, "rex-rear": 1}
    assert per_camera.filter("clips > 1").fetchall() == [("rex-front", 5)]


def test_views_are_attributes(opened: Opened) -> None:
    assert opened.clips.columns == opened.table("clips").columns
    with pytest.raises(AttributeError, match="captions"):
        _ = opened.dogs
    with pytest.raises(UserError, match="captions"):
        opened.table("clips_rows")


def test_a_frame_has_the_columns_and_rows_asked_for(opened: Opened) -> None:
    frame = opened.polars("clips", ["clip_id", "day"], "camera = 'rex-rear'")
    assert frame.columns == ["clip_id", "day"]
    assert frame["day"].to_list() == [REAR.day]
    assert opened.arrow("clips", ["clip_id"]).num_rows == 6


def test_new_rows_are_seen_without_opening_again(copy: Site) -> None:
    with lakehouse.open(copy.settings) as opened:
        before = opened.polars("clips").height
        assert opened.search("green").height == 1
        copy.put("sheds.mp4", film(("shed", 2)))
        copy.run()
        assert opened.polars("clips").height == before + 1
        newest = opened.search(Query(), Filters(verdict="any"))
        assert key_of("sheds.mp4") in newest["key"].to_list()


def test_what_is_found_stays_the_same_however_often_it_is_asked(copy: Site) -> None:
    query = Query("green door", clip_id=first_clip(copy))
    with lakehouse.open(copy.settings) as opened:
        for room in ("shed", "yard"):
            copy.put(f"{room}.mp4", film((room, 3)))
            copy.run()
            for table in (CAPTIONS, *embedding_tables(copy.settings).values()):
                maintain(copy.lake, table, timedelta(0))
            alone = search(copy.lake, copy.settings, query, Filters(), 10)
            assert alone.height > 1
            for _ in range(6):
                assert_frame_equal(opened.search(query), alone)


def test_clips_that_look_the_same_are_folded_into_the_better_one(opened: Opened) -> None:
    (hit,) = opened.search(Query("green", by=(By.WORDS,))).to_dicts()
    found = opened.search(Query("green", by=(By.WORDS,), fold=False))
    assert {hit["key"], *found["key"]} == {key_of(ROOMS), key_of("tuesday.mp4", TUESDAY)}
    assert [hit["clip_id"], *hit["duplicates"]] == found["clip_id"].to_list()


def test_an_example_clip_finds_those_like_it_and_not_itself(lake: Site, opened: Opened) -> None:
    example = first_clip(lake)  # of the yard, as the rear camera's clip is
    found = opened.search(Query(clip_id=example, fold=False))
    assert found["key"][0] == key_of("rear.mp4", REAR)
    assert example not in found["clip_id"]


def test_an_example_picture_finds_the_clip_it_is_of(lake: Site, opened: Opened) -> None:
    example = first_clip(lake)
    (frame, *_) = lake.rows(FRAMES, "frame_id", "jpeg", where=f"clip_id = '{example}'")
    picture = cv2.imdecode(pl.Series([*frame["jpeg"]], dtype=pl.UInt8).to_numpy(), 1)
    png = cv2.imencode(".png", picture)[1].tobytes()
    for image in (frame["jpeg"], png):
        found = opened.search(Query(image=image))
        assert example in found["clip_id"].head(2)  # of the yard, as the rear camera's clip is
        assert found["ways"][0].to_list()[0]["way"] == "image"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (Query(image=b"no picture"), "JPEG or PNG"),
        (Query(clip_id="none"), "no clip none"),
        (Query("green", by=(By.IMAGE,)), "an example image"),
        (Query(clip_id="x", by=(By.WORDS,)), "a text"),
        (Query("green", by=(By.LOOKS,)), "SigLIP"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    opened: Opened, query: Query, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        opened.search(query)


def test_a_strangers_sql_is_answered_within_its_limits(opened: Opened) -> None:
    assert opened.read_only("SELECT count(*) AS n FROM clips") == (["n"], [(6,)])
    with pytest.raises(UserError):
        opened.read_only("SELECT * FROM clips_rows")


def test_times_of_day_leave_out_recordings_that_tell_none(opened: Opened) -> None:
    assert opened.search(Query(), Filters(first_day=PARTITION.day)).height > 0
    assert opened.search(Query(), Filters(from_time=time(0, 0))).is_empty()
