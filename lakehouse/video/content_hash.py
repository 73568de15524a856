"""A file's content hash by reading it through, where no decode pass gave it.

What is hashed is `digest`; the decode pass, `one_pass`, hashes what it reads anyway.
"""

from typing import BinaryIO

from lakehouse.video.digest import StreamDigest
from lakehouse.video.packets import Damage, read_packets
from lakehouse.video.probe import open_container, video_stream


def packets_hash(source: BinaryIO, container: str) -> str | None:
    """The hash of the video's packets, 32 hexadecimal digits: the very one that a decode pass over
    all of them gives. None if there are no packets.

    `source` is read through, as far as that goes, and nothing is decoded; `container` is the
    format that the probe found. Raises ProbeError if it can't be opened.
    """
    with open_container(source, container) as opened:
        stream = video_stream(opened)
        digest = StreamDigest(stream)
        for packet in read_packets(opened, stream, Damage()):
            digest.add(packet)
    return digest.value()
