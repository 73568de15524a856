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

_INTERLEAVING_S = 1  # how far apart containers put sound and picture of one moment
_AUDIO_PRE_ROLL_S = Fraction(1, 10)  # Opus needs 80 ms to settle, AAC one packet
_H264_SLICE, _H264_IDR, _H264_SEI = 1, 5, 6
_SEI_RECOVERY_POINT = 6


@dataclass(frozen=True)
class Span:
    """Packets in decoding order, and which of the video's ticks are shown: [start, end)."""

    pictures: list[Packet[Stream]]
    sounds: list[Packet[Stream]]
    shown_start: int
    shown_end: int


def read_span(
    recording: InputContainer, streams: Sequence[Stream], start_pts: int, end_pts: int
) -> Span:
    """The packets behind the frames with start_pts <= pts < end_pts, in the video's ticks.

    `streams` are the video and at most one audio stream. Pictures start at a key frame and may
    have frames after the span between those that it needs; the last shown one lasts until
    `shown_end`. Raises UserError where no frame or no key frame is found, or times are missing.
    """
    video = streams[0]
    pictures: list[Packet[Stream]] = []
    sounds: list[Packet[Stream]] = []
    packets = _from_key_frame(recording, streams, start_pts)
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
        pictures=pictures[: 1 + pictures.index(shown[-1])],
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
    recording: InputContainer, streams: Sequence[Stream], start_pts: int
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
        packets = _with_true_key_frames(recording.demux(*streams), video)
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
    """The packets, of which only those are key frames after which every shown frame is right.

    Containers also mark the points where H.264 begins to refresh the picture bit by bit. Whoever
    starts there, this cut or a player of it, gets no right picture for a while.
    """
    h264 = codec_name(video) == "h264"
    for packet in packets:
        if h264 and packet.stream is video and packet.is_keyframe:
            packet.is_keyframe = not _refreshes_gradually(packet)
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


def _refreshes_gradually(packet: Packet[Stream]) -> bool:
    """Whether a recovery point SEI states that more than 0 frames are needed to recover."""
    for unit in _h264_units(memoryview(packet), packet.stream.codec_context.extradata):
        kind = unit[0] & 0x1F if unit else 0
        if kind in (_H264_SLICE, _H264_IDR):
            return False
        if kind == _H264_SEI:
            recovery = _sei_payload(bytes(unit[1:]), _SEI_RECOVERY_POINT)
            if recovery:
                return recovery[0] < 0x80  # Exp-Golomb: a leading 1 is the number 0
    return False


def _h264_units(data: memoryview, extradata: bytes | None) -> Iterator[memoryview]:
    """The NAL units of an access unit, in MP4's framing (ISO/IEC 14496-15) or in Annex B's."""
    if extradata and len(extradata) > 4 and extradata[0] == 1:
        prefix = (extradata[4] & 3) + 1
        start = 0
        while start + prefix < len(data):
            end = start + prefix + int.from_bytes(data[start : start + prefix])
            yield data[start + prefix : end]
            start = end
        return
    whole = bytes(data)
    start = whole.find(b"\0\0\1")
    while 0 <= start < len(whole) - 3:
        end = whole.find(b"\0\0\1", start + 3)
        yield data[start + 3 : end if end >= 0 else len(data)]
        start = end


def _sei_payload(unit: bytes, wanted: int) -> bytes:
    """The first payload of a type, empty if there is none. ITU-T H.264, 7.3.2.3.1."""
    data = unit.replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(data):
        header = [0, 0]
        for field in range(2):
            while at < len(data) and data[at] == 0xFF:
                header[field] += 0xFF
                at += 1
            if at < len(data):
                header[field] += data[at]
            at += 1
        kind, size = header
        if kind == wanted:
            return data[at : at + size]
        at += size
    return b""


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
