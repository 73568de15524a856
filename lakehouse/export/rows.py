"""What the lake says of the clips of an export: where each lies, its captions, scores and verdict.

Read for many clips at once, by their ids: no more is opened however large the lake is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse.export.manifest import Entry
from lakehouse.query.clip import is_clip_id, no_clip
from lakehouse.query.scored import scored
from lakehouse.query.verdicts import judge
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.schemas import CAPTIONS, CLIPS, IDENTITY, PROVENANCE, RECORDINGS

_AT_ONCE = 500
_CLIP = [
    "clip_id",
    "recording_id",
    "etag",
    "day",
    "camera",
    "start_pts",
    "end_pts",
    "start_s",
    "end_s",
    "status",
    "error",
]
_RECORDING = ["recording_id", "key", "etag", "container", "time_base_num", "time_base_den"]
_CAPTION = ["clip_id", "etag", "variant", "language", "model", "text"]
_UNSCORED = IDENTITY | {field.name for field in PROVENANCE}
_UNSAFE = re.compile(r"[^\w.-]+")
_CAMERA_CHARACTERS = 48


@dataclass(frozen=True)
class Wanted:
    """A clip to export: its entry so far, and the rows that it is cut from. An entry with an error
    has none."""

    entry: Entry
    clip: Mapping[str, Any]
    recording: Mapping[str, Any]


def wanted(lake: Lake, settings: Settings, clip_ids: Sequence[str]) -> Iterator[Wanted]:
    """Every clip in the order of its id here; one that does not exist has an entry that says so."""
    for start in range(0, len(clip_ids), _AT_ONCE):
        yield from _wanted(lake, settings, clip_ids[start : start + _AT_ONCE])


def file_name(camera: str, day: str, start_s: float, clip_id: str) -> str:
    """Camera, day, time since the recording's start, and id: unique, sorted by time within a
    camera's day, and safe on every file system."""
    minutes, seconds = divmod(round(start_s, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    safe = _UNSAFE.sub("_", camera)[:_CAMERA_CHARACTERS].lstrip(".-")
    return f"{safe or 'camera'}_{day}_{hours:02d}h{minutes:02d}m{seconds:06.3f}s_{clip_id}.mp4"


def _wanted(lake: Lake, settings: Settings, clip_ids: Sequence[str]) -> Iterator[Wanted]:
    ids = [clip_id for clip_id in clip_ids if is_clip_id(clip_id)]
    of_ids = among("clip_id", ids)
    clips = _by(lake.read(CLIPS, None, _CLIP, of_ids), "clip_id")
    of_recordings = among("recording_id", (clip["recording_id"] for clip in clips.values()))
    recordings = _by(lake.read(RECORDINGS, None, _RECORDING, of_recordings), "recording_id")
    captions = lake.read(CAPTIONS, None, _CAPTION, f"{of_ids} AND error IS NULL")
    texts = captions.sort("variant").partition_by("clip_id", as_dict=True)
    scores = scored(lake, None, settings.scorers, of_ids)
    verdicts = _by(judge(scores, settings.thresholds, settings.scorers), "clip_id")
    scores_of = _by(scores, "clip_id")
    for clip_id in clip_ids:
        clip = clips.get(clip_id)
        recording = recordings.get(clip["recording_id"]) if clip else None
        if clip is None or recording is None:
            yield Wanted(Entry(clip_id, error=no_clip(clip_id)), {}, {})
            continue
        score = scores_of.get(clip_id)
        is_scored = score is not None and score["etag"] == clip["etag"]
        verdict = verdicts[clip_id] if is_scored else None
        said = texts.get((clip_id,))
        entry = Entry(
            clip_id,
            file=file_name(clip["camera"], str(clip["day"]), clip["start_s"], clip_id),
            key=recording["key"],
            etag=clip["etag"],
            day=str(clip["day"]),
            camera=clip["camera"],
            start_s=clip["start_s"],
            end_s=clip["end_s"],
            start_pts=clip["start_pts"],
            end_pts=clip["end_pts"],
            time_base=_time_base(recording),
            passed=verdict["passed"] if verdict else None,
            reasons=tuple(verdict["reasons"]) if verdict else (),
            captions=() if said is None else tuple(_captions(said, clip["etag"])),
            scores=_numbers(score) if score is not None and is_scored else None,
        )
        yield Wanted(entry, clip, recording)


def _by(rows: pl.DataFrame, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows.iter_rows(named=True)}


def _captions(rows: pl.DataFrame, etag: str) -> Iterator[Mapping[str, Any]]:
    shown = ["variant", "language", "model", "text"]
    yield from rows.filter(pl.col("etag") == etag).select(shown).iter_rows(named=True)


def _numbers(score: Mapping[str, Any]) -> Mapping[str, float | None]:
    return {name: value for name, value in score.items() if name not in _UNSCORED}


def _time_base(recording: Mapping[str, Any]) -> str | None:
    if recording["time_base_num"] is None:
        return None
    return f"{recording['time_base_num']}/{recording['time_base_den']}"
