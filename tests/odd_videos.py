"""One small file each of what robots record besides the plain MP4: codecs, containers, oddities.

Each function writes its file into a folder and returns the path. Pictures are numbered where their
size allows, as those of `videos`, whose encoder is used; what is expected of the files stays in
the tests.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from tests.videos import B_FRAMES, moving, numbered, record

FRAMES = 60
FRAME_RATE = 25
HIDDEN_FRAMES = 17
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
_X265 = "log-level=none:pools=1:keyint=12:min-keyint=12"
_OPTIONS = {
    "h264": B_FRAMES,
    "hevc": {"x265-params": f"{_X265}:bframes=3:open-gop=0"},
    "av1": {"preset": "12", "svtav1-params": "lp=1"},
}
CODECS_IN_CONTAINERS = [
    (codec, suffix)
    for codec in ENCODERS
    for suffix in ("mp4", "mov", "mkv", "avi", "ts")
    if (codec, suffix) != ("av1", "ts")  # FFmpeg writes that as data of no kind
]


def plain(folder: Path, codec: str, suffix: str) -> Path:
    """One of `CODECS_IN_CONTAINERS`; frames are reordered, but in AVI, which can't say so."""
    name = f"{codec}.{suffix}"
    if suffix == "avi":
        return _write(folder, name, _avi(codec))
    if (codec, suffix) == ("av1", "mov"):  # FFmpeg writes AV1 only into MP4, which is the same
        data = _record("mp4", codec=codec, options=_OPTIONS[codec])
        return _write(folder, name, data.replace(b"ftypisom", b"ftypqt  ", 1))
    return _write(folder, name, _record(suffix, codec=codec, options=_OPTIONS[codec]))


def variable_rate(folder: Path, suffix: str = "mp4") -> Path:
    """Frames that last 33, 67, 40 and 100 ms in turn."""
    times_ms = [0]
    while len(times_ms) < FRAMES:
        times_ms.append(times_ms[-1] + (33, 67, 40, 100)[len(times_ms) % 4])
    return _write(folder, f"variable.{suffix}", _record(suffix, times_ms=times_ms))


def open_gop(folder: Path, codec: str = "h264", suffix: str = "mp4") -> Path:
    """Frames before a key frame need both it and frames before it."""
    options = {
        "h264": {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"},
        "hevc": {"x265-params": f"{_X265}:bframes=3:open-gop=1:b-adapt=0"},
    }[codec]
    data = _record(suffix, codec=codec, options=options)
    return _write(folder, f"open-{codec}.{suffix}", data)


def cut_by_edit_list(folder: Path) -> Path:
    """An MP4 whose edit list hides the first `HIDDEN_FRAMES` frames, which lie in mid-GOP."""
    data = bytearray(_record("mp4", options={"bf": "0"}))
    ticks = _media_ticks(data)
    at = data.index(b"elst") + 4
    (movie_ticks_per_s,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 4 + 12)
    shown = (FRAMES - HIDDEN_FRAMES) * movie_ticks_per_s // FRAME_RATE
    struct.pack_into(">Ii", data, at + 8, shown, HIDDEN_FRAMES * ticks)
    return _write(folder, "edited.mp4", data)


def delayed_start(folder: Path, suffix: str = "mp4") -> Path:
    """The first frame is shown after 2 s: in MP4 an edit list begins with nothing."""
    times_ms = [2000 + 1000 // FRAME_RATE * number for number in range(FRAMES)]
    return _write(folder, f"delayed.{suffix}", _record(suffix, times_ms=times_ms))


def negative_offsets(folder: Path) -> Path:
    """An MP4 whose frames are shown before they are decoded: signed composition offsets."""
    muxer_options = {"movflags": "negative_cts_offsets"}
    data = _record("mp4", options=B_FRAMES, muxer_options=muxer_options)
    return _write(folder, "negative.mp4", data)


def rotated(folder: Path, clockwise_deg: int, suffix: str = "mp4") -> Path:
    """To be turned by 90, 180 or 270 degrees clockwise to be upright."""
    data = _record(suffix, rotation_deg=-clockwise_deg)
    return _write(folder, f"turned-{clockwise_deg}.{suffix}", data)


def ten_bit(folder: Path, codec: str = "h264", suffix: str = "mp4") -> Path:
    """Ten bits a sample."""
    data = _record(suffix, codec=codec, pixel_format="yuv420p10le", options=_OPTIONS[codec])
    return _write(folder, f"ten-{codec}.{suffix}", data)


def full_range(folder: Path, suffix: str = "mp4") -> Path:
    """Black is 0 and white 255, not 16 and 235."""
    return _write(folder, f"full.{suffix}", _record(suffix, pixel_format="yuvj420p"))


def odd_size(folder: Path, suffix: str = "mp4") -> Path:
    """321 x 241 pixels, with colour for each."""
    return _write(
        folder, f"odd.{suffix}", _record(suffix, width=321, height=241, pixel_format="yuv444p")
    )


def size_changes(folder: Path, suffix: str = "ts") -> Path:
    """128 x 96 pixels in the first half of the frames, 192 x 144 in the other; H.264."""
    half = FRAMES // 2
    file = io.BytesIO()
    with av.open(file, "w", format={"ts": "mpegts", "mkv": "matroska"}.get(suffix, suffix)) as out:
        stream = _stream_of(out, 128, 96)
        pictures = enumerate(numbered(chain(moving(half), moving(half, 1, 192, 144))))
        for width, height in ((128, 96), (192, 144)):
            encoder = _encoder(width, height)
            for number, picture in islice(pictures, half):
                frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
                _mux(out, stream, encoder.encode(frame))
            _mux(out, stream, encoder.encode())
    return _write(folder, f"sizes.{suffix}", file.getvalue())


def without_time_scale(folder: Path, suffix: str = "mp4") -> Path:
    """The video's ticks have no length: a time scale of 0 in MP4, a rate of 0 in AVI."""
    codec = "mpeg4" if suffix == "avi" else "libx264"
    data = bytearray(record(numbered(moving(FRAMES)), suffix, codec))
    at = data.index(b"vids") + 24 if suffix == "avi" else data.index(b"mdhd") + 4 + 12
    data[at : at + 4] = bytes(4)
    return _write(folder, f"timeless.{suffix}", data)


def without_movie_time_scale(folder: Path) -> Path:
    """An MP4 whose movie header has a time scale of 0; that of the video is right."""
    data = bytearray(_record("mp4"))
    at = data.index(b"mvhd") + 4 + 12
    data[at : at + 4] = bytes(4)
    return _write(folder, "movie-timeless.mp4", data)


def cut_short(folder: Path, share: float = 0.6) -> Path:
    """An MP4 with its index first, of whose bytes only this share arrived."""
    data = _record("mp4", muxer_options={"moov_size": "4096"})
    return _write(folder, "short.mp4", data[: round(share * len(data))])


def fragmented(folder: Path) -> Path:
    """An MP4 in fragments of a group of pictures each, as cameras write that may lose power."""
    muxer_options = {"movflags": "frag_keyframe+empty_moov"}
    return _write(folder, "pieces.mp4", _record("mp4", muxer_options=muxer_options))


def lasting(folder: Path, suffix: str, seconds: int, options: dict[str, str] | None = None) -> Path:
    """So many seconds of the same noisy one, about 0.4 MB each; `options` are the muxer's."""
    noise = np.random.default_rng(1).integers(0, 255, (FRAME_RATE, 288, 352, 3), dtype=np.uint8)
    data = record(iter(noise), key_frame_every=12, options=B_FRAMES | {"crf": "28"})
    path = folder / f"lasting-{seconds}.{suffix}"
    with av.open(io.BytesIO(data), "r") as one, av.open(path, "w", options=options or {}) as out:
        stream = out.add_stream_from_template(one.streams.video[0])
        packets = [packet for packet in one.demux(video=0) if packet.size]
        for second in range(seconds):
            for packet in packets:
                copy = Packet(bytes(packet))
                copy.stream, copy.time_base = stream, packet.time_base
                copy.is_keyframe, copy.duration = packet.is_keyframe, packet.duration
                later = second * (packet.duration or 0) * FRAME_RATE
                assert packet.pts is not None
                assert packet.dts is not None
                copy.pts, copy.dts = packet.pts + later, packet.dts + later
                out.mux_one(copy)
    return path


def _record(
    suffix: str, *, codec: str = "h264", width: int = 128, height: int = 96, **arguments: object
) -> bytes:
    pictures = numbered(moving(FRAMES, 1, width, height))
    return record(pictures, suffix, ENCODERS[codec], frame_rate=FRAME_RATE, **arguments)  # type: ignore[arg-type]


def _write(folder: Path, name: str, data: bytes | bytearray) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _media_ticks(data: bytes | bytearray) -> int:
    """How many ticks of the first track's time scale a frame lasts."""
    (ticks_per_s,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 4 + 12)
    return ticks_per_s // FRAME_RATE


def _encoder(width: int, height: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FRAME_RATE), Fraction(FRAME_RATE)
    encoder.gop_size = 12
    # Without a global header, the size stands before every key frame.
    encoder.options = {"preset": "ultrafast", "threads": "1", "x264-params": "repeat-headers=1"}
    return encoder


def _stream_of(out: OutputContainer, width: int, height: int) -> VideoStream:
    stream = out.add_stream("libx264", rate=FRAME_RATE)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    return stream


def _mux(out: OutputContainer, stream: VideoStream, packets: Iterable[Packet[VideoStream]]) -> None:
    for packet in packets:
        packet.time_base, packet.stream = Fraction(1, FRAME_RATE), stream
        out.mux_one(packet)


def _avi(codec: str) -> bytes:
    """FFmpeg writes only H.264 of these into AVI, so that the others start under a false name."""
    if codec == "h264":
        return _record("avi", options={"bf": "0"})
    options = {
        "hevc": {"x265-params": f"{_X265}:bframes=0"},
        "av1": _OPTIONS["av1"] | {"svtav1-params": "lp=1:pred-struct=1"},  # no reordering
    }
    holder, name = {"hevc": ("ts", b"HEVC"), "av1": ("mkv", b"AV01")}[codec]
    data = _record(holder, codec=codec, options=options[codec])
    file = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as held, av.open(file, "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        packets = [packet for packet in held.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.pts, packet.dts, packet.duration = number, number, 1
        _mux(out, stream, packets)
    return file.getvalue().replace(b"FMP4", name)
