"""The part of a long recording's index that tells of one span, as an index of its own.

Hours of footage have megabytes of tables with an entry for each sample. Of those, only the entries
around the span are read, and those of the first samples, from which times are counted. What comes
of it is read by `movie` like any other index, and holds its claims to the file in the same way.
Tables that have to be counted through to find a sample are counted from their nearer end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from lakehouse.video.mp4.boxes import (
    MOST_BOXES,
    NotSliceable,
    box,
    frames,
    full_box,
    only,
    optional,
)
from lakehouse.video.mp4.held import HeldIndex
from lakehouse.video.mp4.movie import MEDIA_KINDS, VIDEO, time_scale
from lakehouse.video.mp4.samples import MOST_SAMPLES, Edit, Integers, read_edit

_AROUND_S = 30
"""Frames are shown at most so long before or after their turn to be decoded."""
_LARGEST_COPIED_BYTES = 64 * 1024
_SPARE_ENTRIES = 512
_TABLES = frozenset({b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"co64"})
_INSIDE = {b"trak": {b"tkhd", b"edts"}, b"mdia": {b"mdhd", b"hdlr"}, b"minf": {b"dinf"}}


def partial_index(held: HeldIndex, source: BinaryIO, start_pts: int, end_pts: int) -> memoryview:
    """The content of a moov that lists the samples around these times, in the ticks of the first
    video track, and no key frames but those.

    Raises NotSliceable where the index is of another form than cameras and FFmpeg write, in which
    a span can still be found in the whole.
    """
    whole = _Part(held, source, 0, held.size_bytes)
    children = list(whole.children())
    header = _one(children, b"mvhd").content()
    if any(kind == b"mvex" for kind, _ in children):
        raise NotSliceable("it is fragmented")
    tracks = [_Track.read(part, time_scale(header)) for kind, part in children if kind == b"trak"]
    chosen = {track.kind: track for track in reversed(tracks) if track.kind in MEDIA_KINDS}
    if VIDEO not in chosen:
        raise NotSliceable("it has no video track")
    ticks_per_s = chosen[VIDEO].ticks_per_s
    start_s, end_s = Fraction(start_pts, ticks_per_s), Fraction(end_pts, ticks_per_s)
    made = [track.around(start_s, end_s) for track in tracks if track in chosen.values()]
    return memoryview(b"".join([box(b"mvhd", header), *made]))


@dataclass(frozen=True)
class _Part:
    """Bytes `[start, end)` of the index."""

    held: HeldIndex
    source: BinaryIO
    start: int
    end: int

    def read(self, start: int, end: int) -> memoryview:
        """Of the index, not of this part."""
        return self.held.read(self.source, start, end)

    def children(self) -> Iterator[tuple[bytes, _Part]]:
        for number, (kind, start, end) in enumerate(frames(self.read, self.start, self.end)):
            if number == MOST_BOXES:
                raise NotSliceable("its index holds too many boxes")
            yield kind, _Part(self.held, self.source, start, end)

    def content(self) -> memoryview:
        if self.end - self.start > _LARGEST_COPIED_BYTES:
            raise NotSliceable("a box of its index is unusually large")
        return self.read(self.start, self.end)

    def column(self, kind: DTypeLike, at: int, count: int) -> Integers:
        """So many numbers, from a byte of this part on."""
        start = self.start + at
        end = start + count * np.dtype(kind).itemsize
        if at < 0 or count < 0 or end > self.end:
            raise NotSliceable("a table of its index is cut short")
        return np.frombuffer(self.read(start, end), kind).astype(np.int64)

    def rows(self, at: int, row_bytes: int, first: int, last: int) -> tuple[int, int]:
        """Where these rows lie in the index, as far as they lie in this part."""
        start = self.start + at + first * row_bytes
        return min(start, self.end), min(start + (last - first) * row_bytes, self.end)

    def number(self, at: int) -> int:
        return int(self.column(">u4", at, 1)[0])


@dataclass(frozen=True)
class _Track:
    """A track of the index: its small boxes as they are, by path, and its tables unread."""

    kind: bytes
    ticks_per_s: int
    edit: Edit
    small: dict[bytes, bytes]
    description: bytes
    tables: dict[bytes, _Part]

    @classmethod
    def read(cls, trak: _Part, movie_ticks_per_s: int) -> _Track:
        small: dict[bytes, bytes] = {}
        tables: dict[bytes, _Part] = {}
        description = b""
        level, name = trak, b"trak"
        while name != b"stbl":
            found = list(level.children())
            for kind, part in found:
                if kind in _INSIDE[name]:
                    small[kind] = small.get(kind, b"") + box(kind, part.content())
            name = {b"trak": b"mdia", b"mdia": b"minf", b"minf": b"stbl"}[name]
            level = _one(found, name)
        for kind, part in level.children():
            if kind in tables:
                raise NotSliceable("its index has a table twice")
            if kind in _TABLES:
                tables[kind] = part
            elif kind == b"stsd":
                description += box(kind, part.content())
        handler = only(memoryview(small.get(b"hdlr", b"")), b"hdlr")
        ticks_per_s = time_scale(only(memoryview(small.get(b"mdhd", b"")), b"mdhd"))
        edits = optional(memoryview(small.get(b"edts", b"")), b"edts")
        edit = read_edit(edits, ticks_per_s, movie_ticks_per_s)
        return cls(bytes(handler[8:12]), ticks_per_s, edit, small, description, tables)

    def around(self, start_s: Fraction, end_s: Fraction) -> bytes:
        """The trak with the samples around these times."""
        small = self.small
        inner = box(b"stbl", self.description, *self._listed(start_s, end_s))
        minf = box(b"minf", small.get(b"dinf", b""), inner)
        mdia = box(b"mdia", small[b"mdhd"], small[b"hdlr"], minf)
        return box(b"trak", small.get(b"tkhd", b""), small.get(b"edts", b""), mdia)

    def _listed(self, start_s: Fraction, end_s: Fraction) -> Iterator[bytes]:
        sizes = self._table(b"stsz")
        count = sizes.number(8)
        if not 0 < count <= MOST_SAMPLES:
            raise NotSliceable(f"a track of {count} samples is refused")
        times = self._table(b"stts")
        repeats, lasting = times.column(">u4", 8, 2 * times.number(4)).reshape(-1, 2).T
        if repeats.sum() != count:
            raise NotSliceable("its tables of times and of sizes disagree")
        duration = np.repeat(lasting, repeats)
        decoded_at = np.cumsum(duration) - duration
        keys = self._keys(count)

        shown_from = self.edit.media_start or 0

        def number_at(seconds: Fraction | int) -> int:
            return int(np.searchsorted(decoded_at, float(seconds * self.ticks_per_s + shown_from)))

        wait_s = Fraction(self.edit.wait, self.ticks_per_s)
        first = number_at(start_s - wait_s - _AROUND_S)
        last = number_at(end_s - wait_s + _AROUND_S)
        if keys is not None:
            first = int(keys[max(0, int(np.searchsorted(keys, first, "right")) - 1)])
        head = number_at(_AROUND_S)
        spans = [(0, head), (first, last)] if head < first < last else [(0, max(head, last))]
        self._foresee(count, spans)
        chosen = np.concatenate([np.arange(*span) for span in spans])
        between = np.diff(decoded_at[chosen], append=decoded_at[chosen[-1]] + duration[chosen[-1]])
        yield _table(b"stts", ">u4", np.ones_like(between), between)
        if b"ctts" in self.tables:
            delays = np.concatenate([self._delays(count, *span) for span in spans])
            yield _table(b"ctts", ">i4", np.ones_like(delays), delays)
        if keys is not None or (len(spans) > 1 and self.kind == VIDEO):
            marked = np.isin(chosen, keys) if keys is not None else np.ones(len(chosen), bool)
            marked[: head if len(spans) > 1 else 0] = False
            yield _table(b"stss", ">u4", 1 + np.flatnonzero(marked))
        placed = [self._placed(count, *span) for span in spans]
        size, offset = (np.concatenate(columns) for columns in zip(*placed, strict=True))
        yield full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1))
        yield full_box(b"stsz", struct.pack(">II", 0, len(size)), size.astype(">u4").tobytes())
        yield _table(b"co64", ">u8", offset)

    def _foresee(self, count: int, spans: list[tuple[int, int]]) -> None:
        """Read at once what will be needed of all tables but that of places, or most of it."""
        sizes = self._table(b"stsz")
        wanted = []
        for kind, entry_bytes in ((b"ctts", 8), (b"stsc", 12)):
            if kind in self.tables:
                table = self.tables[kind]
                likely = (_likely(table.number(4), count, *span) for span in spans)
                wanted += [table.rows(8, entry_bytes, start, end) for start, end in likely]
        if not sizes.number(4):
            wanted += [sizes.rows(12, 4, first, last) for first, last in spans]
        sizes.held.fetch(sizes.source, wanted)

    def _table(self, kind: bytes) -> _Part:
        if kind not in self.tables:
            raise NotSliceable(f"its index has no {kind.decode('latin-1')}")
        return self.tables[kind]

    def _keys(self, count: int) -> Integers | None:
        """The numbers of the marked samples, in order; none where all are."""
        if b"stss" not in self.tables:
            return None
        marked = self.tables[b"stss"]
        numbers = np.sort(marked.column(">u4", 8, marked.number(4)) - 1)
        if not len(numbers) or numbers[0] < 0 or numbers[-1] >= count:
            raise NotSliceable("its table of key frames is wrong")
        return numbers

    def _delays(self, count: int, first: int, last: int) -> Integers:
        """How long after its decoding each of these samples is shown."""
        table = self.tables[b"ctts"]

        @cache
        def counts(start: int, end: int) -> Integers:
            return table.column(">u4", 8 + 8 * start, 2 * (end - start))[::2]

        start, end, number = _entries(table.number(4), counts, count, first, last)
        delays = table.column(">i4", 8 + 8 * start, 2 * (end - start))[1::2]
        return np.repeat(delays, counts(start, end))[first - number : last - number]

    def _placed(self, count: int, first: int, last: int) -> tuple[Integers, Integers]:
        """The size and the place in the file of each of these samples."""
        table, places = self._table(b"stsc"), self.tables.get(b"co64")
        width, kind = (4, ">u4") if places is None else (8, ">i8")
        places = self._table(b"stco") if places is None else places
        chunks, entries = places.number(4), table.number(4)
        if 8 + chunks * width > places.end - places.start:
            raise NotSliceable("a table of its index is cut short")

        @cache
        def runs(start: int, end: int) -> tuple[Integers, Integers]:
            """How many chunks each entry stands for, and how many samples each chunk holds."""
            more = min(end + 1, entries)
            rows = table.column(">u4", 8 + 12 * start, 3 * (more - start)).reshape(-1, 3)
            ends = rows[1:, 0] if more > end else np.append(rows[1:, 0], chunks + 1)
            lengths, held = ends - rows[: end - start, 0], rows[: end - start, 1]
            is_in_order = (lengths > 0).all() and (held > 0).all() and (held <= count).all()
            if not is_in_order or (rows[: end - start, 2] != 1).any():
                raise NotSliceable("its table of chunks is out of order, or of several formats")
            return lengths, held

        def counts(start: int, end: int) -> Integers:
            lengths, held = runs(start, end)
            return lengths * held

        start, end, number = _entries(entries, counts, count, first, last)
        lengths, held = runs(start, end)
        per_chunk = np.repeat(held, lengths)
        chunk_first = number + np.cumsum(per_chunk) - per_chunk
        a = int(np.searchsorted(chunk_first, first, "right")) - 1
        b = int(np.searchsorted(chunk_first, last))
        chunk_number = int(table.number(8 + 12 * start)) - 1 + a
        place = places.column(kind, 8 + width * chunk_number, b - a)
        begun = int(chunk_first[a])
        size = self._sizes(begun, last)
        position = np.cumsum(size) - size
        starts = chunk_first[a:b] - begun
        held_here = np.diff(starts, append=len(size))
        offset = position + np.repeat(place - position[starts], held_here)
        return size[first - begun :], offset[first - begun :]

    def _sizes(self, first: int, last: int) -> Integers:
        table = self._table(b"stsz")
        uniform = table.number(4)
        if uniform:
            return np.full(last - first, uniform, np.int64)
        return table.column(">u4", 12 + 4 * first, last - first)


def _entries(
    entries: int, counts: Callable[[int, int], Integers], samples: int, first: int, last: int
) -> tuple[int, int, int]:
    """Entries of a table of runs that hold the samples `[first, last)`: from which one to which,
    and the number of the first sample in them. `counts` tells how many samples each entry holds."""
    start, end = _likely(entries, samples, first, last)
    if not start:
        while (listed := counts(0, end).sum()) < last:
            if end == entries:
                raise NotSliceable("its tables of samples disagree")
            end = min(entries, 2 * end)
        if listed > samples:
            raise NotSliceable("its tables of samples disagree")
        return 0, end, 0
    while (number := samples - int(counts(start, entries).sum())) > first:
        if start == 0:
            raise NotSliceable("its tables of samples disagree")
        start = max(0, start - (entries - start))
    if number < 0 or (start == 0 and number):
        raise NotSliceable("its tables of samples disagree")
    return start, entries, number


def _likely(entries: int, samples: int, first: int, last: int) -> tuple[int, int]:
    """The entries from the nearer end on that hold these samples, if all hold equally many."""
    if first + last < samples:
        return 0, min(entries, last * entries // samples + _SPARE_ENTRIES)
    return max(0, first * entries // samples - _SPARE_ENTRIES), entries


def _one(found: list[tuple[bytes, _Part]], kind: bytes) -> _Part:
    same = [part for name, part in found if name == kind]
    if len(same) != 1:
        raise NotSliceable(f"its index has not one {kind.decode('latin-1')}")
    return same[0]


def _table(kind: bytes, of: DTypeLike, *columns: Integers) -> bytes:
    limits = np.iinfo(np.dtype(of))
    rows = np.stack(columns, axis=1)
    if len(rows) and (int(rows.max()) > limits.max or int(rows.min()) < limits.min):
        raise NotSliceable("a number is too large for its field")
    return full_box(kind, struct.pack(">I", len(rows)), rows.astype(of).tobytes())
