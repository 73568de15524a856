"""A bucket of many small recordings in two versions: as it is at first, and later, when the objects
under some of its keys were replaced.

Every recording is another one, so that none can be copied from another; two are broken in each
version. What is ingested from the bucket, and how often, belongs to the benchmarks.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from lakehouse.settings import Settings
from lakehouse.storage.address import open_bucket

VERSIONS = ("first", "later")
CLIP_SETTINGS = {
    "min_clip_s": 1.0,
    "max_clip_s": 4.0,
    "frames_per_clip": 2,
    "sample_interval_s": 0.2,
}
"""Clips of a second or more, as these recordings have them."""

_PARTITIONS = (
    "rex/front/2026-01-02",
    "rex/front/2026-01-03",
    "bella/left/2026-01-02",
    "bella/left/2026-01-03",
)
_RECORDINGS_A_PARTITION = 5  # at least, unless there are fewer
_SHOTS_S = (2.0, 1.5, 2.5)
_FRAME_RATE = 15
_WIDTH, _HEIGHT, _BLOCK_PX = 320, 240, 16
_REPLACED_ONE_IN = 3
_TEXT_AT = {"first": 3, "later": 0}
"""Which recording is no film at all: one that a film replaces, and one that replaces a film."""
_DAMAGED = 4
"""The recording that does not decode in the middle, in both versions."""


def make(folder: Path, recordings: int) -> None:
    """Write both versions, as `folder/first` and `folder/later`: objects by their keys.

    Where the object under a key is not replaced, both versions have the same file.
    """
    for number in range(recordings):
        partitions = _PARTITIONS[: 1 + recordings // _RECORDINGS_A_PARTITION]
        key = f"{partitions[number % len(partitions)]}/{number:03d}.mkv"
        first, later = (folder / version / key for version in VERSIONS)
        for path in (first, later):
            path.parent.mkdir(parents=True, exist_ok=True)
        first.write_bytes(_object("first", number))
        if number % _REPLACED_ONE_IN == 0:
            later.write_bytes(_object("later", number))
        else:
            os.link(first, later)


def lay(version: Path, settings: Settings) -> None:
    """Make these objects what lies in the bucket: each appears whole, and keeps its etag."""
    for key, file in _objects(version):
        if settings.bucket.startswith("s3://"):
            open_bucket(settings.bucket, settings.s3).put(key, file.read_bytes())
        else:
            _link(file, Path(settings.bucket) / key)


def _objects(version: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(version.rglob("*.mkv")):
        yield file.relative_to(version).as_posix(), file


def _link(file: Path, target: Path) -> None:
    # The same file, since the etag of a copy would be another one.
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or not target.samefile(file):
        unfinished = target.with_name(f".{target.name}.part")
        os.link(file, unfinished)
        unfinished.replace(target)


def _object(version: str, number: int) -> bytes:
    if number == _TEXT_AT[version]:
        return f"recording {number} is no film".encode()
    film = _film((number, VERSIONS.index(version)))
    if number == _DAMAGED:
        third = len(film) // 3
        film = film[:third] + bytes(third) + film[2 * third :]
    return film


def _film(seed: tuple[int, int]) -> bytes:
    """Shots of blocks that move, bright and sharp enough to pass, in H.264."""
    file = io.BytesIO()
    rng = np.random.default_rng(seed)
    options = {"preset": "ultrafast", "g": str(_FRAME_RATE)}
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=_FRAME_RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for shot_s in rng.permutation(_SHOTS_S):
            shape = (_HEIGHT // _BLOCK_PX, _WIDTH // _BLOCK_PX, 3)
            darkest, brightest = sorted(rng.choice(256, 2, replace=False))
            blocks = rng.integers(darkest, brightest, shape, np.uint8)
            picture = blocks.repeat(_BLOCK_PX, axis=0).repeat(_BLOCK_PX, axis=1)
            for number in range(round(shot_s * _FRAME_RATE)):
                shown = np.roll(picture, 3 * number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()
