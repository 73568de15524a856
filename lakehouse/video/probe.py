"""What a file is, before its pictures are decoded: container, codec, times, key frames.

The container format is read off the first bytes and pinned: FFmpeg must never guess that a file
from a bucket is a playlist that opens other files. Decoding is `decode`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

_HEAD_BYTES = 4096
_TS_PACKET_BYTES = 188
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot"}
_INDEXED_CONTAINERS = {"mov", "avi"}
_PACKETS_UNTIL_A_FRAME = 120
_VARIABLE_FROM = 0.1
_MAX_PIXELS = 8192 * 8192


class ProbeError(Exception):
    """The bytes are no footage that can be decoded; the message says what they are instead."""


@dataclass(frozen=True)
class Probe:
    """Facts about the video stream. Times are in its time base; `duration_s` in seconds.

    `width` and `height` are as coded; `rotation_deg` is clockwise, one of 0, 90, 180, 270, and
    makes the picture upright. `key_frame_interval` is a median in frames, none for a single key
    frame. `start_time` is what the container
    claims, in UTC, without a zone.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation_deg: int
    time_base: Fraction
    start_pts: int
    duration_s: float
    frame_count: int
    frame_rate: float
    variable_frame_rate: bool
    key_frame_interval: float | None
    has_audio: bool
    start_time: datetime | None


@dataclass(frozen=True)
class _Timing:
    start_ts: int
    span: int
    frame_count: int
    variable: bool
    key_frame_interval: float | None


def sniff_container(head: bytes) -> str:
    """FFmpeg's name of the container format that these first bytes belong to.

    Raises ProbeError for everything that is not MP4/MOV, Matroska/WebM, AVI or MPEG-TS.
    """
    if not head:
        raise ProbeError("the file is empty")
    if head[4:8] in _MP4_BOXES:
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head[0] == 0x47 and head[_TS_PACKET_BYTES : _TS_PACKET_BYTES + 1] in (b"", b"\x47"):
        return "mpegts"
    raise ProbeError("not a video: neither MP4/MOV, Matroska/WebM, AVI nor MPEG-TS")


def open_container(source: BinaryIO, container: str) -> InputContainer:
    """The file, from its first byte, opened with the pinned format. Raises ProbeError."""
    source.seek(0)
    try:
        return av.open(source, mode="r", format=container, metadata_errors="replace")
    except (FFmpegError, ValueError, MemoryError) as error:
        raise ProbeError(f"cannot be opened as {container}: {_reason(error)}") from error


def video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures. Raises ProbeError if there is none."""
    for stream in container.streams.video:
        if stream.codec_context is None:
            raise ProbeError("the video stream's codec is unknown")
        return stream
    raise ProbeError("no video stream" + (", only audio" if container.streams.audio else ""))


def probe(source: BinaryIO) -> Probe:
    """Read what a file is. `source` is seekable. Raises ProbeError with what is wrong.

    MP4, MOV and AVI carry an index, so only it and the first frame are read; the other
    containers, and indices that contradict their header, are read through once without decoding.
    """
    source.seek(0)
    name = sniff_container(source.read(_HEAD_BYTES))
    with open_container(source, name) as container:
        stream = video_stream(container)
        context = stream.codec_context
        if not (context.width > 0 and context.height > 0):
            raise ProbeError("the video stream has no picture size")
        if context.width * context.height > _MAX_PIXELS:
            raise ProbeError(f"a picture size of {context.width} x {context.height} is refused")
        if not stream.time_base:
            raise ProbeError("the video stream has no time base")
        timing = _timing(container, stream)
        rotation_deg = _rotation(container, stream)
        seconds = timing.span * stream.time_base
        return Probe(
            container=name,
            codec=stream.codec.canonical_name,
            pixel_format=context.pix_fmt or "unknown",
            width=context.width,
            height=context.height,
            rotation_deg=rotation_deg,
            time_base=stream.time_base,
            start_pts=timing.start_ts,
            duration_s=float(seconds),
            frame_count=timing.frame_count,
            frame_rate=float(timing.frame_count / seconds),
            variable_frame_rate=timing.variable,
            key_frame_interval=timing.key_frame_interval,
            has_audio=bool(container.streams.audio),
            start_time=_start_time(container),
        )


def _timing(container: InputContainer, stream: VideoStream) -> _Timing:
    timestamps, keys = _indexed(container, stream)
    # An AVI that was never closed has no index; FFmpeg then lists the one packet that it has read.
    if len(timestamps) < 2 or not _agrees(timestamps, stream):
        timestamps, keys = _demuxed(container, stream)
    if not timestamps:
        raise ProbeError("the video stream has no frames")
    deltas = _deltas(timestamps)
    span = _span(timestamps, stream)
    if stream.duration and _agrees(timestamps, stream):
        span = stream.duration
    # The last delta is left out: the final frame's duration is often padded.
    body = deltas[:-1] or deltas
    return _Timing(
        start_ts=stream.start_time if stream.start_time is not None else min(timestamps),
        span=max(span, 1),
        frame_count=len(timestamps),
        variable=bool(body) and max(body) - min(body) > max(_VARIABLE_FROM * median(body), 1),
        key_frame_interval=median(b - a for a, b in pairwise(keys)) if len(keys) > 1 else None,
    )


def _deltas(timestamps: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(sorted(timestamps)) if after > before]


def _typical_delta(timestamps: list[int], stream: VideoStream) -> int:
    deltas = _deltas(timestamps)
    return round(median(deltas)) if deltas else stream.duration or _one_frame(stream)


def _span(timestamps: list[int], stream: VideoStream) -> int:
    return max(timestamps) - min(timestamps) + _typical_delta(timestamps, stream)


def _agrees(timestamps: list[int], stream: VideoStream) -> bool:
    """Whether the header's duration, where it states one, is that of these packets."""
    if not stream.duration:
        return True
    slack = 2 * _typical_delta(timestamps, stream)
    return abs(stream.duration - _span(timestamps, stream)) <= slack


def _indexed(container: InputContainer, stream: VideoStream) -> tuple[list[int], list[int]]:
    if container.format.name.split(",")[0] not in _INDEXED_CONTAINERS:
        return [], []
    entries = [entry for entry in stream.index_entries if not entry.is_discard]
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe]
    return [entry.timestamp for entry in entries], keys


def _demuxed(container: InputContainer, stream: VideoStream) -> tuple[list[int], list[int]]:
    timestamps: list[int] = []
    keys: list[int] = []
    try:
        for packet in container.demux(stream):
            timestamp = packet.pts if packet.pts is not None else packet.dts
            if packet.size and timestamp is not None:
                if packet.is_keyframe:
                    keys.append(len(timestamps))
                timestamps.append(timestamp)
    except FFmpegError as error:
        if not timestamps:
            raise ProbeError(f"no packet can be read: {_reason(error)}") from error
    return timestamps, keys


def _one_frame(stream: VideoStream) -> int:
    rate = stream.average_rate or Fraction(25)
    assert stream.time_base is not None
    return max(1, round(1 / (rate * stream.time_base)))


def _rotation(container: InputContainer, stream: VideoStream) -> int:
    """Clockwise degrees to upright, from the first frame: only frames carry the display matrix."""
    try:
        container.seek(0)
        for packet in islice(container.demux(stream), _PACKETS_UNTIL_A_FRAME):
            for frame in packet.decode():
                counterclockwise = frame.rotation
                return -counterclockwise % 360 if counterclockwise % 90 == 0 else 0
    except FFmpegError:
        pass  # the decode pass reports damage with its position
    return 0


def _start_time(container: InputContainer) -> datetime | None:
    stated = container.metadata.get("creation_time")
    try:
        moment = datetime.fromisoformat(stated) if stated else None
    except ValueError:
        return None
    if moment is None or moment.year < 1980:  # an unset clock writes 1904 or 1970
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
