"""Which packets of a recording one span of its frames needs.

Finding and reading them belongs here; what they are written to is `cut`. Nothing is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from lakehouse.errors import UserError
from lakehouse.video.key_frames import is_true_key_frame

_INTERLEAVING_S = 1  # how far apart containers put sound and picture of one moment
_AUDIO_PRE_ROLL_S = Fraction(1, 10)  # Opus needs 80 ms to settle, AAC one packet


@dataclass(frozen=True)
class Span:
    """Packets in decoding order, and which of the video's ticks are shown: [start, end)."""

    pictures: list[Packet[Stream]]
    sounds: list[Packet[Stream]]
    shown_start: int
    shown_end: int


def read_span(
    recording: InputContainer,
    streams: Sequence[Stream],
    start_pts: int,
    end_pts: int,
    most_bytes: int,
) -> Span:
    """The packets behind the frames with start_pts <= pts < end_pts, in the video's ticks.

    `streams` are the video and at most one audio stream. Pictures start at a key frame and may
    have frames after the span between those that it needs; the last shown one lasts until
    `shown_end`. Raises UserError where no frame or no key frame is found, times are missing, or
    packets are of more than `most_bytes`, as where a forged index lists the same bytes for many.
    """
    video = streams[0]
    pictures: list[Packet[Stream]] = []
    sounds: list[Packet[Stream]] = []
    packets = _from_key_frame(recording, streams, start_pts, most_bytes)
    for packet in _until_end(packets, streams, end_pts):
        if packet.stream is not video:
            sounds.append(packet)
            continue
        if packet.is_keyframe and pts(packet) <= start_pts:
            pictures.clear()
        pictures.append(packet)
    shown = [p for p in pictures if start_pts <= pts(p) < end_pts and not p.is_discard]
    if not shown:
        raise UserError(f"no frame is shown from {start_pts} to {end_pts}; cut another span")
    first, last = min(shown, key=pts), max(shown, key=pts)
    if any(p.is_discard and pts(first) < pts(p) < pts(last) for p in pictures):
        raise UserError("the recording's own edits skip frames of the span; re-encode it first")
    shown_end = _shown_end(pictures, last, end_pts)
    last.duration = shown_end - pts(last)
    return Span(
        pictures=_playable(pictures[: 1 + pictures.index(shown[-1])]),
        sounds=_heard(sounds, pts(first) * tick_s(video), shown_end * tick_s(video)),
        shown_start=pts(first),
        shown_end=shown_end,
    )


def pts(packet: Packet[Stream]) -> int:
    """When it is shown. Raises UserError if the container doesn't say."""
    if packet.pts is None:
        raise UserError("the recording doesn't say when its frames are shown; re-encode it first")
    return packet.pts


def tick_s(stream: Stream) -> Fraction:
    """The unit of the stream's times. Raises UserError if the container states none."""
    if not stream.time_base:
        raise UserError("the recording states no time base; re-encode it first")
    return stream.time_base


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, whichever decoder is used for it."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _from_key_frame(
    recording: InputContainer, streams: Sequence[Stream], start_pts: int, most_bytes: int
) -> Iterator[Packet[Stream]]:
    """Packets from a key frame on that is shown at or before `start_pts`, and near it.

    Demuxers seek by decoding time, and that of MPEG-TS to any packet, so that a seek may land
    after the key frame; then it is repeated from further and further before.
    """
    video = streams[0]
    ticks_per_s = math.ceil(1 / tick_s(video))
    beginning = (video.start_time or 0) - ticks_per_s
    target, step = start_pts, ticks_per_s
    while True:
        recording.seek(target, stream=video)
        packets = _up_to(most_bytes, _with_true_key_frames(recording.demux(*streams), video))
        head: list[Packet[Stream]] = []
        for packet in packets:
            head.append(packet)
            if packet.stream is video and packet.is_keyframe and pts(packet) <= start_pts:
                return chain(head, packets)
            if packet.stream is video and packet.dts is not None and packet.dts > start_pts:
                break
        if target < beginning:
            raise UserError(f"no key frame is shown up to {start_pts}; cut a later span")
        target, step = target - step, 2 * step


def _with_true_key_frames(
    packets: Iterable[Packet[Stream]], video: Stream
) -> Iterator[Packet[Stream]]:
    """The packets, of the video's only those marked as key frames that a player may start at."""
    for packet in packets:
        if packet.stream is video:
            packet.is_keyframe = is_true_key_frame(packet)
        yield packet


def _up_to(most_bytes: int, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    bytes_read = 0
    for packet in packets:
        bytes_read += packet.size
        if bytes_read > most_bytes:
            raise UserError("the recording's packets are larger than its file; re-encode it first")
        yield packet


def _until_end(
    packets: Iterable[Packet[Stream]], streams: Sequence[Stream], end_pts: int
) -> Iterator[Packet[Stream]]:
    """Packets until each stream is past `end_pts`, or the video by the interleaving's span."""
    video = streams[0]
    end_s = end_pts * tick_s(video)
    ends = {stream.index: math.ceil(end_s / tick_s(stream)) for stream in streams}
    video_limit = math.ceil((end_s + _INTERLEAVING_S) / tick_s(video))
    for packet in packets:
        if not packet.size:
            continue
        yield packet
        if packet.dts is None:
            continue
        if packet.dts >= ends.get(packet.stream_index, math.inf):
            del ends[packet.stream_index]
        if not ends or (packet.stream is video and packet.dts >= video_limit):
            return


def _playable(pictures: Sequence[Packet[Stream]]) -> list[Packet[Stream]]:
    """The pictures as browsers can play them, first of all and from any that is marked.

    Where one that is shown before a key frame needs others before it, they fail: at the start such
    pictures are left out, later ones have no marked key frame after which they come.
    """
    needed = [packet for packet in pictures if pts(packet) >= pts(pictures[0])]
    earliest_after = math.inf
    for packet in reversed(needed):
        packet.is_keyframe = packet.is_keyframe and pts(packet) < earliest_after
        earliest_after = min(earliest_after, pts(packet))
    return needed


def _shown_end(pictures: Iterable[Packet[Stream]], last: Packet[Stream], end_pts: int) -> int:
    """Where the last frame of the span ends: at `end_pts`, or earlier with the recording."""
    later = [pts(packet) for packet in pictures if pts(packet) > pts(last)]
    if later:
        return min(end_pts, *later)
    return min(end_pts, pts(last) + last.duration) if last.duration else end_pts


def _heard(
    sounds: Iterable[Packet[Stream]], start_s: Fraction, end_s: Fraction
) -> list[Packet[Stream]]:
    """The sounds of the span, and those before it from which a decoder settles."""
    timed = [packet for packet in sounds if packet.pts is not None]
    if not timed:
        return []
    tick = tick_s(timed[0].stream)
    start, end = math.floor((start_s - _AUDIO_PRE_ROLL_S) / tick), math.ceil(end_s / tick)
    return [packet for packet in timed if start <= pts(packet) < end]
