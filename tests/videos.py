"""Small real videos, painted and encoded here: every numbered frame shows its own number.

Only making such videos and reading their pictures back belongs here; what is expected of them
stays in the tests.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

B_FRAMES = {"bf": "3", "x264-params": "scenecut=0:b-adapt=0:ref=3"}
# Arguments of `record`.
FORMATS: dict[str, dict[str, Any]] = {
    "H.264": {},
    "H.264, B-frames": {"options": B_FRAMES},
    "HEVC": {"codec": "libx265"},
    "4:4:4": {"pixel_format": "yuv444p"},
    "10 bit": {"pixel_format": "yuv420p10le"},
    "MKV": {"suffix": "mkv", "options": B_FRAMES},
    "MPEG-TS": {"suffix": "ts", "options": B_FRAMES},
}
AUDIO_RATE = 48_000
_MUXERS = {"mkv": "matroska", "ts": "mpegts"}
_FAST = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
}
_BITS, _BIT_PX = 8, 8
_TS_PACKET_BYTES = 188


class Pipe(io.RawIOBase):
    """A target that can only be written on: no header is completed afterwards."""

    def __init__(self) -> None:
        self.received = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.received += data
        return len(data)


def texture(seed: int, width: int = 128, height: int = 96) -> Picture:
    """Blocks of colour, unlike those of any other seed."""
    blocks = np.random.default_rng(seed).integers(40, 215, (height // 8 + 1, width // 8 + 1, 3))
    return blocks.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)


def moving(count: int, seed: int = 1, width: int = 128, height: int = 96) -> Iterator[Picture]:
    """A texture that moves to the right."""
    still = texture(seed, width, height)
    for number in range(count):
        yield np.roll(still, 3 * number, axis=1)


def numbered(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """The pictures with their number, from 0, as black and white squares in the first rows."""
    for number, picture in enumerate(pictures):
        bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
        picture[:_BIT_PX, : _BITS * _BIT_PX] = np.repeat(bits, _BIT_PX)[None, :, None]
        yield picture


def number_of(frame: av.VideoFrame) -> int:
    """The number that the frame shows."""
    squares = frame.to_ndarray(format="gray8")[:_BIT_PX, : _BITS * _BIT_PX]
    bits = squares.reshape(_BIT_PX, _BITS, _BIT_PX).mean(axis=(0, 2)) > 127
    return sum(1 << bit for bit in range(_BITS) if bits[bit])


def record(
    pictures: Iterable[Picture],
    suffix: str = "mp4",
    codec: str = "libx264",
    *,
    pixel_format: str = "yuv420p",
    frame_rate: int = 25,
    key_frame_every: int = 12,
    options: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    rotation_deg: int = 0,
    audio: str | None = None,
    started: str | None = None,
    muxer_options: dict[str, str] | None = None,
    live: bool = False,
) -> bytes:
    """A video file of these RGB pictures.

    `times_ms` says when each picture is shown, where that isn't every 1 / `frame_rate` s.
    `rotation_deg` is counterclockwise, as a display matrix states it. `live` writes on a pipe.
    """
    painted = list(pictures)
    target = Pipe() if live else io.BytesIO()
    muxer = _MUXERS.get(suffix, suffix)
    with av.open(target, "w", format=muxer, options=muxer_options or {}) as movie:
        if started:
            movie.metadata["creation_time"] = started
        fast = _FAST.get(codec, {}) | (options or {})
        video = cast(VideoStream, movie.add_stream(codec, rate=frame_rate, options=fast))
        video.height, video.width = painted[0].shape[:2]
        video.pix_fmt = pixel_format
        video.codec_context.gop_size = key_frame_every
        video.codec_context.time_base = Fraction(1, 1000 if times_ms else frame_rate)
        if rotation_deg:
            video.set_display_rotation(rotation_deg)
        sound = _sound(movie, audio) if audio else None
        for number, picture in enumerate(painted):
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=pixel_format)
            frame.pts = times_ms[number] if times_ms else number
            frame.time_base = video.codec_context.time_base
            movie.mux(video.encode(frame))
            if sound:
                movie.mux(sound.encode(_tone(number, AUDIO_RATE // frame_rate, sound)))
        movie.mux(video.encode())
        if sound:
            movie.mux(sound.encode())
    return bytes(target.received) if isinstance(target, Pipe) else target.getvalue()


def record_sound() -> bytes:
    """An MP4 without any picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as movie:
        sound = _sound(movie, "aac")
        for number in range(25):
            movie.mux(sound.encode(_tone(number, AUDIO_RATE // 25, sound)))
        movie.mux(sound.encode())
    return file.getvalue()


def with_damaged_packets(data: bytes, numbers: Iterable[int]) -> bytes:
    """An MP4 in which these packets of the video hold nothing but ones."""
    damaged = bytearray(data)
    with av.open(io.BytesIO(data), "r", format="mov") as movie:
        packets = [packet for packet in movie.demux(video=0) if packet.size]
        for number in numbers:
            start = packets[number].pos
            assert start is not None
            damaged[start : start + packets[number].size] = b"\xff" * packets[number].size
    return bytes(damaged)


def _sound(movie: OutputContainer, codec: str) -> AudioStream:
    return cast(AudioStream, movie.add_stream(codec, rate=AUDIO_RATE, layout="mono"))


def _tone(number: int, count: int, sound: AudioStream) -> av.AudioFrame:
    """The next samples of a tone that rises, so that every moment sounds different."""
    time_s = (number * count + np.arange(count)) / AUDIO_RATE
    samples = (np.sin(2 * np.pi * (200 + 100 * time_s) * time_s) / 2).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
    frame.sample_rate, frame.pts = AUDIO_RATE, number * count
    return av.AudioResampler(format=sound.format.name).resample(frame)[0]


def walked(
    *stretches: tuple[str, float],
    frame_rate: int = 10,
    width: int = 160,
    height: int = 96,
    noise: float = 0.5,
) -> Iterator[Picture]:
    """Seconds on the way along a textured wall, with sensor noise: `walk` on, or stand `still`.

    Standing, a small thing may cross the view (`passer`), or the camera is somewhere else at once
    (`elsewhere`). `dim` walks on while the light fades to the fifth that is left in the `dark`, and
    `dawn` as it comes back.
    """
    random = np.random.default_rng(7)
    wall = (texture(7, 8 * width, height) // 2 + 64).astype(np.uint8)
    place = 0
    for name, length_s in stretches:
        count = round(length_s * frame_rate)
        for number in range(count):
            place += 2 * (name in {"walk", "dim", "dark", "dawn"})
            view = np.roll(wall, -place, axis=1)[:, :width].astype(np.float32)
            if name == "elsewhere":
                view = 255 - view
            if name == "passer":
                left = 2 * number % (width - 12)
                view[height // 2 : height // 2 + 12, left : left + 12] = 230
            done = number / count
            view *= {"dim": 1 - 0.8 * done, "dark": 0.2, "dawn": 0.2 + 0.8 * done}.get(name, 1)
            view += random.normal(0, noise, view.shape)
            yield view.clip(0, 255).astype(np.uint8)


def with_lost_stretch(data: bytes, first: int, count: int) -> bytes:
    """A video in which so many packets are overwritten; in MPEG-TS, their headers too."""
    is_ts = data[0] == 0x47
    with av.open(io.BytesIO(data), "r", format="mpegts" if is_ts else "mov") as movie:
        packets = [packet for packet in movie.demux(video=0) if packet.size]
    places = [packet.pos for packet in packets]
    assert all(place is not None for place in places)
    if not is_ts:
        return with_damaged_packets(data, range(first, first + count))
    start, end = cast(int, places[first]), cast(int, places[first + count])
    # A continuity counter of 4 bits tells that something is missing, but for a multiple of 16.
    counted = [at for at in range(start, end, _TS_PACKET_BYTES) if data[at + 2] == data[start + 2]]
    end = end if len(counted) % 16 else counted[-1]
    return data[:start] + b"\xff" * (end - start) + data[end:]
