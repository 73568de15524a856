"""Pictures out of packets, whatever is damaged: all of a stream, or its key frames.

A part of a stream is `parts`; leaving out what shows nothing new, `thrift`; what is done with the
pictures, `one_pass`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from av.container import InputContainer
from av.error import FFmpegError
from av.index import IndexEntry
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lakehouse.video.digest import StreamDigest
from lakehouse.video.packets import (
    Damage,
    VideoPacket,
    indexed_key_frames,
    read_packets,
    seek_to_key_frame,
)
from lakehouse.video.picture_size import refusal

_PREVIEW_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame of the stream, in ticks; `frame` is none where its picture was left out on purpose.

    `pts` is none, and `duration` 0, where the container states none.
    """

    pts: int | None
    frame: VideoFrame | None
    duration: int = 0


def decode(packet: VideoPacket, damage: Damage) -> Iterator[Decoded]:
    """The frames that come out when this packet goes in; a refused or incomplete one is
    counted in `damage`."""
    try:
        frames = packet.decode()
    except FFmpegError as error:
        damage.add(refusal(packet.stream, error) or error)
        return
    if packet.is_corrupt:  # an MPEG-TS shows its losses only here
        damage.add("packets are incomplete")
    for frame in frames:
        yield Decoded(frame.pts, frame, frame.duration or 0)


def drain(stream: VideoStream, damage: Damage) -> Iterator[Decoded]:
    """The frames that the decoder still holds; afterwards it must be fed a key frame."""
    context = stream.codec_context
    try:
        for frame in context.decode(None):
            yield Decoded(frame.pts, frame, frame.duration or 0)
    except FFmpegError as error:
        damage.add(error)
    context.flush_buffers()


def every_frame(
    container: InputContainer,
    stream: VideoStream,
    damage: Damage,
    digest: StreamDigest | None = None,
) -> Iterator[Decoded]:
    """All frames of the stream. One bad packet costs its own frames only. `digest` takes in every
    packet."""
    on_one_thread(stream)
    for packet in read_packets(container, stream, damage, digest):
        yield from decode(packet, damage)


def spaced_key_frames(
    container: InputContainer, stream: VideoStream, interval: int
) -> list[IndexEntry]:
    """Key frames `interval` ticks apart or more that the index names, if the container has one.

    Where they would make up more than 12 % of the file, some are passed over.
    """
    spaced: list[IndexEntry] = []
    taken_bytes = 0
    for entry in indexed_key_frames(container, stream):
        is_due = not spaced or entry.timestamp >= spaced[-1].timestamp + interval
        is_affordable = taken_bytes <= _PREVIEW_SHARE * entry.pos
        if is_due and is_affordable and not entry.is_discard:
            spaced.append(entry)
            taken_bytes += entry.size
    return spaced


def key_frames_for_groups(
    container: InputContainer,
    stream: VideoStream,
    damage: Damage,
    *,
    indexed: Sequence[IndexEntry],
    interval: int,
    end_pts: int,
) -> Iterator[Decoded]:
    """Key frames that stand for all frames up to the next one, the last up to `end_pts`, unless
    those after it can't be read.

    Of a container with an index, the packets of `indexed` are read and no others; see
    `spaced_key_frames`. Of others, every packet is read, and key frames less than `interval`
    ticks after the last one are passed over.
    """
    on_one_thread(stream)
    stream.codec_context.skip_frame = "NONKEY"
    before: Decoded | None = None
    refused = 0
    if indexed:
        frames = _sought(container, stream, damage, indexed)
    else:
        frames = _passed_by(container, stream, damage, interval)
    for decoded in frames:
        if before and before.pts is not None and decoded.pts is not None:
            before = replace(before, duration=decoded.pts - before.pts)
        if before:
            yield before
        before, refused = decoded, damage.packets
    if before and before.pts is not None and damage.packets == refused:
        before = replace(before, duration=max(before.duration, end_pts - before.pts))
    if before:
        yield before


def _sought(
    container: InputContainer, stream: VideoStream, damage: Damage, indexed: Sequence[IndexEntry]
) -> Iterator[Decoded]:
    # Told to discard other frames itself, FFmpeg gives those of an MP4 the wrong pts.
    for entry in indexed:
        try:
            seek_to_key_frame(container, stream, entry.timestamp)
        except FFmpegError as error:
            damage.add(error)
            continue
        packet = next(read_packets(container, stream, damage), None)
        if packet and packet.size and packet.dts == entry.timestamp:
            yield from decode(packet, damage)
            yield from drain(stream, damage)
        else:
            damage.add("a key frame of the index is not there")


def _passed_by(
    container: InputContainer, stream: VideoStream, damage: Damage, interval: int
) -> Iterator[Decoded]:
    due: int | None = None
    for packet in read_packets(container, stream, damage):
        if packet.size:
            if not packet.is_keyframe or packet.is_discard:
                continue
            if due is not None and packet.pts is not None and packet.pts < due:
                continue
            due = None if packet.pts is None else packet.pts + interval
        yield from decode(packet, damage)


def on_one_thread(stream: VideoStream) -> None:
    """Parts of a stream side by side cost less than threads within a frame."""
    if not stream.codec_context.is_open:
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
