"""A stream in parts that start at key frames, each decoded on its own to the very same frames.

Where to split and how to decode one part belong here; running parts side by side is `one_pass`.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from lakehouse.video.decode import Decoded, decode, drain, on_one_thread
from lakehouse.video.digest import packet_digest
from lakehouse.video.key_frames import is_true_key_frame
from lakehouse.video.packets import (
    Damage,
    VideoPacket,
    indexed_key_frames,
    most_bytes,
    read_packets,
    seek_to_key_frame,
    shown_before,
)


class CannotSplit(Exception):  # noqa: N818, it is an answer: decode the stream in one go
    """The parts would not add up to the whole."""


@dataclass(frozen=True)
class Part:
    """From the key frame at `start_dts` to before the one at `end_dts`, which are those of the
    container's index; none for the stream's own start and end."""

    start_dts: int | None
    end_dts: int | None


def parts_of(
    container: InputContainer, stream: VideoStream, min_ticks: float, max_ticks: float
) -> list[Part]:
    """Parts of `min_ticks` to `max_ticks`, as the container's index tells; one, which is the
    whole stream, where it tells nothing or key frames lie further apart.

    Streams whose edit list leaves out frames are not split: a seek shows other frames then.
    """
    whole = [Part(None, None)]
    keys = [entry.timestamp for entry in indexed_key_frames(container, stream)]
    is_edited = any(entry.is_discard for entry in stream.index_entries)
    named_bytes = sum(entry.size for entry in stream.index_entries)
    if is_edited or keys != sorted(set(keys)) or not keys or named_bytes > most_bytes(container):
        return whole
    edges = [keys[0]]
    while (number := bisect_left(keys, edges[-1] + min_ticks)) < len(keys):
        edges.append(keys[number])
    end = max(entry.timestamp for entry in stream.index_entries)
    if any(after - before > max_ticks for before, after in pairwise([*edges, end])):
        return whole
    starts = [None, *edges[1:]]
    return [Part(*pair) for pair in zip(starts, [*starts[1:], None], strict=True)]


def every_frame_of(
    container: InputContainer,
    stream: VideoStream,
    part: Part,
    damage: Damage,
    digests: bytearray,
) -> Iterator[Decoded]:
    """The frames of one part; one without a start needs a container that was not read yet. The
    digests of its packets, which make up those of the stream, are appended to `digests`.

    Raises CannotSplit where the part turns out not to start or end at a key frame that a decoder
    can start at.
    """
    on_one_thread(stream)
    first_pts = None
    if part.start_dts is not None:
        try:
            seek_to_key_frame(container, stream, part.start_dts)
        except FFmpegError as error:
            raise CannotSplit from error
    packets = read_packets(container, stream, damage)
    is_leading = True
    for number, packet in enumerate(packets):
        if number == 0 and part.start_dts is not None:
            first_pts = _starting_pts(packet, part.start_dts)
        elif first_pts is not None and packet.pts is not None:
            is_leading = is_leading and packet.pts < first_pts
            if not is_leading and packet.pts < first_pts:
                raise CannotSplit
        if part.end_dts is not None and packet.dts is not None and packet.dts >= part.end_dts:
            end_pts = _starting_pts(packet, part.end_dts)
            frames = _up_to(packet, end_pts, packets, stream, damage)
        else:
            end_pts = None
            frames = decode(packet, damage)
            digests += packet_digest(packet)
        for decoded in frames:
            if first_pts is None or (decoded.pts is not None and decoded.pts >= first_pts):
                yield decoded
        if end_pts is not None:
            return
    if part.end_dts is not None:
        raise CannotSplit


def _starting_pts(packet: VideoPacket, dts: int) -> int:
    if packet.dts != dts or packet.pts is None or not is_true_key_frame(packet):
        raise CannotSplit
    return packet.pts


def _up_to(
    key: VideoPacket,
    key_pts: int,
    packets: Iterator[VideoPacket],
    stream: VideoStream,
    damage: Damage,
) -> Iterator[Decoded]:
    """The frames before the next part's key frame: of an open group of pictures, some of them
    are decoded with its help."""
    leading = shown_before(key, packets)
    fed = [decode(packet, damage) for packet in ([key, *leading] if leading else [])]
    for decoded in chain(*fed, drain(stream, damage)):
        if decoded.pts is None or decoded.pts > key_pts:
            raise CannotSplit
        if decoded.pts < key_pts:
            yield decoded
