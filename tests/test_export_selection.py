"""A selection of clips in a folder: its files, its manifest, and going on after a kill."""

import csv
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.export.folder import Progress, export
from lakehouse.export.manifest import Entry
from lakehouse.export.rows import file_name
from lakehouse.export.selection import by_ids, by_search, by_sql
from lakehouse.query.asked import Filters, Query
from lakehouse.query.clip import export_clip
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.schemas import CLIPS
from tests.lakes import Site, film, key_of
from tests.queried import REAR, ROOMS, first_clip


def clips_of(site: Site, name: str = ROOMS) -> list[str]:
    rows = site.rows(CLIPS, "clip_id", where=f"recording_id = '{recording_id(key_of(name))}'")
    return sorted(row["clip_id"] for row in rows)


def exported(site: Site, ids: Sequence[str], folder: Path, **more: Any) -> Progress:
    return export(site.lake, site.settings, site.bucket, ids, folder, **more)


def manifest(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "manifest.json").read_text())["clips"]


def visible(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.name != ".export.lock"}


def test_every_clip_is_the_file_that_the_clip_by_itself_would_be(
    lake: Site, tmp_path: Path
) -> None:
    exported(lake, clips_of(lake), tmp_path / "out")
    for entry in manifest(tmp_path / "out"):
        export_clip(lake.lake, lake.bucket, entry["clip_id"], tmp_path / "alone.mp4")
        alone = (tmp_path / "alone.mp4").read_bytes()
        assert (tmp_path / "out" / entry["file"]).read_bytes() == alone
        assert (entry["sha256"], entry["bytes"]) == (sha256(alone).hexdigest(), len(alone))


def test_the_manifest_says_what_the_lake_knows_of_a_clip(lake: Site, tmp_path: Path) -> None:
    exported(lake, [first_clip(lake)], tmp_path)
    (entry,) = manifest(tmp_path)
    assert entry["file"] == f"rex-front_2026-01-02_00h00m00.000s_{first_clip(lake)}.mp4"
    assert (entry["key"], entry["start_s"], entry["end_s"]) == (key_of(ROOMS), 0.0, 3.0)
    assert (entry["passed"], entry["reasons"], entry["error"]) == (True, [], None)
    assert [caption["variant"] for caption in entry["captions"]] == ["default", "zh"]
    assert entry["scores"]["sharpness_p50"] > 0
    assert set(entry["scores"]).isdisjoint({"run_id", "fingerprint", "clip_id"})
    (row,) = lake.rows(CLIPS, where=f"clip_id = '{first_clip(lake)}'")
    assert all(entry[name] == row[name] for name in ("etag", "start_pts", "end_pts"))


def test_a_rejected_clip_is_exported_with_its_reasons(lake: Site, tmp_path: Path) -> None:
    exported(lake, [first_clip(lake, "dark.mp4")], tmp_path)
    (entry,) = manifest(tmp_path)
    assert (entry["passed"], entry["reasons"]) == (False, ["dark"])
    assert entry["captions"] == []


def test_the_csv_holds_the_same_entries(lake: Site, tmp_path: Path) -> None:
    exported(lake, clips_of(lake), tmp_path)
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    entries = manifest(tmp_path)
    assert [row["file"] for row in rows] == [entry["file"] for entry in entries]
    assert [json.loads(row["captions"]) for row in rows] == [e["captions"] for e in entries]


def test_what_cannot_be_exported_is_an_entry_and_the_rest_goes_on(
    copy: Site, tmp_path: Path
) -> None:
    replaced, broken, kept = (first_clip(copy, n) for n in (ROOMS, "broken.mp4", "dark.mp4"))
    copy.put(ROOMS, film(("shed", 3)))
    done = exported(copy, [replaced, broken, "no-such-clip", "../' OR 1=1 --", kept], tmp_path)
    assert (done.done, done.failed) == (5, 4)
    errors = [entry["error"] for entry in manifest(tmp_path)]
    for error, told in zip(
        errors, ("was replaced", "not a video", "no clip", "no clip"), strict=False
    ):
        assert told in error
    assert errors[4] is None
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_a_removed_recording_is_told(copy: Site, tmp_path: Path) -> None:
    clip_id = first_clip(copy)
    copy.remove(ROOMS)
    exported(copy, [clip_id], tmp_path)
    assert "gone from the bucket" in manifest(tmp_path)[0]["error"]


def test_an_export_that_is_ended_goes_on_where_it_was(lake: Site, tmp_path: Path) -> None:
    ids = [*clips_of(lake), first_clip(lake, "dark.mp4")]

    def end(progress: Progress, _: Entry) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(lake, ids, tmp_path, workers=1, on_done=end)
    assert not (tmp_path / "manifest.json").exists()
    # As a kill in the middle of a clip, and of a line of the journal, leaves it.
    (tmp_path / ".rex.mp4.partial").write_bytes(b"half")
    with (tmp_path / ".manifest.journal").open("a") as journal:
        journal.write('{"clip_id": "torn')
    done = exported(lake, ids, tmp_path)
    assert (done.done, done.kept, done.failed) == (3, 2, 0)
    files = {entry["file"] for entry in manifest(tmp_path)}
    assert visible(tmp_path) == files | {"manifest.json", "manifest.csv"}


def test_the_same_export_again_writes_no_clip_and_the_same_manifest(
    lake: Site, tmp_path: Path
) -> None:
    exported(lake, clips_of(lake), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in visible(tmp_path)}
    done = exported(lake, clips_of(lake), tmp_path)
    assert (done.kept, done.bytes_written) == (2, 0)
    assert {name: (tmp_path / name).read_bytes() for name in visible(tmp_path)} == before


def test_a_harmed_file_is_written_again(lake: Site, tmp_path: Path) -> None:
    exported(lake, clips_of(lake), tmp_path)
    harmed = tmp_path / manifest(tmp_path)[0]["file"]
    whole = harmed.read_bytes()
    harmed.write_bytes(whole[:-1] + b"x")
    done = exported(lake, clips_of(lake), tmp_path)
    assert (done.kept, harmed.read_bytes()) == (1, whole)


def test_further_clips_join_those_that_are_there(lake: Site, tmp_path: Path) -> None:
    first, second = clips_of(lake)
    exported(lake, [first], tmp_path)
    exported(lake, [second], tmp_path)
    assert [entry["clip_id"] for entry in manifest(tmp_path)] == [second, first]


def test_a_clip_named_twice_is_exported_once(lake: Site, tmp_path: Path) -> None:
    done = exported(lake, [first_clip(lake)] * 3, tmp_path)
    assert (done.total, done.done, len(manifest(tmp_path))) == (1, 1, 1)


def test_every_clip_is_heard_of_once(lake: Site, tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    exported(
        lake,
        clips_of(lake),
        tmp_path,
        on_done=lambda progress, entry: heard.append(
            (progress.done, progress.total, entry.clip_id)
        ),
    )
    assert [(done, total) for done, total, _ in heard] == [(1, 2), (2, 2)]
    assert sorted(clip_id for _, _, clip_id in heard) == clips_of(lake)


def test_two_exports_never_share_a_folder_at_once(lake: Site, tmp_path: Path) -> None:
    def another(_progress: Progress, _entry: Entry) -> None:
        exported(lake, [first_clip(lake)], tmp_path)

    with pytest.raises(UserError, match="another export"):
        exported(lake, [first_clip(lake)], tmp_path, on_done=another)


def test_a_manifest_of_somebody_else_is_left_alone(lake: Site, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UserError, match="no manifest of an export"):
        exported(lake, [first_clip(lake)], tmp_path)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "a web app"}'


def test_a_folder_that_cannot_be_made_is_named(lake: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="file can't be written"):
        exported(lake, [first_clip(lake)], tmp_path / "file")


@pytest.mark.parametrize(
    "camera", ["../../etc", "a b:c*", "正面摄像头", ".hidden", "-rf", "x" * 300, "\n\0"]
)
def test_a_file_name_is_safe_whatever_the_camera_is_called(camera: str) -> None:
    name = file_name(camera, "2026-01-02", 3723.5, "0123456789abcdef-0000000")
    assert name.endswith("_2026-01-02_01h02m03.500s_0123456789abcdef-0000000.mp4")
    assert Path(name).name == name
    assert len(name.encode()) < 240
    assert not name.startswith((".", "-"))
    assert not set(name) & set('\\/:*?"<>|\n\0 ')


def test_ids_are_taken_in_order_and_once() -> None:
    assert by_ids(["b\n", " a ", "", "b"]) == ["b", "a"]


def test_a_query_selects_by_its_column_clip_id(lake: Site) -> None:
    query = "SELECT camera, clip_id FROM clips WHERE camera = 'rex-rear'"
    rows = lake.rows(CLIPS, "clip_id", where=REAR.predicate)
    assert by_sql(lake.lake, lake.settings, query) == [row["clip_id"] for row in rows]


@pytest.mark.parametrize("query", ["SELECT key FROM recordings", "DROP VIEW clips", "SELECT '1"])
def test_a_query_that_selects_no_clips_is_refused(lake: Site, query: str) -> None:
    with pytest.raises(UserError):
        by_sql(lake.lake, lake.settings, query)


def test_a_search_selects_what_it_finds(lake: Site) -> None:
    found = by_search(
        lake.lake, lake.settings, Query("motion"), Filters(cameras=(REAR.camera,)), 10
    )
    assert found == [row["clip_id"] for row in lake.rows(CLIPS, where=REAR.predicate)]


def test_an_empty_selection_is_told() -> None:
    with pytest.raises(UserError, match="no clip is selected"):
        by_ids(["", "  "])
