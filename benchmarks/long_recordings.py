"""Recordings of two hours for benchmarks: a minute with sound, repeated packet by packet.

Making one takes seconds, since nothing is encoded after the first. What is measured on them
belongs to the benchmarks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Stream

PART_S = 64  # holds a whole number of AAC's packets
FPS = 30
_WIDTH, _HEIGHT = 1280, 720
_AUDIO_RATE = 48_000
_SHOTS = 4
_BITS_A_S = 1_400_000
# Key frames every 2 s and frames that are shown out of their order, which makes indices large.
_X264 = {"preset": "ultrafast", "bf": "2", "b-adapt": "0", "g": str(2 * FPS), "sc_threshold": "0"}


@dataclass(frozen=True)
class Container:
    """A way of writing a recording; `name` is that of its file."""

    name: str
    muxer: str
    options: dict[str, str] = field(default_factory=dict)


CONTAINERS = (
    Container("plain.mp4", "mp4"),
    Container("faststart.mp4", "mp4", {"movflags": "faststart"}),
    Container("fragmented.mp4", "mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    Container("matroska.mkv", "matroska"),
    Container("transport.ts", "mpegts"),
)
"""Plain has its index at the end, faststart at the start, fragmented a part before each two
seconds; so large are the gaps of Matroska's index, too. MPEG-TS has none."""


def make(path: Path, container: Container, parts: int = -(-7200 // PART_S)) -> None:
    """Write a recording of about 1.7 GB, or of so many minutes."""
    repeat(_minute(), PART_S, parts, container, path)


def repeat(part: bytes, part_s: int, parts: int, container: Container, target: Path) -> None:
    """Write a recording that is an MP4 again and again, each time so many seconds later."""
    with av.open(str(target), "w", format=container.muxer, options=container.options) as written:
        tracks: dict[int, Stream] = {}
        for number in range(parts):
            with av.open(io.BytesIO(part), "r", format="mp4") as source:
                for stream in source.streams if not tracks else ():
                    tracks[stream.index] = written.add_stream_from_template(stream)
                for packet in source.demux():
                    if packet.pts is None or packet.dts is None:
                        continue  # the mark of the end
                    if packet.stream.type == "audio" and packet.pts < 0:
                        continue  # what a decoder starts on
                    later = round(number * part_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = tracks[packet.stream.index]
                    written.mux(packet)


@cache
def _minute() -> bytes:
    """One minute in H.264 and AAC."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as movie:
        video = movie.add_stream("libx264", rate=FPS, options=_X264)
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        video.bit_rate = _BITS_A_S
        sound = movie.add_stream("aac", rate=_AUDIO_RATE, layout="mono")
        for number in range(PART_S * FPS):
            movie.mux(video.encode(_picture(number)))
            movie.mux(sound.encode(_tone(number)))
        movie.mux(video.encode(None))
        movie.mux(sound.encode(None))
    return file.getvalue()


def _picture(number: int) -> av.VideoFrame:
    """The view of a wall that moves by, another wall every quarter of the minute."""
    wall = _wall(number * _SHOTS // (PART_S * FPS))
    left = 2 * number % (wall.shape[1] - _WIDTH)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(wall[:, left : left + _WIDTH]), "bgr24")
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


@cache
def _wall(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(20, 236, (_HEIGHT // 12, 3 * _WIDTH // 12, 3), np.uint8)
    return cv2.resize(coarse, (3 * _WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)


def _tone(number: int) -> av.AudioFrame:
    count = _AUDIO_RATE // FPS
    time_s = (number * count + np.arange(count)) / _AUDIO_RATE
    samples = (np.sin(2 * np.pi * 220 * time_s) / 2).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = (
        _AUDIO_RATE,
        number * count,
        Fraction(1, _AUDIO_RATE),
    )
    return frame
