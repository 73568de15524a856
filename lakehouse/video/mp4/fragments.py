"""Whether the table at the end of a fragmented MP4 tells when its fragments are shown.

By the table (mfra) FFmpeg goes to a span at once; without it, it looks at every fragment of the
file first. But it takes the table at its word, and some are wrong: so their times are compared with
those that the fragments around the span state. Layouts are those of ISO/IEC 14496-12 (8.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.mp4.boxes import NotSliceable, boxes, only, read_index, read_range
from lakehouse.video.mp4.movie import VIDEO
from lakehouse.video.mp4.samples import Integers

_END_BYTES = 16  # of an mfro, which says how large the table is
_LARGEST_TABLE_BYTES = 16 * 2**20
_HEAD_BYTES = 16 * 1024  # in which a fragment's own index lies
_BEFORE_S, _AFTER_S = 20, 5
_WITH_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS, _SHOWN_LATER = (
    1,
    4,
    0x100,
    0x200,
    0x400,
    0x800,
)


def table_holds(source: BinaryIO, start_pts: int, end_pts: int) -> bool:
    """Whether there is a table, and it is right for all tracks around these times, in the ticks of
    the first video track. Not so where an edit list or negative delays move the times."""
    try:
        index, file_bytes = read_index(source)
        ticks_per_s = _ticks_per_s(index)
        table = _table(source, file_bytes)
        wanted: dict[int, dict[int, int]] = {}
        for track, times, places in _tracks(table):
            rate = ticks_per_s[track] / ticks_per_s[0]
            start = start_pts * rate - _BEFORE_S * ticks_per_s[track]
            end = end_pts * rate + _AFTER_S * ticks_per_s[track]
            near = (times >= start) & (times <= end)
            for time, place in zip(times[near].tolist(), places[near].tolist(), strict=True):
                wanted.setdefault(place, {})[track] = time
        heads = [(place, min(place + _HEAD_BYTES, file_bytes)) for place in sorted(wanted)]
        if isinstance(source, ReadsAhead):
            source.expect(heads)
        return bool(wanted) and all(
            _shown_at(memoryview(read_range(source, place, end - place))).items()
            >= wanted[place].items()
            for place, end in heads
        )
    except (NotSliceable, IndexError, KeyError, ValueError):
        return False


def _ticks_per_s(index: memoryview) -> dict[int, int]:
    """By the number of the track; that of the first video track is number 0 as well."""
    only(index, b"mvex")
    found: dict[int, int] = {}
    for trak in boxes(index):
        if trak.kind != b"trak":
            continue
        if any(box.kind == b"edts" for box in boxes(trak.content)):
            raise NotSliceable("its times are edited")
        header, media = only(trak.content, b"tkhd"), only(trak.content, b"mdia", b"mdhd")
        number = _number(header, 20 if header[0] else 12)
        found[number] = _number(media, 20 if media[0] else 12)
        if bytes(only(trak.content, b"mdia", b"hdlr")[8:12]) == VIDEO:
            found.setdefault(0, found[number])
    return found


def _table(source: BinaryIO, file_bytes: int) -> memoryview:
    end = memoryview(read_range(source, max(0, file_bytes - _END_BYTES), _END_BYTES))
    size = _number(end, 12)
    if bytes(end[4:8]) != b"mfro" or not _END_BYTES < size <= min(file_bytes, _LARGEST_TABLE_BYTES):
        raise NotSliceable("it has no table of fragments")
    return only(memoryview(read_range(source, file_bytes - size, size)), b"mfra")


def _tracks(table: memoryview) -> Iterator[tuple[int, Integers, Integers]]:
    """Each track's number, and the times and places of its fragments."""
    for found in boxes(table):
        if found.kind != b"tfra":
            continue
        kind = ">i8" if found.content[0] else ">u4"
        lengths = _number(found.content, 8)
        numbers = [(lengths >> shift & 3) + 1 for shift in (4, 2, 0)]
        row = np.dtype([("time", kind), ("place", kind), ("first", f"V{sum(numbers)}")])
        rows = np.frombuffer(found.content, row, _number(found.content, 12), 16)
        yield (
            _number(found.content, 4),
            rows["time"].astype(np.int64),
            rows["place"].astype(np.int64),
        )


def _shown_at(fragment: memoryview) -> dict[int, int]:
    """When the first sample of each track in a fragment is shown, by its own index."""
    shown = {}
    size = _number(fragment, 0)
    for part in boxes(only(fragment[:size], b"moof")):
        if part.kind == b"traf":
            first = next(box.content for box in boxes(part.content) if box.kind == b"trun")
            decoded = only(part.content, b"tfdt")
            time = int.from_bytes(decoded[4 : 12 if decoded[0] else 8])
            shown[_number(only(part.content, b"tfhd"), 4)] = time + _delay(first)
    return shown


def _delay(run: memoryview) -> int:
    """How long after its decoding the first sample of a run is shown."""
    flags = int.from_bytes(run[1:4])
    if not flags & _SHOWN_LATER:
        return 0
    if run[0]:
        raise NotSliceable("its delays may be negative")
    before = (_WITH_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS)
    return _number(run, 8 + 4 * sum(bool(flags & flag) for flag in before))


def _number(data: memoryview, at: int) -> int:
    if at + 4 > len(data):
        raise NotSliceable("a box of its index is cut short")
    return int.from_bytes(data[at : at + 4])
