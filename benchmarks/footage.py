"""Which videos a benchmark reads: a folder of somebody's, or sample footage made for it."""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lakehouse.sample.footage import SampleOptions, write_sample

_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"}
_WIDTH, _HEIGHT, _FPS = 1920, 1080, 30
_SECONDS, _SECONDS_A_SHOT = 180, 12
_BITS_A_SECOND = 8_000_000


def arguments(description: str) -> argparse.Namespace:
    """The command line that all benchmarks share: `--footage DIR`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--footage", type=Path, help="a folder of videos; without it, sample footage is made"
    )
    return parser.parse_args()


def sample_footage(folder: Path) -> None:
    """The default sample."""
    write_sample(folder, SampleOptions(), workers=2)


def footage_of_1080p(folder: Path) -> None:
    """Three minutes each of 1080p at 30 a second, H.264 and HEVC, about 8 Mbit/s: a view that
    sways over a textured wall, another wall every 12 seconds."""
    for name, codec, options in (
        ("h264.mp4", "libx264", {"preset": "veryfast", "bf": "2"}),
        ("hevc.mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=error"}),
    ):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=_FPS, options=options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
            stream.bit_rate = _BITS_A_SECOND
            for picture in _walk():
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def _walk() -> Iterator[NDArray[np.uint8]]:
    for number in range(_FPS * _SECONDS):
        shot, step = divmod(number, _FPS * _SECONDS_A_SHOT)
        if step == 0:
            wall = _wall(shot)
        left = 60 + 2 * step % 300 + round(20 * math.sin(number / 7))
        top = 60 + round(30 * math.sin(number / 5))
        yield wall[top : top + _HEIGHT, left : left + _WIDTH]


def _wall(seed: int) -> NDArray[np.uint8]:
    """Blotches of several sizes around a colour of its own."""
    rng = np.random.default_rng(seed)
    height, width = _HEIGHT + 120, _WIDTH + 400
    wall = np.full((height, width, 3), rng.integers(40, 200, 3), np.float32)
    for blotch_px in (4, 16, 64, 256):
        coarse = rng.normal(0, 18, (height // blotch_px + 2, width // blotch_px + 2, 3))
        wall += cv2.resize(coarse.astype(np.float32), (width, height))
    return np.clip(wall, 0, 255).astype(np.uint8)


@contextmanager
def videos(
    folder: Path | None, made_by: Callable[[Path], None] = sample_footage
) -> Iterator[list[Path]]:
    """The videos under the folder, or those that are made for this and removed afterwards."""
    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            made_by(Path(made))
            folder = Path(made)
        yield sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES)
