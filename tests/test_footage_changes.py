"""What becomes of rows when objects are replaced, removed, renamed, or still being written."""

import shutil
import struct
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lakehouse.engine.local import StageReport, plan_stage
from lakehouse.engine.retry import Retry
from lakehouse.engine.scan import partitions_of
from lakehouse.query.search import Filters, Query, search
from lakehouse.stages.recordings import recording_id
from lakehouse.storage.local import LocalBucket
from lakehouse.tables.partition import Partition
from lakehouse.tables.removal import remove_gone
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table
from tests.lakes import PARTITION, Site, film, key_of, site

ROOMS, ATTIC = "rooms.mp4", "attic.mp4"
ELSEWHERE = Partition(date(2026, 1, 3), "rex-rear")
VIEWS = ("recordings", "clips", "frames", "scores", "captions", "embeddings", "verdicts", "ledger")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A recording of two clips that pass, and one of one."""
    made = site(tmp_path_factory.mktemp("pristine"))
    made.put(ROOMS, film(("yard", 3), ("hall", 2)))
    made.put(ATTIC, film(("shed", 3)))
    made.run()
    return made


@pytest.fixture
def day(pristine: Site, tmp_path: Path) -> Site:
    """The same, to change."""
    return pristine.copied_to(tmp_path)


def shown(site: Site) -> dict[str, set[str]]:
    """The recordings that each view shows rows of."""
    with site.connect() as connection:
        return {
            view: {key for (key,) in connection.sql(f"SELECT recording_id FROM {view}").fetchall()}
            for view in VIEWS
        }


def held(site: Site) -> dict[str, set[str]]:
    """The recordings that each table holds rows of."""
    return {
        table.name: {row["recording_id"] for row in site.rows(table, "recording_id")}
        for table in site.tables()
    }


def of(name: str, partition: Partition = PARTITION) -> str:
    return recording_id(key_of(name, partition))


def everywhere(site: Site, *names: str) -> bool:
    return all(found == {of(name) for name in names} for found in shown(site).values())


def renamed(site: Site, name: str, new: str, partition: Partition = PARTITION) -> None:
    """Move a file as people do: the same bytes, and a new modification time."""
    root = Path(site.settings.bucket)
    target = root / key_of(new, partition)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / key_of(name), target)
    (root / key_of(name)).unlink()


def reused(reports: dict[str, StageReport]) -> dict[str, int]:
    return {name: report.reused for name, report in reports.items() if report.made}


# Removed objects


def test_rows_of_a_removed_object_are_kept_and_hidden(day: Site) -> None:
    before = day.contents()
    day.remove(ROOMS)
    assert day.run()["recordings"].removed == 1
    assert everywhere(day, ATTIC)
    assert day.contents() == before
    assert day.sql("SELECT key FROM gone").get_column("key").to_list() == [key_of(ROOMS)]


def test_a_removed_object_is_not_found_by_words(day: Site) -> None:
    found = search(day.lake, day.settings, Query("rex"), Filters(), 10)
    day.remove(ROOMS)
    day.run()
    fewer = search(day.lake, day.settings, Query("rex"), Filters(), 10)
    assert found.height == 3
    assert fewer.get_column("key").unique().to_list() == [key_of(ATTIC)]


def test_a_removed_object_costs_nothing_more(day: Site) -> None:
    day.remove(ROOMS)
    day.run()
    versions = day.versions()
    other_prompt = day.changed(clips={"max_clip_s": 5.0})
    reports = other_prompt.run()
    assert reports["recordings"].plan.is_empty
    assert reports["clips"].plan.stale == (of(ATTIC),)
    assert day.versions()["recordings"] == versions["recordings"]


def test_an_object_that_comes_back_as_it_was_is_shown_again_without_being_decoded(
    day: Site, tmp_path: Path
) -> None:
    here, away = Path(day.settings.bucket) / key_of(ROOMS), tmp_path / "away.mp4"
    here.rename(away)
    day.run()
    away.rename(here)
    reports = day.run()
    assert everywhere(day, ROOMS, ATTIC)
    assert [name for name, report in reports.items() if report.made] == ["recordings"]


def test_by_setting_a_removed_object_is_removed_everywhere(day: Site) -> None:
    day.remove(ROOMS)
    day.run()
    assert remove_gone(day.lake, day.tables(), lambda _: True) == 1
    assert all(found == {of(ATTIC)} for found in held(day).values())
    assert remove_gone(day.lake, day.tables(), lambda _: True) == 0


def test_an_object_that_lies_there_after_all_is_not_removed(day: Site) -> None:
    data = film(("yard", 3), ("hall", 2))
    day.remove(ROOMS)
    day.run(stages=day.stages()[:1])
    day.put(ROOMS, data)
    before = held(day)
    there = {info.key for info in day.bucket.list()}
    assert remove_gone(day.lake, day.tables(), lambda key: key not in there) == 0
    assert held(day) == before


def test_a_partition_without_objects_is_no_longer_a_partition_of_the_lake(day: Site) -> None:
    day.remove(ROOMS)
    day.remove(ATTIC)
    day.run()
    assert partitions_of(day.lake) == set()


# Replaced objects


def test_a_replaced_object_is_hidden_until_its_own_clips_are_there(day: Site) -> None:
    day.put(ROOMS, film(("shed", 2)))
    for stage in day.stages()[:1]:
        day.run(stages=[stage])
    views = shown(day)
    assert views["recordings"] == {of(ROOMS), of(ATTIC)}
    assert all(views[view] == {of(ATTIC)} for view in ("clips", "frames", "captions", "scores"))
    day.run()
    assert everywhere(day, ROOMS, ATTIC)


def test_captions_of_a_replaced_object_are_hidden_before_they_are_made_anew(day: Site) -> None:
    day.put(ROOMS, film(("shed", 2)))
    day.run(stages=day.stages()[:2])
    views = shown(day)
    assert of(ROOMS) in views["clips"]
    assert of(ROOMS) not in views["captions"] | views["scores"] | views["embeddings"]


def test_an_object_that_is_replaced_while_it_is_planned_waits_for_the_next_run(day: Site) -> None:
    day.put(ROOMS, film(("shed", 2)))
    recordings, clips = day.changed(clips={"jpeg_quality": 50}).stages()[:2]
    report = day.run(stages=[clips])["clips"]
    assert (report.plan.stale, report.left) == (tuple(sorted([of(ROOMS), of(ATTIC)])), 1)
    assert day.run(stages=[recordings, clips])["clips"].plan.stale == (of(ROOMS),)
    assert of(ROOMS) in shown(day)["clips"]


def test_fewer_clips_than_before_leave_no_row_behind_in_any_table(day: Site) -> None:
    day.put(ROOMS, film(("hall", 2)))
    day.run()
    clips = {row["clip_id"] for row in day.rows(CLIPS, "clip_id")}
    assert len(clips) == 2
    for table in day.tables():
        if "clip_id" in table.schema.names:
            assert {row["clip_id"] for row in day.rows(table, "clip_id")} == clips


def test_frames_lie_beside_the_old_ones_until_their_clips_are_replaced(
    day: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = day.sql("SELECT frame_id FROM frames ORDER BY frame_id").get_column("frame_id")
    monkeypatch.setattr("lakehouse.engine.writer.replace_children", _stop)
    with pytest.raises(KeyboardInterrupt):
        day.changed(clips={"frames_per_clip": 1}).run()
    assert len(day.rows(FRAMES, "frame_id")) > len(before)
    after = day.sql("SELECT frame_id FROM frames ORDER BY frame_id").get_column("frame_id")
    assert after.to_list() == before.to_list()


def _stop(*_: object) -> int:
    raise KeyboardInterrupt


# The same content under another key


@pytest.mark.parametrize("partition", [PARTITION, ELSEWHERE], ids=["same", "other partition"])
def test_a_renamed_file_is_not_decoded_again(day: Site, partition: Partition) -> None:
    renamed(day, ROOMS, "hall.mp4", partition)
    reports = day.run(partition)
    clips = day.rows(CLIPS, where=f"recording_id = '{of('hall.mp4', partition)}'")
    assert reports["clips"].reused == 1
    assert [clip["reused_from"][:16] for clip in clips] == [of(ROOMS)] * 2
    assert {clip["day"] for clip in clips} == {partition.day}


def test_captions_and_vectors_of_a_renamed_file_are_reused(day: Site) -> None:
    renamed(day, ROOMS, "hall.mp4")
    reports = day.run()
    assert reused(reports) == {
        "recordings": 0,
        "clips": 1,
        "scores": 0,
        "captions:default": 2,
        "captions:zh": 2,
        "embeddings:default": 2,
    }
    assert everywhere(day, "hall.mp4", ATTIC)


def test_a_renamed_files_rows_are_those_that_decoding_it_makes(day: Site, tmp_path: Path) -> None:
    renamed(day, ROOMS, "hall.mp4")
    day.run()
    fresh = day.changed(lake=str(tmp_path / "fresh"))
    fresh.run()
    for table in day.tables():
        names = [name for name in table.schema.names if name not in ("reused_from", "seconds")]
        where = f"recording_id = '{of('hall.mp4')}'"
        assert day.rows(table, *names, where=where) == fresh.rows(table, *names, where=where)


def test_a_copy_is_reused_too_and_both_are_shown(day: Site) -> None:
    day.put("copy.mp4", film(("yard", 3), ("hall", 2)))
    assert day.run()["clips"].reused == 1
    assert everywhere(day, ROOMS, ATTIC, "copy.mp4")


def test_two_copies_at_once_are_both_reused(day: Site) -> None:
    day.put("copy.mp4", film(("yard", 3), ("hall", 2)))
    day.put("other.mp4", film(("yard", 3), ("hall", 2)))
    reports = day.run()
    assert (reports["clips"].reused, reports["captions:default"].reused) == (2, 4)


def test_a_file_that_differs_in_one_byte_of_a_picture_is_decoded(day: Site) -> None:
    data = bytearray(film(("yard", 3), ("hall", 2)))
    start = data.index(b"mdat") + len(data) // 2
    data[start] ^= 1
    day.put("flipped.mp4", bytes(data))
    assert day.run()["clips"].reused == 0


def test_the_same_packets_that_are_to_be_shown_otherwise_are_decoded(day: Site) -> None:
    data = film(("yard", 3), ("hall", 2))
    matrix = data.index(b"tkhd") + 4 + 40
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    day.put(ROOMS, data[:matrix] + turned + data[matrix + len(turned) :])
    assert day.run()["clips"].reused == 0
    (shape,) = {
        (row["width"], row["height"])
        for row in day.rows(FRAMES, "width", "height", where=f"recording_id = '{of(ROOMS)}'")
    }
    assert shape == (128, 160)


def test_what_other_settings_made_is_not_reused(day: Site) -> None:
    renamed(day, ROOMS, "hall.mp4")
    assert day.changed(clips={"jpeg_quality": 50}).run()["clips"].reused == 0


# Files that are still being written


class Growing(LocalBucket):
    """A bucket of which one file is longer at every listing."""

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[Any]:
        with (Path(self.url) / key_of("growing.mp4")).open("ab") as file:
            file.write(b"more")
        return super().list(prefix, start_after)


def test_a_file_that_grows_between_two_looks_waits(day: Site) -> None:
    day.put("growing.mp4", film(("yard", 2)))
    watching = day.changed(settle_s=0.05)
    recordings = watching.stages(Growing(day.settings.bucket))[0]
    plan = plan_stage(recordings, PARTITION)
    assert plan.waiting == (of("growing.mp4"),)
    assert plan.is_empty


def test_a_file_that_has_settled_is_made(day: Site) -> None:
    day.put("growing.mp4", film(("yard", 2)))
    assert day.changed(settle_s=0.05).run()["recordings"].made == 1


def test_a_known_file_that_is_written_over_keeps_its_rows_meanwhile(day: Site) -> None:
    day.put("growing.mp4", film(("yard", 2)))
    day.run()
    recordings = day.changed(settle_s=0.05).stages(Growing(day.settings.bucket))[0]
    day.run(stages=[recordings])
    assert of("growing.mp4") in shown(day)["clips"]


# Failures


@pytest.fixture
def broken(day: Site) -> Site:
    day.put("broken.mp4", b"not a film")
    day.put("brakes.mp4", b"no film either")
    day.run()
    return day


def attempts(site: Site, table: Table = RECORDINGS) -> dict[str, int]:
    rows = site.rows(table, "recording_id", "attempts", "error")
    return {row["recording_id"]: row["attempts"] for row in rows if row["error"]}


def test_a_failed_row_counts_its_attempts_and_keeps_the_last_error(broken: Site) -> None:
    assert attempts(broken) == {of("broken.mp4"): 1, of("brakes.mp4"): 1}
    broken.run(retry=Retry(key="*/broken.mp4"))
    assert attempts(broken) == {of("broken.mp4"): 2, of("brakes.mp4"): 1}
    assert attempts(broken, CLIPS) == {of("broken.mp4"): 2, of("brakes.mp4"): 1}


def test_a_file_that_failed_too_often_is_given_up_until_it_is_asked_for(broken: Site) -> None:
    for _ in range(4):
        broken.run(retry=Retry())
    assert set(attempts(broken).values()) == {broken.settings.limits.attempts}
    broken.run(retry=Retry(given_up=True))
    assert set(attempts(broken).values()) == {broken.settings.limits.attempts + 1}


def test_a_new_object_starts_its_attempts_anew(broken: Site) -> None:
    broken.run(retry=Retry())
    broken.put("broken.mp4", b"another one that is no film")
    broken.run()
    assert attempts(broken)[of("broken.mp4")] == 1


@pytest.mark.parametrize(
    ("retry", "tried"),
    [
        (Retry(), 4),
        (Retry(stage="recordings"), 2),
        (Retry(stage="captions"), 0),
        (Retry(key="rex/*/brakes.mp4"), 2),
        (Retry(error="NOT A VIDEO"), 4),
        (Retry(error="out of cheese"), 0),
    ],
)
def test_a_filter_chooses_what_is_tried_again(broken: Site, retry: Retry, tried: int) -> None:
    reports = broken.run(retry=retry)
    assert sum(len(report.plan.retried) for report in reports.values()) == tried


def test_a_filter_survives_the_tag_of_a_run() -> None:
    retry = Retry("captions:zh", "*/图.mp4", "no \"JSON'", given_up=True)
    assert Retry.from_json(retry.to_json()) == retry
