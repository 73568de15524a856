"""A clip as a file, and a partition as a picture."""

import io
from datetime import date
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lakehouse.errors import UserError
from lakehouse.query.clip import export_clip
from lakehouse.query.contact_sheet import contact_sheet
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS
from tests.lakes import FRAME_RATE, PARTITION, Site, film, key_of
from tests.queried import ROOMS, first_clip


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
    refused_export(copy, clip_id, tmp_path / "clip.mp4", "gone from the bucket")


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
