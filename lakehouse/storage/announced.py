"""What is worth fetching for a reader that has announced what it will read.

Nothing here fetches.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from lakehouse.storage.pieces import LARGEST_PIECE_BYTES, SMALL_BYTES, Span
from lakehouse.storage.runs import AHEAD_BYTES

_SPANS_AHEAD = 64


class Announced:
    """Ranges of an object of `size_bytes`, in the order of reading; see ranged.ReadingOrder.

    Of each exactly its bytes are wanted, and also those between neighbours less than
    `SMALL_BYTES` apart. Reading in one gives up those before it.
    """

    def __init__(self, ranges: Sequence[Span], size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._spans = [part for span in _merged(ranges, size_bytes) for part in _cut_up(*span)]
        self._turns = sorted(range(len(self._spans)), key=self._spans.__getitem__)
        self._starts = [self._spans[turn][0] for turn in self._turns]
        self._turn = 0

    def needed(self, position: int, length_bytes: int) -> Span:
        """The range of this position; elsewhere what is asked for, or a little more."""
        turn = self._turn_of(position)
        if turn is None:
            length_bytes = min(max(length_bytes, SMALL_BYTES), LARGEST_PIECE_BYTES)
            return position, min(position + length_bytes, self._size_bytes)
        return self._spans[turn]

    def reading_at(self, position: int, _length_bytes: int) -> bool:
        """Goes on to the range of this position, if it is a later one; whether it is."""
        turn = self._turn_of(position)
        if turn is None or turn <= self._turn:
            return False
        self._turn = turn
        return True

    def wanted(self) -> list[Span]:
        """From the range being read on, `runs.AHEAD_BYTES` at most."""
        ahead: list[Span] = []
        room_bytes = AHEAD_BYTES
        for start, end in self._spans[self._turn : self._turn + _SPANS_AHEAD]:
            room_bytes -= end - start
            if room_bytes < 0:
                break
            ahead.append((start, end))
        return ahead

    def _turn_of(self, position: int) -> int | None:
        index = bisect_right(self._starts, position) - 1
        if index < 0 or position >= self._spans[self._turns[index]][1]:
            return None
        return self._turns[index]


def _merged(ranges: Sequence[Span], size_bytes: int) -> Iterator[Span]:
    """The ranges within the object; each begins well after the end, or before the start, of the
    one before it."""
    last: Span | None = None
    for start, end in ranges:
        start, end = max(start, 0), min(end, size_bytes)  # noqa: PLW2901
        if start >= end:
            continue
        if last is not None and last[0] <= start < last[1] + SMALL_BYTES:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _cut_up(start: int, end: int) -> Iterator[Span]:
    for first in range(start, end, LARGEST_PIECE_BYTES):
        yield first, min(first + LARGEST_PIECE_BYTES, end)
