"""A stream's packets in decoding order, and the groups of pictures that they form.

Reading and grouping belong here. Which packets are decoded is decided in `decode`, `parts` and
`thrift`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from av.container import InputContainer
from av.error import FFmpegError
from av.index import IndexEntry
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from lakehouse.video.digest import StreamDigest
from lakehouse.video.key_frames import is_true_key_frame

_MOST_PACKETS = 600
_MOST_BYTES = 64 * 2**20
_MOST_TIMES_READ = 4
"""An index may point to the same bytes from millions of frames, and bytes may be compressed."""

VideoPacket: TypeAlias = "Packet[VideoStream]"


@dataclass
class Damage:
    """What could not be decoded so far: packets refused or incomplete, and the first reason."""

    packets: int = 0
    first_error: str | None = None

    def add(self, error: FFmpegError | IndexError | str) -> None:
        """Count one packet."""
        self.packets += 1
        reason = getattr(error, "strerror", None) or str(error)
        self.first_error = self.first_error or reason


@dataclass
class Reading:
    """What reading a stream tells besides its frames: `damage` as they come, and after the last
    one the hash of all packets, none where not all were read."""

    damage: Damage = field(default_factory=Damage)
    packets_hash: str | None = None


def read_packets(
    container: InputContainer,
    stream: VideoStream,
    damage: Damage,
    digest: StreamDigest | None = None,
) -> Iterator[VideoPacket]:
    """The stream's packets from where the container stands, other streams passed over; `digest`
    takes them in.

    The last one is empty: it makes the decoder give out what it holds back. A container that
    can't be read on ends early, and `damage` says so.
    """
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    for packet in demuxed(container, stream, damage):
        if digest:
            digest.add(packet)
        yield packet


def demuxed(
    container: InputContainer, stream: VideoStream, damage: Damage
) -> Iterator[VideoPacket]:
    """As `read_packets`, but other streams stay as they are."""
    packets = container.demux(stream)
    left_bytes = most_bytes(container)
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, IndexError) as error:
            # An IndexError is PyAV's own: it stumbles over streams that appear in mid-file.
            damage.add(error)
            return
        if packet is None:
            return
        left_bytes -= packet.size
        if left_bytes < 0:
            damage.add("it holds the same bytes again and again")
            return
        yield packet


def most_bytes(container: InputContainer) -> int:
    """More than this is not read of one stream: packets may be compressed once more, and an index
    may point to the same bytes from millions of frames."""
    return _MOST_TIMES_READ * container.size


def indexed_key_frames(container: InputContainer, stream: VideoStream) -> list[IndexEntry]:
    """The key frames that an MP4's or MOV's index names, in decoding order, which is what their
    timestamps are of; none of other containers."""
    if not container.format.name.startswith("mov"):
        return []
    return [entry for entry in stream.index_entries if entry.is_keyframe]


def seek_to_key_frame(container: InputContainer, stream: VideoStream, dts: int) -> None:
    """Go where the next packet is the key frame of this dts. Raises FFmpegError.

    Broken indexes lead elsewhere, so that the packet's dts is still to be compared.
    """
    # Backwards, FFmpeg takes it for a pts, and stops a key frame early if frames are reordered.
    container.seek(dts, stream=stream, backward=False)


def shown_before(key: VideoPacket, packets: Iterable[VideoPacket]) -> list[VideoPacket]:
    """Of the packets after a key frame, those that lead: they are shown before it."""
    leading = []
    for packet in packets:
        if packet.pts is None or key.pts is None or packet.pts >= key.pts:
            break
        leading.append(packet)
    return leading


def groups_of_pictures(packets: Iterator[VideoPacket]) -> Iterator[list[VideoPacket]]:
    """The packets in groups that each start with a true key frame.

    Bounded: what comes after 600 packets or 64 MiB without one is a group that doesn't.
    """
    group: list[VideoPacket] = []
    size_bytes = 0
    for packet in packets:
        full = len(group) == _MOST_PACKETS or size_bytes > _MOST_BYTES
        if group and (full or is_true_key_frame(packet)):
            yield group
            group, size_bytes = [], 0
        group.append(packet)
        size_bytes += packet.size
    if group:
        yield group
