"""What is worth fetching for a reader that has announced nothing: it is likely to read on.

Recognising that belongs here; so does how far ahead it pays. Nothing here fetches.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse.storage.pieces import LARGEST_PIECE_BYTES, Span

BLOCK_BYTES = 256 * 1024
"""Ranges begin and end at multiples of this."""
AHEAD_BYTES = 16 * 2**20
_REMEMBERED_RUNS = 4  # interleaved audio and video read from a few places in turn
_PARTS_AHEAD = 4


@dataclass
class _Run:
    start: int
    furthest: int
    """The last position read at; all before it counts as read."""
    end: int
    """How far it is worth fetching."""
    parts: deque[Span]
    """What lies before `end` and is not read, as it should be fetched."""
    largest_read_bytes: int
    seen: int
    """How many bytes all runs had advanced when this one last did."""


class Runs:
    """Places of an object of `size_bytes` at which reading goes on; see ranged.ReadingOrder.

    A run is fetched as far ahead as a read asks for, or as was read by all its reads but the
    largest: so one read fetches hardly more than it returns, and of many at most half is fetched
    in vain. All runs together are fetched `AHEAD_BYTES` ahead, in equal shares. One is forgotten
    when `AHEAD_BYTES` were read elsewhere, or at four younger places.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._runs: list[_Run] = []  # the last read first
        self._advanced_bytes = 0

    def needed(self, position: int, length_bytes: int) -> Span:
        """The first part of a new run."""
        start = position - position % BLOCK_BYTES
        run = _Run(position, position, start, deque(), 0, self._advanced_bytes)
        self._runs.insert(0, run)
        del self._runs[_REMEMBERED_RUNS:]
        self._grow(run, length_bytes)
        return run.parts[0]

    def reading_at(self, position: int, length_bytes: int) -> bool:
        """Goes on with the run of this position, if there is one; whether past a part of it."""
        for index, run in enumerate(self._runs):
            if run.start <= position < run.end + BLOCK_BYTES:
                self._runs.insert(0, self._runs.pop(index))
                passed = self._advance(run, position)
                return self._grow(run, length_bytes) or passed
        return False

    def wanted(self) -> list[Span]:
        """From where each run has got to, that of the last read first."""
        share_bytes = self._share_bytes()
        return [part for run in self._runs for part in _within(run, share_bytes)]

    def _share_bytes(self) -> int:
        return AHEAD_BYTES // max(1, len(self._runs))

    def _advance(self, run: _Run, position: int) -> bool:
        self._advanced_bytes += max(0, position - run.furthest)
        run.furthest = max(run.furthest, position)
        run.seen = self._advanced_bytes
        self._runs = [r for r in self._runs if self._advanced_bytes - r.seen < AHEAD_BYTES]
        before = len(run.parts)
        while run.parts and run.parts[0][1] <= run.furthest:
            run.parts.popleft()
        return len(run.parts) < before

    def _grow(self, run: _Run, length_bytes: int) -> bool:
        share_bytes = self._share_bytes()
        run.largest_read_bytes = max(run.largest_read_bytes, length_bytes)
        repeated_bytes = max(0, run.furthest - run.start - run.largest_read_bytes)
        asked = run.furthest + min(length_bytes, share_bytes)
        asked += -asked % BLOCK_BYTES
        earned = run.furthest + min(repeated_bytes, share_bytes)
        earned -= earned % BLOCK_BYTES
        reach_bytes = max(asked, earned) - run.furthest
        blocks = min(reach_bytes // _PARTS_AHEAD, LARGEST_PIECE_BYTES) // BLOCK_BYTES
        part_bytes = max(1, blocks) * BLOCK_BYTES
        before = run.end
        while run.end < self._size_bytes and (run.end < asked or run.end + part_bytes <= earned):
            start = run.end
            run.end = min(start + part_bytes, max(asked, earned), self._size_bytes)
            if run.end > run.furthest:
                run.parts.append((start, run.end))
        return run.end > before


def _within(run: _Run, share_bytes: int) -> Iterator[Span]:
    """The parts that end within its share, and the one being read."""
    for start, end in run.parts:
        if start > run.furthest and end > run.furthest + share_bytes:
            break
        yield start, end
