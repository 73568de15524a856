"""Which videos a benchmark reads: a folder of somebody's, or footage made for it.

Made here are the sample's rooms and, for cost, a camera's recordings of minutes or hours. What is
measured on them belongs to the benchmarks.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lakehouse.sample.footage import SampleOptions, write_sample

Plane = NDArray[np.uint8]

_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"}
_WIDTH, _HEIGHT, _FPS = 1920, 1080, 30
_MARGIN_PX = 240
_SECONDS_A_SHOT = (9.5, 19.3, 7.6, 13.5, 10.1)
_PART_S = round(sum(_SECONDS_A_SHOT))
_STAND_SHOT, _STAND_FROM_S, _STAND_S = 1, 2.2, _PART_S / 4
_LUMA = {6: 5.0, 16: 8.0, 64: 16.0, 256: 20.0}
_CHROMA = {64: 3.0, 256: 6.0}
_NOISE_MEAN, _NOISE_DEVIATION = 8, 1.5
_NOISE_FIELDS = 3
# Rates as a camera's chip sets them, which can't look ahead: key frames of a tenth of the bytes.
_X264 = {
    "preset": "veryfast",
    "bf": "2",
    "sc_threshold": "0",
    "x264-params": "mbtree=0:ipratio=1.2:pbratio=1.1",
}
_X265 = {
    "preset": "ultrafast",
    "x265-params": "log-level=error:keyint=60:min-keyint=60:scenecut=0:open-gop=0"
    ":cutree=0:pbratio=1.1",
}


def arguments(description: str) -> argparse.Namespace:
    """What all benchmarks are told: `--footage DIR`."""
    return command_line(description).parse_args()


def command_line(description: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks share, for those that add to it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--footage", type=Path, help="a folder of videos; without it, footage is made"
    )
    return parser


def sample_footage(folder: Path) -> None:
    """The default sample."""
    write_sample(folder, SampleOptions(), workers=2)


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


def footage_of_1080p(folder: Path) -> None:
    """Three minutes each of H.264 and HEVC, a quarter of it stand-still: 1080p at 30 a second,
    8 Mbit/s, a key frame every 2 seconds, as cameras write."""
    record(folder / "h264.mp4", "libx264", stands=True, parts=3)
    record(folder / "hevc.mp4", "libx265", stands=True, parts=3)


def two_hours(folder: Path) -> None:
    """One file of two hours, H.264, at 2 Mbit/s: about 1.8 GB."""
    parts = 2 * 3600 // _PART_S
    record(folder / "two-hours.mp4", "libx264", stands=True, parts=parts, megabits_a_s=2)


def record(path: Path, encoder: str, *, stands: bool, parts: int, megabits_a_s: int = 8) -> None:
    """One minute, repeated `parts` times: its packets cost a decoder the same each time."""
    minute = BytesIO()
    _encode(minute, encoder, stands, megabits_a_s * 1_000_000)
    with av.open(str(path), "w") as written:
        target = None
        for part in range(parts):
            minute.seek(0)
            with av.open(minute, mode="r") as container:
                stream = container.streams.video[0]
                target = target or written.add_stream_from_template(stream)
                assert stream.time_base is not None
                later = round(part * _PART_S / stream.time_base)
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue  # the mark of the end
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = target
                    written.mux(packet)


def _encode(target: BytesIO, encoder: str, stands: bool, bits_a_second: int) -> None:
    options = {
        **(_X264 if encoder == "libx264" else _X265),
        "maxrate": str(bits_a_second),
        "bufsize": str(2 * bits_a_second),
    }
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream(encoder, rate=_FPS, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.bit_rate, stream.codec_context.gop_size = bits_a_second, 2 * _FPS
        for picture in _minute(stands):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))


def _minute(stands: bool) -> Iterator[Plane]:
    """A view that sways over a wall, another wall every dozen seconds, with a sensor's noise.

    With `stands`, the view doesn't move for a quarter of the minute; the noise goes on.
    """
    rng = np.random.default_rng(0)
    size = (_NOISE_FIELDS, 2 * _HEIGHT, _WIDTH)
    noise = np.rint(rng.normal(_NOISE_MEAN, _NOISE_DEVIATION, size)).astype(np.uint8)
    for shot, shot_s in enumerate(_SECONDS_A_SHOT):
        wall = _wall(shot)
        for number in range(round(shot_s * _FPS)):
            moved_s = number / _FPS
            if stands and shot == _STAND_SHOT:
                moved_s -= min(max(moved_s - _STAND_FROM_S, 0), _STAND_S)
            luma, *chroma = _view(wall, moved_s)
            top = rng.integers(_HEIGHT)
            noisy = cv2.add(luma, noise[number % _NOISE_FIELDS, top : top + _HEIGHT])
            yield np.vstack([noisy, *(plane.reshape(-1, _WIDTH) for plane in chroma)])


def _view(wall: list[Plane], moved_s: float) -> Iterator[Plane]:
    """The planes that the camera sees after walking for `moved_s`: it comes nearer and pans, and
    its gait makes it sway and roll."""
    nearer = 1 + 0.15 * math.sin(moved_s / 3)
    roll = 0.02 * math.sin(4.3 * moved_s)
    x = _MARGIN_PX * 0.5 * math.sin(moved_s / 2.5) + 14 * math.sin(4.3 * moved_s)
    y = _MARGIN_PX * 0.2 * math.sin(moved_s / 4) + 16 * math.sin(6.1 * moved_s)
    cos, sin = math.cos(roll) / nearer, math.sin(roll) / nearer
    for plane, scale in zip(wall, (1, 2, 2), strict=True):
        width, height = _WIDTH // scale, _HEIGHT // scale
        middle_x, middle_y = plane.shape[1] / 2 + x / scale, plane.shape[0] / 2 + y / scale
        on_wall = np.array(
            [
                [cos, -sin, middle_x - cos * width / 2 + sin * height / 2],
                [sin, cos, middle_y - sin * width / 2 - cos * height / 2],
            ]
        )
        yield cv2.warpAffine(
            plane, on_wall, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )


def _wall(seed: int) -> list[Plane]:
    """Blotches of several sizes around a colour of its own, in planes of 4:2:0."""
    rng = np.random.default_rng(seed)
    hue = seed * 2.4
    colour = (90 + 70 * (seed % 2), 128 + 40 * math.cos(hue), 128 + 40 * math.sin(hue))
    return [
        _blotches(rng, level, levels, scale)
        for level, levels, scale in zip(colour, (_LUMA, _CHROMA, _CHROMA), (1, 2, 2), strict=True)
    ]


def _blotches(
    rng: np.random.Generator, level: float, levels: dict[int, float], scale: int
) -> Plane:
    width = (_WIDTH + 2 * _MARGIN_PX) // scale
    height = (_HEIGHT + 2 * _MARGIN_PX) // scale
    plane: NDArray[Any] = np.full((height, width), level, np.float32)
    for size_px, deviation in levels.items():
        size = (height * scale // size_px + 2, width * scale // size_px + 2)
        coarse = rng.normal(0, deviation, size).astype(np.float32)
        plane += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(plane, 0, 255).astype(np.uint8)
