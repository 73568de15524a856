"""Profiles of cameras: on the rows, and each camera's own affair."""

from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.settings import Profile
from lakehouse.tables.schemas import CLIPS, FRAMES
from tests.lakes import PARTITION, film, site

REAR = replace(PARTITION, camera="spot-rear")


@pytest.mark.parametrize("profile", ["exact", "thrifty", "preview"])
def test_every_clip_and_frame_names_its_profile(tmp_path: Path, profile: Profile) -> None:
    made = site(tmp_path, clips={"profile": profile})
    made.put("shed.mp4", film(("shed", 5)))
    made.run()
    for table in (CLIPS, FRAMES):
        assert {row["profile"] for row in made.rows(table)} == {profile}


def test_a_preview_counts_nothing_as_left_out_and_exact_leaves_nothing_out(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.put("shed.mp4", film(("shed", 5)))
    made.run()
    assert {row["frames_left_out"] for row in made.rows(CLIPS)} == {0}
    previewed = made.changed(clips={"profile": "preview"})
    previewed.run()
    assert {row["frames_left_out"] for row in previewed.rows(CLIPS)} == {None}


def test_another_profile_for_a_camera_decodes_that_camera_again_and_no_other(
    tmp_path: Path,
) -> None:
    made = site(tmp_path)
    for partition in (PARTITION, REAR):
        made.put("shed.mp4", film(("shed", 5)), partition)
        made.run(partition)
    before = made.row_versions(CLIPS)
    changed = made.changed(clips={"profile_by_camera": {REAR.camera: "preview"}})
    for partition in (PARTITION, REAR):
        changed.run(partition)
    profiles = {(row["camera"], row["profile"]) for row in changed.rows(CLIPS)}
    assert profiles == {(PARTITION.camera, "exact"), (REAR.camera, "preview")}
    after = changed.row_versions(CLIPS)
    for row in changed.rows(CLIPS):
        is_new = after[row["clip_id"]] != before.get(row["clip_id"])
        assert is_new == (row["camera"] == REAR.camera)
