"""A track's samples: where each lies in the file, and when it is shown.

Reading the sample tables of ISO/IEC 14496-12 (8.6 and 8.7) belongs here, and applying the track's
edit list as FFmpeg does. Whatever tables state is checked against each other and against the file's
length before anything is allocated for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lakehouse.video.mp4.boxes import NotSliceable, only, optional, version

Integers = NDArray[np.int64]

LARGEST_OFFSET_TICKS = 2**28
"""Where a frame is shown longer than this after its decoding, FFmpeg ignores all of a ctts."""

MOST_SAMPLES = 4_000_000  # 18 hours at 60 a second
_LARGEST_SAMPLE_BYTES = 0x3FFFFFFF  # as FFmpeg
_LARGEST_DURATION = 2**48
_NEVER = 2**62
_RATE_OF_1 = 1 << 16


@dataclass(frozen=True)
class Samples:
    """The samples of one track in decoding order, an array element each.

    `pts` are the track's ticks as FFmpeg states them, its edit list applied; of a sample, they
    say when it is shown, and `duration` is that of its decoding. Players show what lies in
    [shown_start, shown_end). `offset` and `size` are bytes of the file; a sample may lie past its
    end. `is_key` is what the container marks.
    """

    pts: Integers
    duration: Integers
    offset: Integers
    size: Integers
    is_key: NDArray[np.bool_]
    shown_start: int
    shown_end: int

    def part(self, chosen: slice | Integers) -> Samples:
        """The chosen samples, and the same times of showing."""
        return replace(
            self,
            pts=self.pts[chosen],
            duration=self.duration[chosen],
            offset=self.offset[chosen],
            size=self.size[chosen],
            is_key=self.is_key[chosen],
        )


@dataclass(frozen=True)
class Edit:
    """A track's edit list: wait, then show the media from `media_start` on.

    All in the track's ticks; none for `duration` is until the end.
    """

    wait: int = 0
    media_start: int | None = None
    duration: int | None = None


def read_samples(table: memoryview, edit: Edit, *, is_video: bool, file_bytes: int) -> Samples:
    """The samples that a sample table (stbl) lists.

    Raises NotSliceable where tables are missing, disagree, or state what the file can't hold.
    """
    size = _sizes(only(table, b"stsz"), file_bytes)
    count = len(size)
    duration = _expand(only(table, b"stts"), ">u4", count)
    if duration.max() >= 2**31:
        raise NotSliceable("a frame's duration is absurd")
    shown_at = np.cumsum(duration) - duration
    offsets = optional(table, b"ctts")
    if offsets is not None:
        offset = _expand(offsets, ">i4", count)
        if np.abs(offset).max() > LARGEST_OFFSET_TICKS:
            raise NotSliceable("a frame's presentation time is absurd")
        shown_at += offset
    shown_from = int(shown_at.min()) if edit.media_start is None else edit.media_start
    shown_to = _NEVER if edit.duration is None else shown_from + edit.duration
    delay = edit.wait - _zero(shown_at, shown_from, shown_to, edit, is_video=is_video)
    return Samples(
        pts=shown_at + delay,
        duration=duration,
        offset=_offsets(table, size),
        size=size,
        is_key=_keys(optional(table, b"stss"), count),
        shown_start=shown_from + delay,
        shown_end=shown_to + delay,
    )


def read_edit(edits: memoryview | None, track_ticks_per_s: int, movie_ticks_per_s: int) -> Edit:
    """The edit list in an edts. Raises NotSliceable where it isn't one stretch at normal speed."""
    listed = optional(edits, b"elst") if edits is not None else None
    if listed is None:
        return Edit()
    entry = struct.Struct(">QqI" if version(listed) == 1 else ">IiI")
    count = _entry_count(listed, entry.size)
    if count > 2:
        raise NotSliceable("its edit list is complex")
    entries = list(entry.iter_unpack(listed[8 : 8 + count * entry.size]))
    wait = entries.pop(0)[0] if entries and entries[0][1] == -1 else 0
    if len(entries) != 1:
        raise NotSliceable("its edit list is complex")
    duration, media_start, rate = entries[0]
    if rate != _RATE_OF_1 or not 0 <= media_start < _LARGEST_DURATION or duration == 0:
        raise NotSliceable("its edit list is complex")

    def in_track(movie_ticks: int) -> int:  # rounds as FFmpeg does
        return (2 * movie_ticks * track_ticks_per_s + movie_ticks_per_s) // (2 * movie_ticks_per_s)

    wait, duration = in_track(wait), in_track(duration)
    if max(wait, duration) > _LARGEST_DURATION:
        raise NotSliceable("its edit list is absurd")
    return Edit(wait, media_start, duration)


def _zero(shown_at: Integers, start: int, end: int, edit: Edit, *, is_video: bool) -> int:
    """Which time of the media is pts 0, or the edit list's wait.

    FFmpeg takes the edit list at its word for audio; video it moves so that the first frame that
    is shown is at 0 (mov_fix_index).
    """
    if edit.media_start is None:
        return 0
    if not is_video:
        return edit.media_start
    shown = shown_at[(shown_at >= start) & (shown_at < end)]
    if not len(shown):
        raise NotSliceable("its edit list shows no frame")
    return int(shown.min())


def _sizes(table: memoryview, file_bytes: int) -> Integers:
    if len(table) < 12:
        raise NotSliceable("its table of sizes is cut short")
    uniform, count = struct.unpack_from(">4xII", table)
    if not 0 < count <= MOST_SAMPLES:
        raise NotSliceable(f"a track of {count} samples is refused")
    size = np.full(count, uniform, np.int64) if uniform else _column(table, count, ">u4", 12)
    if size.min() == 0 or size.max() > _LARGEST_SAMPLE_BYTES or size.sum() > file_bytes:
        raise NotSliceable("sizes of samples don't fit into the file")
    return size


def _offsets(table: memoryview, size: Integers) -> Integers:
    """Where each sample lies, from where the chunks lie (stco) and how many each holds (stsc)."""
    wide = optional(table, b"co64")
    chunks = only(table, b"stco") if wide is None else wide
    width, kind = (4, ">u4") if wide is None else (8, ">i8")
    chunk_offset = _column(chunks, _entry_count(chunks, width), kind, 8)
    if not len(chunk_offset) or not 0 <= chunk_offset.min() <= chunk_offset.max() < 2**62:
        raise NotSliceable("places of samples are absurd")
    per_chunk = _samples_per_chunk(only(table, b"stsc"), len(chunk_offset))
    if per_chunk.min() == 0 or per_chunk.sum() != len(size):
        raise NotSliceable("its tables of chunks and of sizes disagree")
    position = np.cumsum(size) - size
    first = np.cumsum(per_chunk) - per_chunk
    return position + np.repeat(chunk_offset - position[first], per_chunk)


def _samples_per_chunk(table: memoryview, chunk_count: int) -> Integers:
    count = _entry_count(table, 12)
    entries = _column(table, 3 * count, ">u4", 8).reshape(count, 3)
    first, per_chunk, description = entries.T
    lengths = np.diff(first, append=chunk_count + 1)
    if not count or first[0] != 1 or lengths.min() <= 0:
        raise NotSliceable("its table of chunks is out of order")
    if (description != 1).any():
        raise NotSliceable("its frames are of several formats")
    return np.repeat(per_chunk, lengths)


def _keys(table: memoryview | None, count: int) -> NDArray[np.bool_]:
    """Which samples are marked; without a table, all of them."""
    if table is None:
        return np.ones(count, bool)
    numbers = _column(table, _entry_count(table, 4), ">u4", 8)
    if not len(numbers) or numbers.min() < 1 or numbers.max() > count:
        raise NotSliceable("its table of key frames is wrong")
    keys = np.zeros(count, bool)
    keys[numbers - 1] = True
    return keys


def _expand(table: memoryview, kind: DTypeLike, count: int) -> Integers:
    """The values of a table of (how many samples, 4-byte value), one for each sample."""
    entries = _entry_count(table, 8)
    repeats = _column(table, 2 * entries, ">u4", 8)[::2]
    if repeats.sum() != count:
        raise NotSliceable("its tables of times and of sizes disagree")
    return np.repeat(_column(table, 2 * entries, kind, 8)[1::2], repeats)


def _entry_count(table: memoryview, entry_bytes: int) -> int:
    """How many entries a table states. Raises NotSliceable where it doesn't hold so many."""
    count = int.from_bytes(table[4:8])
    if len(table) < 8 + count * entry_bytes:
        raise NotSliceable("a table of its index is cut short")
    return count


def _column(table: memoryview, count: int, kind: DTypeLike, start: int) -> Integers:
    if len(table) < start + count * np.dtype(kind).itemsize:
        raise NotSliceable("a table of its index is cut short")
    return np.frombuffer(table, kind, count, start).astype(np.int64)
