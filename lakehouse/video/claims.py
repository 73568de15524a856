"""What a container claims, checked before FFmpeg sets memory aside or makes up for it.

Only claims that FFmpeg takes on trust, or mends in silence, belong here; it compares the others
with the bytes itself. Layouts are those of ISO/IEC 14496-12 and of Microsoft's AVISTREAMHEADER.
"""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO

from lakehouse.video.mp4.boxes import Box, NotSliceable, boxes, optional, read_index, version
from lakehouse.video.mp4.movie import MOST_TICKS_PER_S

_AVI_HEADER_BYTES = 4096


def check_claims(source: BinaryIO, container: str) -> None:
    """Raises ValueError, with what is wrong, where what the container says can't be true.

    That is where a track of an MP4 claims more samples of one size than the file has bytes, or
    the video of an MP4 or AVI has no time base: FFmpeg would fill its memory with the ones, and
    make up the other. A header that can't be followed is left for FFmpeg to refuse.
    """
    if container == "mov":
        with suppress(NotSliceable):
            _check_mp4(source)
    elif container == "avi":
        _check_avi(source)


def is_fragmented(source: BinaryIO) -> bool:
    """Whether the index is spread over the file, piece by piece before what it is of."""
    try:
        index, _ = read_index(source)
        return optional(index, b"mvex") is not None
    except NotSliceable:
        return False


def _check_mp4(source: BinaryIO) -> None:
    index, file_bytes = read_index(source)
    tracks = [box for box in boxes(index) if box.kind == b"trak"]
    for track in tracks:
        if _uniform_samples(track) > file_bytes:
            raise ValueError("its index claims more samples than the file has bytes")
    video = next((track for track in tracks if _handler(track) == b"vide"), None)
    if video and not 0 < _ticks_per_s(video) <= MOST_TICKS_PER_S:
        raise ValueError("the video track has no time scale, so its frames have no times")


def _check_avi(source: BinaryIO) -> None:
    source.seek(0)
    head = source.read(_AVI_HEADER_BYTES)
    at = head.find(b"vids")
    if at >= 0 and not (any(head[at + 20 : at + 24]) and any(head[at + 24 : at + 28])):
        raise ValueError("the video stream has no frame rate, so its frames have no times")


def _handler(track: Box) -> bytes:
    handler = optional(track.content, b"mdia", b"hdlr")
    return b"" if handler is None else bytes(handler[8:12])


def _ticks_per_s(track: Box) -> int:
    header = optional(track.content, b"mdia", b"mdhd")
    if header is None:
        return 0
    at = 20 if version(header) == 1 else 12
    return int.from_bytes(header[at : at + 4])


def _uniform_samples(track: Box) -> int:
    """How many samples are claimed without an entry for each; none of one tick each, which is
    uncompressed sound, of which FFmpeg takes a chunk at a time."""
    sizes = optional(track.content, b"mdia", b"minf", b"stbl", b"stsz")
    if sizes is None or not int.from_bytes(sizes[4:8]):
        return 0
    times = optional(track.content, b"mdia", b"minf", b"stbl", b"stts")
    if times is not None and _handler(track) == b"soun":
        entries, first_delta = int.from_bytes(times[4:8]), int.from_bytes(times[12:16])
        if entries == first_delta == 1:
            return 0
    return int.from_bytes(sizes[8:12])
