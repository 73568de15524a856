"""The bytes of chosen samples, read in few ranges or left where they lie, in the file's order.

Where samples lie in the old file and come to lie in the new one belongs here; which ones are chosen
is `slicer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.mp4.boxes import NotSliceable, read_range
from lakehouse.video.mp4.samples import Integers, Samples

_READ_OVER_BYTES = 64 * 1024  # what lies between two chunks is read rather than a range begun


Range = tuple[int, int]
"""Start and end of some bytes of the file."""


@dataclass(frozen=True)
class Media:
    """A track's samples and where they come to lie. A chunk is samples that lie side by side.

    `first` is the number of each chunk's first sample, `place` its place among the bytes of all
    tracks. `sample` gives the bytes of the sample of a number, so many of its first at least.
    """

    samples: Samples
    first: Integers
    place: Integers
    sample: Callable[[int, int], memoryview]


@dataclass(frozen=True)
class _Layout:
    """The chunks of all tracks in the order of the file. Of each track: the numbers of its first
    samples, its chunks' places in that order, and among the bytes."""

    offset: Integers
    size: Integers
    firsts: list[Integers]
    numbers: list[Integers]
    places: list[Integers]


def read_media(
    source: BinaryIO, tracks: Sequence[Samples], file_bytes: int
) -> tuple[list[memoryview], list[Media]]:
    """All bytes of these samples in the order of the file, and those of each track.

    Where little else lies in between, they are read as one range. Memory: the samples, and at most
    as much of what lies in between. Raises NotSliceable where a sample lies past the file's end.
    """
    layout = _lay_out(tracks, file_bytes)
    parts = _read(source, layout.offset, layout.size)
    media = []
    for samples, first, number, place in zip(
        tracks, layout.firsts, layout.numbers, layout.places, strict=True
    ):
        content = [parts[index] for index in number]
        media.append(Media(samples, first, place, partial(_held, samples, first, content)))
    return parts, media


def leave_media(
    source: BinaryIO, tracks: Sequence[Samples], file_bytes: int
) -> tuple[list[Range], list[Media]]:
    """Like `read_media`, but the bytes stay where they lie, and a sample is read when asked for.

    Ranges that touch are one. Raises NotSliceable where a sample lies past the file's end.
    """
    layout = _lay_out(tracks, file_bytes)
    ranges: list[Range] = []
    for start, size in zip(layout.offset.tolist(), layout.size.tolist(), strict=True):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = ranges[-1][0], start + size
        else:
            ranges.append((start, start + size))
    media = [
        Media(samples, first, place, partial(read_sample, source, samples))
        for samples, first, place in zip(tracks, layout.firsts, layout.places, strict=True)
    ]
    return ranges, media


def read_sample(source: BinaryIO, samples: Samples, number: int, most_bytes: int) -> memoryview:
    """The first bytes of a sample, all where there are no more. Raises NotSliceable where the file
    ends before."""
    start, size = int(samples.offset[number]), int(samples.size[number])
    return memoryview(read_range(source, start, min(size, most_bytes)))


def _held(
    samples: Samples, first: Integers, content: Sequence[memoryview], number: int, _most_bytes: int
) -> memoryview:
    chunk = int(np.searchsorted(first, number, "right")) - 1
    start = int(samples.offset[number] - samples.offset[first[chunk]])
    return content[chunk][start : start + int(samples.size[number])]


def _lay_out(tracks: Sequence[Samples], file_bytes: int) -> _Layout:
    firsts = [_chunk_starts(samples) for samples in tracks]
    offset = np.concatenate([s.offset[first] for s, first in zip(tracks, firsts, strict=True)])
    size = np.concatenate(
        [np.add.reduceat(s.size, first) for s, first in zip(tracks, firsts, strict=True)]
    )
    if (offset + size).max() > file_bytes:
        raise NotSliceable("it is shorter than its index says")
    order = np.argsort(offset, kind="stable")
    number, place = np.empty_like(order), np.empty_like(size)
    number[order] = np.arange(len(order))
    place[order] = np.cumsum(size[order]) - size[order]
    ends = np.cumsum([len(first) for first in firsts])[:-1]
    return _Layout(
        offset[order], size[order], firsts, np.split(number, ends), np.split(place, ends)
    )


def _chunk_starts(samples: Samples) -> Integers:
    ends = samples.offset + samples.size
    return np.concatenate([[0], 1 + np.flatnonzero(samples.offset[1:] != ends[:-1])])


def _read(source: BinaryIO, offset: Integers, size: Integers) -> list[memoryview]:
    """The bytes of these chunks, which are in the order of the file."""
    between = offset[1:] - (offset + size)[:-1]
    apart = (between < 0) | (between > _READ_OVER_BYTES)
    if between[~apart].sum() > size.sum():
        apart = between != 0
    edges = [0, *(1 + np.flatnonzero(apart)).tolist(), len(offset)]
    ends = (offset + size).tolist()
    ranges = [(int(offset[first]), ends[end - 1]) for first, end in pairwise(edges)]
    if isinstance(source, ReadsAhead):
        source.expect(ranges)
    parts: list[memoryview] = []
    for (start, stop), (first, end) in zip(ranges, pairwise(edges), strict=True):
        data = memoryview(read_range(source, start, stop - start))
        for at, length in zip(offset[first:end] - start, size[first:end], strict=True):
            parts.append(data[at : at + length])
    return parts
