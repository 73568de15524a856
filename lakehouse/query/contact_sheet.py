"""A small picture of a partition or a day: a frame for each of some of its clips, with its time."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import cv2
import numpy as np
import polars as pl

from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from lakehouse.video.signals import Gray

_COLUMNS, _ROWS = 4, 2
_TILE_WIDTH, _TILE_HEIGHT = 160, 90
_LEGEND_HEIGHT = 14
_JPEG_QUALITY = 70
_NAME_CHARACTERS = 16


def contact_sheet(lake: Lake, partition: Partition) -> bytes | None:
    """A JPEG of at most 640 x 180 pixels; none if the partition has no frames.

    The clips are spread over the partition, and each shows its middle frame with the time since
    its recording's start.
    """
    pictures = _pictures(lake, partition, _COLUMNS * _ROWS)
    if not pictures:
        return None
    return sheet([(jpeg, _clock(time_s)) for jpeg, time_s in pictures])


def day_sheet(lake: Lake, day: date, cameras: Sequence[str]) -> bytes | None:
    """The same of a day: as many clips of each camera as there is room for, with its name."""
    shown = cameras[: _COLUMNS * _ROWS]
    pictures = [
        (jpeg, f"{camera[:_NAME_CHARACTERS]} {_clock(time_s)}")
        for camera in shown
        for jpeg, time_s in _pictures(lake, Partition(day, camera), _COLUMNS * _ROWS // len(shown))
    ]
    return sheet(pictures) if pictures else None


def _pictures(lake: Lake, partition: Partition, count: int) -> list[tuple[bytes, float]]:
    """Some middle frames of clips that are spread over the partition, with their times."""
    frames = _of_present_clips(lake, partition)
    if frames.is_empty():
        return []
    middles = [
        clip.row(clip.height // 2, named=True)
        for clip in frames.sort("frame_id").partition_by("clip_id", maintain_order=True)
    ]
    spread = _spread(middles, count)
    of_spread = among("frame_id", (frame["frame_id"] for frame in spread))
    jpegs = lake.read(FRAMES, partition, ["frame_id", "jpeg"], of_spread)
    by_id = dict(jpegs.iter_rows())
    # None that was replaced meanwhile.
    there = [frame for frame in spread if frame["frame_id"] in by_id]
    return [(by_id[frame["frame_id"]], frame["time_s"]) for frame in there]


def sheet(pictures: Sequence[tuple[bytes, str]]) -> bytes:
    """Pictures with their captions as one JPEG, row by row."""
    tiles = [_tile(jpeg, text) for jpeg, text in pictures]
    columns = min(_COLUMNS, len(tiles))
    # White: an unused tile must not pass for a dark clip.
    blank = np.full((_TILE_HEIGHT, _TILE_WIDTH, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]
    _, encoded = cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()


def _of_present_clips(lake: Lake, partition: Partition) -> pl.DataFrame:
    there = lake.read(RECORDINGS, partition, ["recording_id", "etag"], "gone_since IS NULL")
    clips = lake.read(CLIPS, partition, ["clip_id", "fingerprint", "attempts"])
    columns = ["frame_id", "clip_id", "recording_id", "etag", "fingerprint", "attempts", "time_s"]
    frames = lake.read(FRAMES, partition, columns)
    of_clips = frames.join(clips, on=["clip_id", "fingerprint", "attempts"], how="semi")
    return of_clips.join(there, on=["recording_id", "etag"], how="semi")


def _tile(jpeg: bytes, text: str) -> Gray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "frames are JPEGs that this project wrote"
    height, width = picture.shape[:2]
    scale = min(_TILE_WIDTH / width, _TILE_HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    tile = np.zeros((_TILE_HEIGHT, _TILE_WIDTH, 3), np.uint8)
    top, left = (_TILE_HEIGHT - size[1]) // 2, (_TILE_WIDTH - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    tile[-_LEGEND_HEIGHT:] //= 3
    bottom = (4, _TILE_HEIGHT - 4)
    cv2.putText(tile, text, bottom, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _spread(items: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
