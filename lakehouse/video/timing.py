"""When the frames of a stream are shown, from as few of its packets as tell.

Reading packets and measuring them belongs here; when which reading suffices is `probe`. Times
are in the stream's time base; nothing is decoded but the first frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median
from typing import NamedTuple

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lakehouse.video.digest import StreamDigest
from lakehouse.video.packets import Damage, demuxed

LONGEST_S = 31 * 86_400
"""No recording lasts longer."""
MOST_FRAMES = 10_000_000
"""Nor has it more, which are 92 hours of 30 a second."""

_HEAD_PACKETS = 20_000
_PACKETS_UNTIL_A_FRAME = 120
_STEP_BACK_S = 2  # pictures are reordered over less
_VARIABLE_FROM = 0.1


class Shown(NamedTuple):
    """When a packet's frame is shown, or decoded where the container states only that; how long,
    0 where it doesn't say; when it is decoded, none likewise; and whether it is a key frame."""

    pts: int
    duration: int
    dts: int | None
    is_key: bool


@dataclass(frozen=True)
class Head:
    """The first packets of a stream in decoding order; all of them if `is_whole`.

    `frame` is the first that decodes, none if the first packets hold none. `first_packet_hash`,
    none if there is no packet, is that of a stream that consists of the first.
    """

    packets: list[Shown]
    frame: VideoFrame | None
    first_packet_hash: str | None
    is_whole: bool


@dataclass(frozen=True)
class Timing:
    """From `start` the frames last `span` ticks. `frame_count` is none where it isn't known.

    `frames_missing` of them lie where the file, cut short, has already ended. `frame_rate` is the
    mean in frames a tick, and it, `is_variable` and `key_frame_interval` (a median in frames, none
    for less than two key frames) are of the packets that were read from the start on.
    """

    start: int
    span: int
    frame_count: int | None
    frames_missing: int
    frame_rate: Fraction
    is_variable: bool
    key_frame_interval: float | None


def read_head(container: InputContainer, stream: VideoStream, until_byte: int) -> Head:
    """The packets from where the container stands to that byte of the file, and a frame of them.

    Ends earlier where the stream does, or can't be read on, and later only for the frame.
    """
    packets: list[Shown] = []
    frame = None
    digest = StreamDigest(stream)
    for count, packet in enumerate(demuxed(container, stream, Damage())):
        packets.extend(_shown(packet))
        if digest.value() is None:
            digest.add(packet)
        if frame is None and count < _PACKETS_UNTIL_A_FRAME:
            frame = _first_frame(packet)
        far = count >= _HEAD_PACKETS or (packet.pos or 0) >= until_byte
        if far and (frame or count >= _PACKETS_UNTIL_A_FRAME):
            return Head(packets, frame, digest.value(), is_whole=False)
    return Head(packets, frame, digest.value(), is_whole=True)


def read_end(container: InputContainer, stream: VideoStream, head: Head) -> int | None:
    """When the last frame ends, from the last packets and without those between.

    None where the container can't tell where the last packets are, or has none after the head.
    """
    first, latest = min(p.pts for p in head.packets), max(p.pts for p in head.packets)
    ticks_per_s = 1 / _time_base(stream)
    try:
        container.seek(first, stream=stream)  # makes FFmpeg read the Cues of a Matroska file
        if container.format.name.startswith("matroska") and not _is_indexed_after(latest, stream):
            return None
        container.seek(latest + round(LONGEST_S * ticks_per_s), stream=stream)
        tail = read_all(container, stream)
        if tail and not tail[0].is_key:
            # Frames that are shown after these may lie before them in the file.
            before = min(packet.pts for packet in tail) - round(_STEP_BACK_S * ticks_per_s)
            container.seek(before, stream=stream)
            tail = read_all(container, stream)
    except (FFmpegError, OverflowError):
        return None
    if max((packet.pts for packet in tail), default=latest) <= latest:
        return None
    return _end(tail, _one_frame([packet.pts for packet in head.packets], stream))


def read_all(container: InputContainer, stream: VideoStream) -> list[Shown]:
    """Every packet from where the container stands, as far as it can be read, and at most
    `MOST_FRAMES`."""
    packets = demuxed(container, stream, Damage())
    return list(islice((shown for packet in packets for shown in _shown(packet)), MOST_FRAMES))


def from_index(stream: VideoStream, file_bytes: int) -> Timing | None:
    """The timing that the container's index tells; none where it contradicts the header."""
    entries = [entry for entry in stream.index_entries if not entry.is_discard]
    times = [entry.timestamp for entry in entries]
    # An AVI that was never closed has no index; FFmpeg then lists the one packet that it has read.
    if len(times) < 2:
        return None
    one_frame = _one_frame(times, stream)
    span = max(times) - min(times) + one_frame
    if stream.duration:
        if abs(stream.duration - span) > 2 * one_frame:
            return None
        span = stream.duration
    return Timing(
        start=min(times) if stream.start_time is None else stream.start_time,
        span=max(span, 1),
        frame_count=len(entries),
        frames_missing=sum(entry.pos + entry.size > file_bytes for entry in entries),
        frame_rate=Fraction(len(entries), max(span, 1)),
        is_variable=_varies(times),
        key_frame_interval=_interval([entry.is_keyframe for entry in entries]),
    )


def from_packets(stream: VideoStream, packets: Sequence[Shown]) -> Timing:
    """The timing of a stream of which these are all packets, at least one."""
    times = [packet.pts for packet in packets]
    start = min(times)
    span = max(_end(packets, _one_frame(times, stream)) - start, 1)
    return Timing(
        start=start,
        span=span,
        frame_count=len(packets),
        frames_missing=0,
        frame_rate=Fraction(len(packets), span),
        is_variable=_varies(times),
        key_frame_interval=_interval([packet.is_key for packet in packets]),
    )


def from_ends(stream: VideoStream, head: Head, end: int) -> Timing:
    """The timing of a stream that starts with these packets, at least one, and ends then."""
    last_dts = head.packets[-1].dts
    # Of later ones some may be among the packets that were not read.
    times = [p.pts for p in head.packets if last_dts is None or p.pts <= last_dts]
    seen = from_packets(stream, head.packets)
    return replace(
        seen,
        span=max(end - seen.start, 1),
        frame_count=None,
        frame_rate=1 / _mean_delta(times) if len(times) > 1 else seen.frame_rate,
        is_variable=_varies(times),
    )


def _deltas(times: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(sorted(times)) if after > before]


def _mean_delta(times: Sequence[int]) -> Fraction:
    return Fraction(max(1, max(times) - min(times)), len(times) - 1)


def _one_frame(times: Sequence[int], stream: VideoStream) -> int:
    """How long a frame lasts that doesn't say so itself."""
    deltas = _deltas(times)
    if deltas:
        return round(median(deltas))
    rate = stream.average_rate or Fraction(25)
    return stream.duration or max(1, round(1 / (rate * _time_base(stream))))


def _varies(times: Sequence[int]) -> bool:
    # The last delta is left out: the final frame's duration is often padded.
    deltas = _deltas(times)[:-1] or _deltas(times)
    return bool(deltas) and max(deltas) - min(deltas) > max(_VARIABLE_FROM * median(deltas), 1)


def _interval(are_keys: Sequence[bool]) -> float | None:
    keys = [number for number, is_key in enumerate(are_keys) if is_key]
    return median(after - before for before, after in pairwise(keys)) if len(keys) > 1 else None


def _end(packets: Sequence[Shown], one_frame: int) -> int:
    last = max(packets, key=lambda packet: packet.pts)
    return last.pts + (last.duration or one_frame)


def _time_base(stream: VideoStream) -> Fraction:
    assert stream.time_base, "the probe refuses streams without a time base"
    return stream.time_base


def _is_indexed_after(pts: int, stream: VideoStream) -> bool:
    """Without Cues, seeking would read the file up to there, as slowly as reading all of it."""
    count = len(stream.index_entries)
    return count > 0 and stream.index_entries[count - 1].timestamp > pts


def _shown(packet: Packet[VideoStream]) -> Iterator[Shown]:
    pts = packet.pts if packet.pts is not None else packet.dts
    if packet.size and pts is not None and not packet.is_discard:
        yield Shown(pts, packet.duration or 0, packet.dts, packet.is_keyframe)


def _first_frame(packet: Packet[VideoStream]) -> VideoFrame | None:
    try:
        return next(iter(packet.decode()), None)
    except FFmpegError:
        return None
