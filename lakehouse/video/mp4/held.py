"""The index of one file, of which as much is read and held as was asked for.

What is in an index is `movie`; which part of it tells of a span, `partial`. Who keeps indices for
other spans, and how many, belongs to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from threading import Lock
from typing import BinaryIO

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.mp4.boxes import find_index, read_range

_PAGE_BYTES = 16 * 1024


class HeldIndex:
    """The content of a file's moov. May be used by several threads, each with the file opened for
    itself: what one has read, none reads again."""

    def __init__(self, start: int, end: int, file_bytes: int) -> None:
        self.size_bytes = end - start
        """Of the whole content; so much is held at most."""
        self.file_bytes = file_bytes
        self._start = start
        self._data = bytearray(self.size_bytes)
        self._missing = set(range(-(-self.size_bytes // _PAGE_BYTES)))
        self._lock = Lock()

    @classmethod
    def found_in(cls, source: BinaryIO) -> HeldIndex:
        """That of a file, of which nothing is read yet. Raises NotSliceable without one of a sane
        size."""
        return cls(*find_index(source))

    def read(self, source: BinaryIO, start: int, end: int) -> memoryview:
        """The bytes `[start, end)` of the content. Raises NotSliceable where the file is shorter
        than its index says."""
        self.fetch(source, [(start, end)])
        return memoryview(self._data)[start:end]

    def fetch(self, source: BinaryIO, spans: Sequence[tuple[int, int]]) -> None:
        """Read at once what of these spans will be read soon."""
        wanted = {
            page
            for start, end in spans
            for page in range(start // _PAGE_BYTES, -(-end // _PAGE_BYTES))
        }
        if wanted.isdisjoint(self._missing):  # no page that was read goes missing again
            return
        with self._lock:
            ranges = list(_joined(sorted(wanted & self._missing), self.size_bytes))
            if ranges and isinstance(source, ReadsAhead):
                source.expect([(self._start + start, self._start + end) for start, end in ranges])
            for start, end in ranges:
                self._data[start:end] = read_range(source, self._start + start, end - start)
                self._missing.difference_update(range(start // _PAGE_BYTES, -(-end // _PAGE_BYTES)))


def _joined(pages: Sequence[int], size_bytes: int) -> Iterator[tuple[int, int]]:
    """The bytes of these pages, neighbours as one range."""
    for _, group in groupby(enumerate(pages), lambda pair: pair[1] - pair[0]):
        together = [page for _, page in group]
        yield together[0] * _PAGE_BYTES, min(size_bytes, (together[-1] + 1) * _PAGE_BYTES)
