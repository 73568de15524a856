"""What a file is, before its pictures are decoded: container, codec, times, key frames.

The container format is read off the first bytes and pinned: FFmpeg must never guess that a file
from a bucket is a playlist that opens other files. Decoding is `decode`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from io import SEEK_END
from types import MappingProxyType
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lakehouse.video import timing
from lakehouse.video.claims import check_claims, is_fragmented
from lakehouse.video.picture_size import MOST_PIXELS, bound_decoders, oversize, size_options
from lakehouse.video.timing import LONGEST_S, MOST_FRAMES, Head, Shown, Timing

_SNIFFED_BYTES = 4096
_HEAD_BYTES = 4 * 2**20
_TS_PACKET_BYTES = 188
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot"}
_INDEXED_CONTAINERS = {"mov", "avi"}
_SEEKABLE_CONTAINERS = {"matroska", "mpegts"}
# FFmpeg looks for all of a fragmented index at once, unless it is told to stop at the first piece,
# or where the list of pieces at the end of the file may be used.
_FIRST_FRAGMENT = {"fflags": "+ignidx"}
_LISTED_FRAGMENTS = {"use_mfra_for": "pts"}
_FEWER_STREAMS = {"max_streams": "64"}  # FFmpeg decodes pictures of each to know its format


class ProbeError(Exception):
    """The bytes are no footage that can be decoded; the message says what they are instead."""


@dataclass(frozen=True)
class Probe:
    """Facts about the video stream. Times are in its time base; `duration_s` in seconds.

    `width` and `height` are as coded; `rotation_deg` is clockwise, one of 0, 90, 180, 270, and
    makes the picture upright. `start_time` is what the container claims, in UTC, without a zone.

    `duration_s` is that of the video, whatever else the container holds. `frame_count` is none
    where only reading the whole file would tell; `frames_missing` of them are named by the index
    and lie past the end of a file that was cut short. `frame_rate` (a mean),
    `variable_frame_rate` and `key_frame_interval` (a median in frames, none where fewer than two
    key frames were seen) are of all frames in MP4, MOV and AVI and in small files of other kinds,
    and else of the first few seconds.

    `first_packet_hash` is equal of equal footage, and a hint only: 32 hexadecimal digits, none
    where the first packet can't be read.
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
    frame_count: int | None
    frames_missing: int
    frame_rate: float
    variable_frame_rate: bool
    key_frame_interval: float | None
    has_audio: bool
    start_time: datetime | None
    first_packet_hash: str | None


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


class _AsItComes:
    """A source of which a read gives what is at hand: FFmpeg asks again if it needs more, and
    nothing is fetched past what it needs."""

    def __init__(self, source: BinaryIO) -> None:
        self.read = getattr(source, "read1", source.read)
        self.seek = source.seek
        self.tell = source.tell


def open_container(
    source: BinaryIO,
    container: str,
    options: Mapping[str, str] = MappingProxyType({}),
    most_pixels: int = MOST_PIXELS,
) -> InputContainer:
    """The file, from its first byte, opened with the pinned format. Raises ProbeError.

    `options` are FFmpeg's, for its demuxer. Its decoders refuse pictures of more than
    `most_pixels`.
    """
    try:
        check_claims(source, container)
        source.seek(0)
        opened = av.open(
            cast(BinaryIO, _AsItComes(source)),
            mode="r",
            format=container,
            options={**options, **_FEWER_STREAMS, **size_options(most_pixels)},
            metadata_errors="replace",
        )
    except (FFmpegError, ValueError, MemoryError) as error:
        raise ProbeError(f"cannot be opened as {container}: {_reason(error)}") from error
    bound_decoders(opened)
    return opened


def video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures. Raises ProbeError if there is none."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise ProbeError("the video stream's codec is unknown")
        return stream
    raise ProbeError("no video stream" + (", only audio" if container.streams.audio else ""))


def probe(source: BinaryIO, most_pixels: int = MOST_PIXELS) -> Probe:
    """Read what a file is. `source` is seekable. Raises ProbeError with what is wrong; pictures of
    more than `most_pixels` are.

    Only an index and the first frame are read of MP4, MOV and AVI; of Matroska, MPEG-TS and
    fragmented MP4 at most some MB at either end, if there are Cues, or a list of the fragments.
    Other files, and those whose index contradicts their header, are read through, undecoded.
    """
    source.seek(0)
    name = sniff_container(source.read(_SNIFFED_BYTES))
    fragmented = name == "mov" and is_fragmented(source)
    options = _FIRST_FRAGMENT if fragmented else {}
    with open_container(source, name, options, most_pixels) as container:
        stream = video_stream(container)
        context = stream.codec_context
        if not (context.width > 0 and context.height > 0):
            raise ProbeError("the video stream has no picture size")
        if too_large := oversize(stream):
            raise ProbeError(too_large)
        if not stream.time_base:
            raise ProbeError("the video stream has no time base")
        times, head = _timing(source, name, fragmented, container, stream)
        duration_s = times.span * stream.time_base
        if duration_s > LONGEST_S:
            raise ProbeError(f"its frames lie {duration_s // 86_400} days apart, which is refused")
        return Probe(
            container=name,
            codec=stream.codec.canonical_name,
            pixel_format=context.pix_fmt or "unknown",
            width=context.width,
            height=context.height,
            rotation_deg=_rotation(head.frame),
            time_base=stream.time_base,
            start_pts=times.start,
            duration_s=float(duration_s),
            frame_count=times.frame_count,
            frames_missing=times.frames_missing,
            frame_rate=float(times.frame_rate / stream.time_base),
            variable_frame_rate=times.is_variable,
            key_frame_interval=times.key_frame_interval,
            has_audio=bool(container.streams.audio),
            start_time=_start_time(container),
            first_packet_hash=head.first_packet_hash,
        )


def _timing(
    source: BinaryIO, name: str, fragmented: bool, container: InputContainer, stream: VideoStream
) -> tuple[Timing, Head]:
    """The timing, from as little as tells it, and the first packets."""
    if name in _INDEXED_CONTAINERS and not fragmented:
        found = _from_index(source, stream)
        if found:
            head = timing.read_head(container, stream, until_byte=0)
            if name == "avi" and head.packets:
                # It states decoding times only, of which FFmpeg makes these.
                found = replace(found, start=min(packet.pts for packet in head.packets))
            return found, head
    head = timing.read_head(container, stream, _HEAD_BYTES)
    if not head.packets:
        raise ProbeError("the video stream has no frames")
    if head.is_whole:
        return timing.from_packets(stream, head.packets), head
    end = None
    if fragmented:
        with open_container(source, name, _LISTED_FRAGMENTS) as listed:
            again = video_stream(listed)
            if again.start_time == stream.start_time:
                end = timing.read_end(listed, again, head)
    elif name in _SEEKABLE_CONTAINERS:
        end = timing.read_end(container, stream, head)
    if end is not None:
        return timing.from_ends(stream, head, end), head
    with open_container(source, name) as whole:
        again = video_stream(whole)
        found = _from_index(source, again) if name in _INDEXED_CONTAINERS else None
        found = found or timing.from_packets(again, _all_packets(whole, again))
    return found, head


def _all_packets(container: InputContainer, stream: VideoStream) -> list[Shown]:
    packets = timing.read_all(container, stream)
    if len(packets) >= MOST_FRAMES:
        raise ProbeError(f"it has {MOST_FRAMES} frames or more, which is refused")
    return packets


def _from_index(source: BinaryIO, stream: VideoStream) -> Timing | None:
    file_bytes = source.seek(0, SEEK_END)
    count = len(stream.index_entries)
    if count > file_bytes:
        raise ProbeError("its index names more frames than the file has bytes")
    if count >= MOST_FRAMES:
        raise ProbeError(f"its index names {count} frames, which is refused")
    found = timing.from_index(stream, file_bytes)
    if found and found.frames_missing == found.frame_count:
        raise ProbeError("the file ends before its first frame: it was cut short")
    return found


def _rotation(frame: VideoFrame | None) -> int:
    """Clockwise degrees to upright; only frames carry the display matrix."""
    counterclockwise = frame.rotation if frame else 0
    return -counterclockwise % 360 if counterclockwise % 90 == 0 else 0


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
