"""A lake of made-up clips, as large as is asked for: rows without footage, written in bulk.

Vectors gather around places, as a patrol's do; captions draw from a few hundred words; four clips
of five pass. What is measured over it belongs to the benchmarks.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from lakehouse.query.tables import all_tables, embedding_tables
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CAPTIONS, CLIPS, RECORDINGS, SCORES, Table

FIRST_DAY = date(2026, 1, 1)
CAMERAS = tuple(f"dog{robot}-{side}" for robot in range(5) for side in ("front", "rear", "left"))
CLIPS_PER_RECORDING = 20
CLIP_S = 10.0
NOUNS = tuple(f"{start}{end}" for start in "bdfgklmnprstvz" for end in ("aro", "elin", "itu", "om"))
_ADJECTIVES = ("red", "rusty", "open", "dim", "wet", "bright", "narrow", "quiet", "broken", "warm")
_CHUNK_CLIPS = 50_000
_CLIPS_PER_PLACE = 50
_SPREAD = 0.5  # of a clip around its place, as a share of the place's own length


def fill(lake: Lake, settings: Settings, clips: int, days: int) -> None:
    """Write so many clips, and all that is told of them."""
    lake.bootstrap(all_tables(settings))
    for first in range(0, clips, _CHUNK_CLIPS):
        last = min(first + _CHUNK_CLIPS, clips)
        for table, columns in _chunk(settings, first, last, clips, days):
            lance.write_dataset(_filled(table, columns), lake.uri(table), mode="append")


def day_and_camera(recording: int, clips: int, days: int) -> tuple[date, str]:
    """Of a recording, by its number: a lake is filled day by day, and camera by camera."""
    recordings = -(-clips // CLIPS_PER_RECORDING)
    partition = recording * days * len(CAMERAS) // recordings
    return FIRST_DAY + timedelta(days=partition // len(CAMERAS)), CAMERAS[partition % len(CAMERAS)]


def clip_id(number: int) -> str:
    """Of a clip, by its number; as long as real ones."""
    return f"{number * 2654435761 % 2**32:08x}{number:024x}-0"


def _chunk(
    settings: Settings, first: int, last: int, clips: int, days: int
) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    numbers = range(first, last)
    recordings = range(first // CLIPS_PER_RECORDING, (last - 1) // CLIPS_PER_RECORDING + 1)
    yield RECORDINGS, {**_whose(recordings, clips, days), **_recordings(recordings, clips, days)}
    of_clips = [number // CLIPS_PER_RECORDING for number in numbers]
    whose = {**_whose(of_clips, clips, days), "clip_id": [clip_id(number) for number in numbers]}
    start_s = [number % CLIPS_PER_RECORDING * CLIP_S for number in numbers]
    spans = {"start_s": start_s, "end_s": [start + CLIP_S for start in start_s]}
    hashes = [f"{number:032x}" for number in numbers]
    yield CLIPS, {**whose, **spans, "status": ["kept"] * len(numbers), "frames_hash": hashes}
    random = np.random.default_rng(first)
    yield SCORES, {**whose, **_scores(random, len(numbers))}
    texts = [_text(random) for _ in numbers]
    captions = {
        "caption_id": [f"{clip}:default" for clip in whose["clip_id"]],
        "variant": ["default"] * len(numbers),
        "language": ["en"] * len(numbers),
        "text": texts,
    }
    yield CAPTIONS, {**whose, **captions}
    for variant, table in embedding_tables(settings).items():
        dimensions = table.schema.field("vector").type.list_size
        vectors = _vectors(random, len(numbers), dimensions, clips)
        array = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions)
        yield table, {**whose, "variant": [variant] * len(numbers), "vector": array}


def _whose(recordings: Any, clips: int, days: int) -> dict[str, Any]:
    placed = [day_and_camera(recording, clips, days) for recording in recordings]
    return {
        "recording_id": [f"{recording:032x}" for recording in recordings],
        "etag": [f"{recording:032x}" for recording in recordings],
        "day": [day for day, _ in placed],
        "camera": [camera for _, camera in placed],
    }


def _recordings(recordings: range, clips: int, days: int) -> dict[str, Any]:
    placed = [day_and_camera(recording, clips, days) for recording in recordings]
    return {
        "robot": [camera.split("-")[0] for _, camera in placed],
        "key": [
            f"{camera.replace('-', '/')}/{day}/{recording:08}.mp4"
            for recording, (day, camera) in zip(recordings, placed, strict=True)
        ],
        "duration_s": [CLIPS_PER_RECORDING * CLIP_S] * len(recordings),
        "frame_rate": [25.0] * len(recordings),
    }


def _scores(random: np.random.Generator, rows: int) -> dict[str, Any]:
    plain = {"darkness": 0.3, "over_exposed": 0.0, "noise": 1.0, "texture": 30.0}
    measured: dict[str, Any] = {
        f"{signal}_p50": np.full(rows, level, np.float32) for signal, level in plain.items()
    }
    measured["stillness"] = np.zeros(rows, np.float32)
    measured["sharpness_p50"] = random.uniform(0.2, 0.95, rows).astype(np.float32)  # 0.35 passes
    return measured


def _text(random: np.random.Generator) -> str:
    nouns = [NOUNS[number] for number in random.integers(0, len(NOUNS), 4)]
    first, second = (_ADJECTIVES[number] for number in random.integers(0, len(_ADJECTIVES), 2))
    return f"A {first} {nouns[0]} {nouns[1]} stands beside the {second} {nouns[2]} {nouns[3]}."


def _vectors(random: np.random.Generator, rows: int, dimensions: int, clips: int) -> Any:
    count = max(1, clips // _CLIPS_PER_PLACE)
    of_rows = random.integers(0, count, rows)
    spread = _SPREAD * random.normal(size=(rows, dimensions)).astype(np.float32)
    places = np.random.default_rng(7).normal(size=(count, dimensions)).astype(np.float32)
    vectors = places[of_rows] + spread
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _filled(table: Table, columns: Mapping[str, Any]) -> pa.Table:
    """The columns as the table has them; what isn't given is null or, where it can't be, empty."""
    rows = len(columns["recording_id"])

    def column(field: pa.Field) -> pa.Array:
        if field.name in columns:
            given = columns[field.name]
            return given if isinstance(given, pa.Array) else pa.array(given, field.type)
        if field.nullable:
            return pa.nulls(rows, field.type)
        return pa.array(["" if field.type == pa.string() else 0] * rows, field.type)

    return pa.Table.from_arrays(list(map(column, table.schema)), schema=table.schema)
