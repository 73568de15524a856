"""The index of a new clip: its ftyp and moov.

Writing the boxes of ISO/IEC 14496-12 belongs here; which samples a clip has, and when they are
shown, is decided by `slicer`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.video.mp4.boxes import NotSliceable, box, full_box, media_header
from lakehouse.video.mp4.movie import Track
from lakehouse.video.mp4.samples import LARGEST_OFFSET_TICKS, Integers

_FILE_TYPE = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2mp41")
_IN_MOVIE = 3  # enabled, and part of the presentation
_VIDEO = (b"vide", full_box(b"vmhd", bytes(8), flags=1))
_AUDIO = (b"soun", full_box(b"smhd", bytes(4)))
_OWN_FILE = box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1)))


@dataclass(frozen=True)
class ClipTrack:
    """A track of the clip. Of samples in decoding order: ticks from the first one's decoding on.

    `wait` and `shown`, in the movie's ticks, say how long nothing is shown, then the media from
    its tick `media_start` on. A chunk is samples that lie side by side: `chunk_first` numbers its
    first one, `chunk_place` is its place in the clip's media.
    """

    source: Track
    format: bytes
    decoded_at: Integers
    shown_at: Integers
    last_duration: int
    size: Integers
    is_key: NDArray[np.bool_]
    chunk_first: Integers
    chunk_place: Integers
    wait: int
    media_start: int
    shown: int


def write_head(
    placement: memoryview, tracks: Sequence[ClipTrack], ticks_per_s: int, media_bytes: int
) -> bytes:
    """All of a clip that stands before its `media_bytes` of media: ftyp, moov, mdat's header.

    `placement` is the end of the source's mvhd. Raises NotSliceable where a time or a number is
    too large for its field.
    """
    before = media_header(media_bytes)
    media_at = len(_FILE_TYPE) + len(_index(placement, tracks, ticks_per_s, 0)) + len(before)
    return _FILE_TYPE + _index(placement, tracks, ticks_per_s, media_at) + before


def _index(
    placement: memoryview, tracks: Sequence[ClipTrack], ticks_per_s: int, media_at: int
) -> bytes:
    """The moov; its length doesn't depend on `media_at`."""
    duration = max(track.wait + track.shown for track in tracks)
    next_number = struct.pack(">I", len(tracks) + 1)
    header = _header(b"mvhd", struct.pack(">I", ticks_per_s), duration, placement[:-4], next_number)
    written = [_track(number, track, media_at) for number, track in enumerate(tracks, 1)]
    return box(b"moov", header, *written)


def _track(number: int, track: ClipTrack, media_at: int) -> bytes:
    source, shown = track.source, track.wait + track.shown
    handler, its_header = _VIDEO if source.is_video else _AUDIO
    numbered = struct.pack(">II", number, 0)
    decoded = np.diff(track.decoded_at, append=track.decoded_at[-1] + track.last_duration)
    lasts = int(decoded.sum())
    return box(
        b"trak",
        _header(b"tkhd", numbered, shown, source.placement, flags=_IN_MOVIE),
        box(b"edts", _edits(track)),
        box(
            b"mdia",
            _header(b"mdhd", struct.pack(">I", source.ticks_per_s), lasts, source.language),
            full_box(b"hdlr", bytes(4), handler, bytes(13)),
            box(
                b"minf",
                its_header,
                _OWN_FILE,
                box(b"stbl", *_sample_table(track, decoded, media_at)),
            ),
        ),
    )


def _edits(track: ClipTrack) -> bytes:
    edits = [(track.wait, -1)] if track.wait else []
    edits.append((track.shown, track.media_start))
    wide = any(max(edit) >= 2**31 for edit in edits)
    packed = [struct.pack(">QqI" if wide else ">IiI", *edit, 1 << 16) for edit in edits]
    return full_box(b"elst", struct.pack(">I", len(edits)), *packed, version=wide)


def _sample_table(track: ClipTrack, decoded: Integers, media_at: int) -> Iterator[bytes]:
    yield full_box(b"stsd", struct.pack(">I", 1), box(track.format, track.source.description))
    yield _table(b"stts", *_runs(decoded))
    delay = track.shown_at - track.decoded_at
    if delay.max() > LARGEST_OFFSET_TICKS:
        raise NotSliceable("a frame is shown too long after its decoding")
    if delay.any():
        yield _table(b"ctts", *_runs(delay))
    if not track.is_key.all():
        yield _table(b"stss", 1 + np.flatnonzero(track.is_key))
    chunks, held = _runs(np.diff(track.chunk_first, append=len(track.size)))
    yield _table(b"stsc", 1 + np.cumsum(chunks) - chunks, held, np.ones_like(held))
    yield _table(b"stsz", track.size, before=bytes(4))
    yield _chunk_offsets(track.chunk_place, media_at)


def _chunk_offsets(offset: Integers, media_at: int) -> bytes:
    if offset.max() < 2**31:  # the index before it is far smaller than the other 2 GiB
        return _table(b"stco", offset + media_at)
    wide = (offset + media_at).astype(">u8").tobytes()
    return full_box(b"co64", struct.pack(">I", len(offset)), wide)


def _runs(values: Integers) -> tuple[Integers, Integers]:
    """How often each value follows itself, and the value."""
    first = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    return np.diff(first, append=len(values)), values[first]


def _table(kind: bytes, *columns: Integers, before: bytes = b"") -> bytes:
    """A table of 32-bit columns."""
    rows = np.stack(columns, axis=1)
    if rows.max() >= 2**32 or rows.min() < 0:
        raise NotSliceable("a number is too large for its field")
    return full_box(kind, before, struct.pack(">I", len(rows)), rows.astype(">u4").tobytes())


def _header(
    kind: bytes, middle: bytes, duration: int, *rest: bytes | memoryview, flags: int = 0
) -> bytes:
    """An mvhd, tkhd or mdhd, of no stated date; `middle` stands before the duration."""
    if duration >= 2**63:
        raise NotSliceable("it is too long")
    wide = duration >= 2**32
    dates, length = bytes(16 if wide else 8), struct.pack(">Q" if wide else ">I", duration)
    return full_box(kind, dates, middle, length, *rest, version=wide, flags=flags)
