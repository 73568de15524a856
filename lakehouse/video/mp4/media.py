"""The bytes of chosen samples: read in few ranges, and kept in the order in which they lie.

Where samples lie in the old file and come to lie in the new one belongs here; which ones are chosen
is `slicer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.mp4.boxes import NotSliceable, read_range
from lakehouse.video.mp4.samples import Integers, Samples

_READ_OVER_BYTES = 64 * 1024  # what lies between two chunks is read rather than a range begun


@dataclass(frozen=True)
class Media:
    """The bytes of a track's samples. A chunk is samples that lie side by side.

    `first` is the number of each chunk's first sample, `place` its place among the bytes of all
    tracks.
    """

    samples: Samples
    first: Integers
    place: Integers
    content: list[memoryview]

    def sample(self, number: int) -> memoryview:
        """The bytes of one sample."""
        chunk = int(np.searchsorted(self.first, number, "right")) - 1
        start = int(self.samples.offset[number] - self.samples.offset[self.first[chunk]])
        return self.content[chunk][start : start + int(self.samples.size[number])]


def read_media(
    source: BinaryIO, tracks: Sequence[Samples], file_bytes: int
) -> tuple[list[memoryview], list[Media]]:
    """All bytes of these samples in the order of the file, and those of each track.

    Where little else lies in between, they are read as one range. Memory: the samples, and at most
    as much of what lies in between. Raises NotSliceable where a sample lies past the file's end.
    """
    firsts = [_chunk_starts(samples) for samples in tracks]
    offset = np.concatenate([s.offset[first] for s, first in zip(tracks, firsts, strict=True)])
    size = np.concatenate(
        [np.add.reduceat(s.size, first) for s, first in zip(tracks, firsts, strict=True)]
    )
    if (offset + size).max() > file_bytes:
        raise NotSliceable("it is shorter than its index says")
    order = np.argsort(offset, kind="stable")
    parts = _read(source, offset[order], size[order])
    number, place = np.empty_like(order), np.empty_like(size)
    number[order] = np.arange(len(order))
    place[order] = np.cumsum(size[order]) - size[order]
    media, at = [], 0
    for samples, first in zip(tracks, firsts, strict=True):
        its_own = slice(at, at + len(first))
        content = [parts[index] for index in number[its_own]]
        media.append(Media(samples, first, place[its_own], content))
        at += len(first)
    return parts, media


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
