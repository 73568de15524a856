"""What the index of an MP4 or MOV says of its first video and first audio track.

Finding the tracks and reading their headers belongs here; their sample tables are `samples`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from lakehouse.video.mp4.boxes import Box, NotSliceable, boxes, only, optional, read_index, version
from lakehouse.video.mp4.samples import Samples, read_edit, read_samples

MOST_TICKS_PER_S = 2**31 - 1
"""The largest time scale that FFmpeg takes."""

VIDEO, _AUDIO = b"vide", b"soun"
MEDIA_KINDS = frozenset({VIDEO, _AUDIO})
"""Of the tracks that a clip may have."""

# Formats whose description may be copied into an MP4 as it is, and FFmpeg's name of the codec.
# Encrypted tracks have others.
_FORMATS = {
    VIDEO: {
        b"avc1": "h264",
        b"hvc1": "hevc",
        b"hev1": "hevc",
        b"av01": "av1",
        b"vp09": "vp9",
        b"mp4v": "mpeg4",
    },
    _AUDIO: {
        b"mp4a": "aac",
        b"Opus": "opus",
        b"fLaC": "flac",
        b"alac": "alac",
        b"ac-3": "ac3",
        b"ec-3": "eac3",
    },
}
_CONFIGURATIONS = {"h264": b"avcC", "hevc": b"hvcC"}
_VISUAL_ENTRY_BYTES = 78


@dataclass(frozen=True)
class Track:
    """A track of one format. `description` is the only entry of its stsd, without the header.

    `placement` is the end of its tkhd: layer, volume, matrix, size. `language` is that of mdhd.
    `configuration` is what H.264 and HEVC state for the decoder, empty for other codecs.
    """

    is_video: bool
    ticks_per_s: int
    placement: memoryview
    language: memoryview
    format: bytes
    codec: str
    description: memoryview
    configuration: bytes
    samples: Samples


@dataclass(frozen=True)
class Movie:
    """The tracks that a clip has; `placement` is the end of the mvhd: rate, volume, matrix."""

    placement: memoryview
    video: Track
    audio: Track | None
    file_bytes: int


def read_movie(source: BinaryIO) -> Movie:
    """Read a file's index. Raises NotSliceable with what is missing, wrong or unknown in it."""
    return movie_of(*read_index(source))


def movie_of(index: memoryview, file_bytes: int) -> Movie:
    """The movie of the content of a moov. Raises NotSliceable like `read_movie`."""
    if optional(index, b"mvex") is not None:
        raise NotSliceable("it is fragmented")
    movie_ticks_per_s, placement = _header(only(index, b"mvhd"), 80)
    tracks = {}
    for found in boxes(index):
        kind = _kind(found)
        if kind in _FORMATS and kind not in tracks:
            tracks[kind] = _track(kind, found.content, movie_ticks_per_s, file_bytes)
    if VIDEO not in tracks:
        raise NotSliceable("it has no video track")
    return Movie(placement, tracks[VIDEO], tracks.get(_AUDIO), file_bytes)


def time_scale(header: memoryview) -> int:
    """Ticks per second of an mvhd or mdhd. Raises NotSliceable where there is none."""
    return _header(header, 0)[0]


def common_ticks_per_s(ticks_per_s: Sequence[int]) -> int:
    """A time scale in which the times of the first track are whole, and if possible all."""
    common = math.lcm(*ticks_per_s)
    return common if common <= MOST_TICKS_PER_S else ticks_per_s[0]


def _kind(found: Box) -> bytes:
    handler = optional(found.content, b"mdia", b"hdlr") if found.kind == b"trak" else None
    return bytes(handler[8:12]) if handler is not None else b""


def _track(kind: bytes, track: memoryview, movie_ticks_per_s: int, file_bytes: int) -> Track:
    media = only(track, b"mdia")
    ticks_per_s, language = _header(only(media, b"mdhd"), 4)
    table = only(media, b"minf", b"stbl")
    edit = read_edit(optional(track, b"edts"), ticks_per_s, movie_ticks_per_s)
    entry = _entry(only(table, b"stsd"))
    if entry.kind not in _FORMATS[kind]:
        raise NotSliceable(f"its format {entry.kind!r} isn't one to be copied as it is")
    if kind == _AUDIO and int.from_bytes(entry.content[8:10]):
        raise NotSliceable("its audio is described in QuickTime's way")
    if not _is_inside(only(media, b"minf", b"dinf", b"dref"), entry.content):
        raise NotSliceable("its media lies in another file")
    return Track(
        is_video=kind == VIDEO,
        ticks_per_s=ticks_per_s,
        placement=_placement(only(track, b"tkhd")),
        language=language,
        format=entry.kind,
        codec=_FORMATS[kind][entry.kind],
        description=entry.content,
        configuration=_configuration(_FORMATS[kind][entry.kind], entry.content),
        samples=read_samples(table, edit, is_video=kind == VIDEO, file_bytes=file_bytes),
    )


def _configuration(codec: str, description: memoryview) -> bytes:
    kind = _CONFIGURATIONS.get(codec)
    return bytes(only(description[_VISUAL_ENTRY_BYTES:], kind)) if kind else b""


def _header(header: memoryview, rest_bytes: int) -> tuple[int, memoryview]:
    """Ticks per second of an mvhd or mdhd, and what follows its duration."""
    wide = version(header) == 1
    rest = header[32 if wide else 20 :][:rest_bytes]
    at = 20 if wide else 12
    ticks_per_s = int.from_bytes(header[at : at + 4])
    if len(rest) < rest_bytes or not 0 < ticks_per_s <= MOST_TICKS_PER_S:
        raise NotSliceable("it states no time scale")
    return ticks_per_s, rest


def _placement(header: memoryview) -> memoryview:
    rest = header[36 if version(header) == 1 else 24 :][:60]
    if len(rest) < 60:
        raise NotSliceable("a track's header is cut short")
    return rest


def _entry(descriptions: memoryview) -> Box:
    """The one description in an stsd."""
    entries = list(boxes(descriptions[8:]))
    if len(entries) != 1 or int.from_bytes(descriptions[4:8]) != 1:
        raise NotSliceable("its frames are of several formats")
    return entries[0]


def _is_inside(references: memoryview, description: memoryview) -> bool:
    """Whether the description refers to the first data reference, and that to its own file."""
    first = next(boxes(references[8:]), None)
    own_file = first is not None and int.from_bytes(first.content[:4]) == 1
    return own_file and int.from_bytes(description[6:8]) == 1
