"""Recordings whose frames are written part by part: the same rows, whatever happens between."""

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from lakehouse.engine import local
from lakehouse.engine.workers import Workers
from lakehouse.stages import clips
from lakehouse.stages.object_tasks import DecodeTask
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from tests.lakes import Site, film, site

LONG = film(("yard", 3), ("hall", 2), ("shed", 9))


@pytest.fixture
def frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each span's frames are a part of their own, and each part a commit."""
    monkeypatch.setattr(clips, "_FRAMES_AT_ONCE_BYTES", 1)
    monkeypatch.setattr(local, "_COMMIT_BYTES", 1)


@pytest.fixture
def undisturbed(tmp_path: Path) -> Site:
    made = site(tmp_path / "undisturbed")
    made.put("long.mp4", LONG)
    made.run()
    return made


def interrupted(spans: int, problem: BaseException) -> Any:
    """What a worker does, until something happens after so many spans of a recording."""
    whole = Workers.stream

    def broken_off(self: Workers, task: Any, deadline_s: float) -> Generator[Any, None, None]:
        with closing(whole(self, task, deadline_s)) as results:
            if not isinstance(task, DecodeTask):
                yield from results
                return
            yield from islice(results, spans)
            raise problem

    return broken_off


def made_of(lake: Site) -> dict[str, set[tuple[str, str]]]:
    """Keys and contents of all that was made of the recordings."""
    return {name: rows for name, rows in lake.contents().items() if name != RECORDINGS.name}


@pytest.mark.usefixtures("frame_by_frame")
def test_frames_written_part_by_part_are_the_same_rows(tmp_path: Path, undisturbed: Site) -> None:
    made = site(tmp_path / "parts")
    made.put("long.mp4", LONG)
    commits = made.lake.dataset(FRAMES).version
    made.run()
    assert made.lake.dataset(FRAMES).version >= commits + len(made.rows(CLIPS))
    assert made_of(made) == made_of(undisturbed)


@pytest.mark.usefixtures("frame_by_frame")
def test_a_run_killed_between_parts_leaves_no_clip_and_its_rerun_the_same_rows(
    tmp_path: Path, undisturbed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(tmp_path / "killed")
    made.put("long.mp4", LONG)
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "stream", interrupted(2, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            made.run()
    assert made.rows(FRAMES)
    assert not made.rows(CLIPS)
    made.run()
    assert made_of(made) == made_of(undisturbed)


@pytest.mark.usefixtures("frame_by_frame")
def test_a_replaced_recording_keeps_no_frame_of_the_one_before(tmp_path: Path) -> None:
    made = site(tmp_path / "replaced")
    made.put("long.mp4", LONG)
    made.run()
    made.put("long.mp4", film(("cellar", 2)))
    made.run()
    (clip,) = made.rows(CLIPS)
    assert {row["clip_id"] for row in made.rows(FRAMES)} == {clip["clip_id"]}


@pytest.mark.usefixtures("frame_by_frame")
def test_what_decoded_before_reading_failed_is_kept_and_the_rest_failed(
    tmp_path: Path, undisturbed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(tmp_path / "failing")
    made.put("long.mp4", LONG)
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "stream", interrupted(2, OSError("the bucket went away")))
        made.run()
    *kept, failed = made.rows(CLIPS)
    whole = undisturbed.rows(CLIPS)
    assert [clip["content_hash"] for clip in kept] == [clip["content_hash"] for clip in whole[:2]]
    assert failed["status"] == "failed"
    assert "the bucket went away" in failed["error"]
    assert (failed["start_s"], failed["end_s"]) == (whole[2]["start_s"], whole[-1]["end_s"])


@pytest.mark.usefixtures("frame_by_frame")
def test_settings_taken_back_after_an_interrupted_change_bring_all_frames_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(tmp_path / "changed")
    made.put("long.mp4", LONG)
    made.run()
    before = made_of(made)
    other = made.changed(clips={"jpeg_quality": 70})
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "stream", interrupted(2, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            other.run()
    made.run()
    assert made_of(made) == before
