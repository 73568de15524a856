"""A lake of clips and frames that nobody filmed, for benchmarks of what models make of them."""

from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

import cv2
import numpy as np

from lakehouse.query.tables import all_tables
from lakehouse.settings import Settings
from lakehouse.tables.commit import add_children, complete
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table
from lakehouse.video.signals import SIGNALS

PARTITION = Partition(date(2026, 1, 2), "rex-front")
FRAMES_PER_CLIP = 8
CLIP_S = 10.0
_AT_ONCE = 250  # clips a commit
_PICTURES = 64
_ETAG = "etag"
_RECORDING = "recording"
_PASSING = {"darkness": 0.2, "sharpness": 0.8, "noise": 1.0, "texture": 50.0, "motion": 10.0}


def make_lake(settings: Settings, clips: int, width: int, height: int) -> Lake:
    """One recording of so many clips of ten seconds, all of which pass, with eight frames each."""
    lake = open_lake(settings)
    lake.bootstrap(all_tables(settings))
    add_children(lake, RECORDINGS, [_completed(RECORDINGS, {**_ids(), "key": "rex/front/a.mp4"})])
    for start in range(0, clips, _AT_ONCE):
        numbers = range(start, min(clips, start + _AT_ONCE))
        frames = (row for number in numbers for row in _frames(number, width, height))
        add_children(lake, FRAMES, frames)
        add_children(lake, CLIPS, (_clip(number) for number in numbers))
    return lake


@cache
def picture(number: int, width: int, height: int) -> bytes:
    """One of a few dozen JPEGs of as much detail as a frame of a corridor has."""
    random = np.random.default_rng(number)
    coarse = random.integers(20, 235, (12, 20, 3), np.uint8)
    shown = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 4, shown.shape)
    noisy = np.clip(shown + grain, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _clip(number: int) -> dict[str, Any]:
    signals = {name: _PASSING.get(name, 0.0) for name in SIGNALS}
    samples = [{"pts": sample * 500, **signals} for sample in range(4)]
    row = {
        **_ids(),
        "clip_id": _clip_id(number),
        "start_s": number * CLIP_S,
        "end_s": (number + 1) * CLIP_S,
        "start_frame": number * 300,
        "end_frame": (number + 1) * 300,
        "boundary": "length",
        "profile": "exact",
        "status": "kept",
        "samples": samples,
        "frames_hash": f"frames of {number}",
    }
    return _completed(CLIPS, row)


def _frames(number: int, width: int, height: int) -> Iterator[dict[str, Any]]:
    for index in range(FRAMES_PER_CLIP):
        row = {
            **_ids(),
            "frame_id": f"{_clip_id(number)}-{index:03d}",
            "clip_id": _clip_id(number),
            "pts": index,
            "time_s": number * CLIP_S + index,
            "width": width,
            "height": height,
            "jpeg": picture((number * FRAMES_PER_CLIP + index) % _PICTURES, width, height),
            "profile": "exact",
        }
        yield _completed(FRAMES, row)


def _clip_id(number: int) -> str:
    return f"{_RECORDING}-{number:07d}"


def _ids() -> dict[str, Any]:
    return {
        "recording_id": _RECORDING,
        "etag": _ETAG,
        "size_bytes": 0,
        "day": PARTITION.day,
        "camera": PARTITION.camera,
    }


def _completed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    known = {name: row.get(name) for name in table.schema.names if name in row}
    return complete(known, fingerprint="made", stage_version="made", run_id="made", attempts=1)
