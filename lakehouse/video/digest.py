"""The hash by which footage is known again: of its compressed packets, not of its file.

What is hashed belongs here. Reading the packets is `packets`; a file's hash without decoding it,
`content_hash`.
"""

import struct
from hashlib import blake2b

from av.packet import Packet
from av.video.stream import VideoStream

_DIGEST_BYTES = 16
_FACTS = struct.Struct("<qq??")
_NO_TIME = -(2**63)


def packet_digest(packet: "Packet[VideoStream]") -> bytes:
    """16 bytes, of a packet's pts and dts in ticks, of whether it is a key frame and whether an
    edit list hides it, and of its content. Nothing of the empty packet at a stream's end."""
    if not packet.size:
        return b""
    pts = _NO_TIME if packet.pts is None else packet.pts
    dts = _NO_TIME if packet.dts is None else packet.dts
    digest = blake2b(
        _FACTS.pack(pts, dts, packet.is_keyframe, packet.is_discard), digest_size=_DIGEST_BYTES
    )
    digest.update(packet)
    return digest.digest()


class StreamDigest:
    """Takes in a stream's codec, time base and codec configuration, and then all of its packets
    in decoding order.

    It is a digest of the packets' digests, so that parts of a stream can be read side by side.
    """

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        facts = f"{context.codec.canonical_name} {stream.time_base}".encode()
        configuration = blake2b(context.extradata or b"", digest_size=_DIGEST_BYTES)
        self._hash = blake2b(facts + configuration.digest(), digest_size=_DIGEST_BYTES)
        self._is_empty = True

    def add(self, packet: "Packet[VideoStream]") -> None:
        """Take in the next packet."""
        self.join(packet_digest(packet))

    def join(self, digests: bytes | bytearray) -> None:
        """Take in the next packets, by their digests."""
        self._hash.update(digests)
        self._is_empty = self._is_empty and not digests

    def value(self) -> str | None:
        """32 hexadecimal digits; none where there was no packet."""
        return None if self._is_empty else self._hash.hexdigest()
