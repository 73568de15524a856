"""Captions of clips that look the same: which are reused, how they say so, and what it saves."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.stages.caption_cache import LikenessIndex
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CAPTIONS, RUNS
from lakehouse.video.perceptual_hash import distances
from tests.chat_server import Answer, ChatServer, Request, chat_server, inspects, says
from tests.lakes import PARTITION, Site, film, site

NEXT_DAY = Partition(date(2026, 1, 3), PARTITION.camera)
OTHER_CAMERA = Partition(PARTITION.day, "rex-rear")
PATROL = film(("yard", 2.0), ("hall", 2.0), ("shed", 2.0))


@contextmanager
def captioned(folder: Path, **reuse: Any) -> Iterator[tuple[Site, ChatServer]]:
    """A lake whose only captioner asks a server, which says what it sees in the first frame."""
    with chat_server(describes) as server:
        yield site(folder, captioners={"vlm": asking(server, **reuse)}), server


def asking(server: ChatServer, **reuse: Any) -> dict[str, Any]:
    backend = {"backend": "openai", "base_url": server.base_url, "model": "vlm"}
    return {**backend, "max_retries": 0, **reuse}


def describes(request: Request) -> Answer:
    return inspects(text=f"a place of brightness {brightness(request)}")


def brightness(request: Request) -> int:
    picture = cv2.imdecode(np.frombuffer(request.frames[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    return round(float(picture.mean()))


def captions(of: Site, partition: Partition) -> list[dict[str, Any]]:
    where = f"day = date '{partition.day}' AND camera = '{partition.camera}'"
    return of.rows(CAPTIONS, where=where)


def test_without_the_setting_every_clip_is_asked_about(tmp_path: Path) -> None:
    with captioned(tmp_path) as (lake, server):
        lake.put("a.mp4", film(("yard", 2.0)))
        lake.run()
        lake.put("b.mp4", film(("yard", 2.0), ("hall", 2.0)), NEXT_DAY)
        lake.run(NEXT_DAY)
        assert len(server.requests) == 3


@pytest.mark.parametrize("reuse", ["exact", "near"])
def test_a_patrol_of_the_next_day_takes_the_captions_of_the_day_before(
    tmp_path: Path, reuse: str
) -> None:
    with captioned(tmp_path, reuse=reuse) as (lake, server):
        lake.put("a.mp4", PATROL)
        lake.run()
        asked = len(server.requests)
        lake.put("b.mp4", film(("hall", 2.0), ("yard", 2.0)), NEXT_DAY)
        report = lake.run(NEXT_DAY)["captions:vlm"]
        assert len(server.requests) == asked == 3
    sources = {row["caption_id"]: row["text"] for row in captions(lake, PARTITION)}
    rows = captions(lake, NEXT_DAY)
    assert len(rows) == 2
    assert all(row["text"] == sources[row["reused_from"]] for row in rows)
    assert all(row["reuse_distance"] == 0 for row in rows)
    assert report.reused == 2
    assert report.units["tokens_saved"] == 2 * (321 + 45)
    assert report.units.get("tokens", 0) == 0


def test_what_a_run_saved_stands_in_its_row(tmp_path: Path) -> None:
    with captioned(tmp_path, reuse="near") as (lake, _):
        lake.put("a.mp4", PATROL)
        lake.run()
        lake.put("b.mp4", film(("hall", 2.0)), NEXT_DAY)
        lake.run(NEXT_DAY)
    runs = lake.rows(RUNS, "stage", "day", "tokens", "tokens_saved")
    saved = {row["day"]: row for row in runs if row["stage"] == "captions:vlm"}
    assert (saved[PARTITION.day]["tokens"], saved[PARTITION.day]["tokens_saved"]) == (1098, 0)
    assert (saved[NEXT_DAY.day]["tokens"], saved[NEXT_DAY.day]["tokens_saved"]) == (0, 366)


def test_clips_of_one_run_that_look_the_same_are_asked_about_once(tmp_path: Path) -> None:
    with captioned(tmp_path, reuse="near") as (lake, server):
        lake.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
        lake.put("b.mp4", film(("hall", 2.0), ("yard", 2.0)))
        lake.put("c.mp4", PATROL)
        lake.run()
        assert len(server.requests) == 3
    rows = captions(lake, PARTITION)
    assert len(rows) == 7
    originals = [row for row in rows if row["reuse_distance"] is None]
    assert len(originals) == 3
    assert {row["reused_from"] for row in rows} <= {None, *(r["caption_id"] for r in originals)}


def test_another_camera_is_asked_about(tmp_path: Path) -> None:
    with captioned(tmp_path, reuse="near") as (lake, server):
        lake.put("a.mp4", film(("yard", 2.0)))
        lake.run()
        lake.put("b.mp4", film(("yard", 2.0), ("hall", 2.0)), OTHER_CAMERA)
        lake.run(OTHER_CAMERA)
        assert len(server.requests) == 3


def test_days_that_lie_further_back_than_set_are_not_looked_at(tmp_path: Path) -> None:
    with captioned(tmp_path, reuse="near", reuse_days=0) as (lake, server):
        lake.put("a.mp4", PATROL)
        lake.run()
        lake.put("b.mp4", film(("yard", 2.0)), NEXT_DAY)
        lake.run(NEXT_DAY)
        assert len(server.requests) == 4


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with captioned(tmp_path, reuse="near") as (lake, server):
        lake.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
        lake.put("b.mp4", film(("hall", 2.0), ("yard", 2.0)))
        lake.run()
        before, asked = lake.versions(), len(server.requests)
        lake.run()
        assert (lake.versions(), len(server.requests)) == (before, asked)


def test_where_the_setting_is_taken_back_reused_captions_are_made_and_others_stay(
    tmp_path: Path,
) -> None:
    with captioned(tmp_path, reuse="near") as (lake, server):
        lake.put("a.mp4", film(("yard", 2.0)))
        lake.put("b.mp4", film(("yard", 2.0), ("hall", 2.0)))
        lake.run()
        assert len(server.requests) == 2
        strict = lake.changed(captioners={"vlm": asking(server, reuse="off")})
        report = strict.run()["captions:vlm"]
        assert len(server.requests) == 3
        assert (len(report.plan.stale), len(report.plan.current)) == (1, 2)
    assert all(row["reuse_distance"] is None for row in captions(strict, PARTITION))


def test_where_the_one_caption_fails_the_others_are_asked_about_themselves(tmp_path: Path) -> None:
    asked: list[int] = []

    def fails_first(request: Request) -> Answer:
        asked.append(brightness(request))
        return Answer(400) if len(asked) == 1 else describes(request)

    with chat_server(fails_first) as server:
        captioner = asking(server, reuse="near", max_in_flight=1)
        lake = site(tmp_path, captioners={"vlm": captioner})
        lake.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
        lake.put("b.mp4", film(("hall", 2.0), ("yard", 2.0)))
        lake.run()
    errors = [row["error"] is not None for row in captions(lake, PARTITION)]
    assert (errors.count(True), errors.count(False)) == (1, 3)
    assert len(asked) == 3  # of two places, one of which was asked about twice


def test_a_caption_with_an_error_is_never_reused(tmp_path: Path) -> None:
    def garbage(_: Request) -> Answer:
        return says(json.dumps("garbage"))

    with chat_server(garbage) as server:
        lake = site(tmp_path, captioners={"vlm": asking(server, reuse="near")})
        lake.put("a.mp4", film(("yard", 2.0)))
        lake.run()
        lake.put("b.mp4", film(("yard", 2.2)), NEXT_DAY)
        lake.run(NEXT_DAY)
        assert len(server.requests) == 4  # each is asked about twice
    assert all(row["error"] for row in lake.rows(CAPTIONS))


HASHES = st.lists(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2), max_size=40)


@given(HASHES, st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2), st.integers(-1, 64))
def test_the_nearest_caption_is_found_among_all_that_were_added(
    known: list[list[int]], wanted: list[int], most: int
) -> None:
    index = LikenessIndex(most)
    for number, one in enumerate(known):
        index.add([str(number)], np.array([one], np.uint64))
    found = index.nearest(np.array(wanted, np.uint64))
    far = distances(np.array(wanted, np.uint64), np.array(known, np.uint64).reshape(-1, 2))
    nearest = int(far.min()) if len(far) else 65
    assert (found.distance if found else None) == (nearest if nearest <= most else None)
    if found:
        assert far[int(found.caption_id)] == found.distance
