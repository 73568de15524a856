"""The pieces of one object that are held in memory, or on their way there.

Finding them and making room for more belongs here; fetching them does not.
"""

from bisect import bisect_right, insort
from collections.abc import Collection, Iterator
from itertools import count
from operator import attrgetter

from lakehouse.storage.downloads import Download

Span = tuple[int, int]
"""The bytes `[start, end)`."""

SMALL_BYTES = 32 * 1024
"""What FFmpeg reads at once. To fetch less, or to leave out less, saves nothing."""
LARGEST_PIECE_BYTES = 4 * 2**20
HELD_BYTES = 24 * 2**20

_start_of = attrgetter("start")


class Pieces:
    """Pieces that don't overlap, together never more than `HELD_BYTES`.

    A piece on its way counts as whole, and a small one as `SMALL_BYTES`, so that their number is
    bounded too.
    """

    def __init__(self) -> None:
        self._sorted: list[Download] = []
        self._used: dict[Download, int] = {}
        self._clock = count()
        self._held_bytes = 0

    def __iter__(self) -> Iterator[Download]:
        return iter(tuple(self._sorted))

    def at(self, position: int) -> Download | None:
        """The piece that holds the byte at `position`."""
        found = self.overlapping(position, position + 1)
        return found[0] if found else None

    def overlapping(self, start: int, end: int) -> list[Download]:
        """The pieces that hold a part of `[start, end)`, ascending."""
        first = bisect_right(self._sorted, start, key=_start_of)
        if first and self._sorted[first - 1].end > start:
            first -= 1
        found = []
        for index in range(first, len(self._sorted)):
            if self._sorted[index].start >= end:
                break
            found.append(self._sorted[index])
        return found

    def gaps(self, start: int, end: int) -> Iterator[Span]:
        """The parts of `[start, end)` that no piece holds, ascending."""
        for piece in self.overlapping(start, end):
            if start < piece.start:
                yield start, piece.start
            start = piece.end
        if start < end:
            yield start, end

    def touch(self, piece: Download) -> None:
        """Marks it as the last to be dropped."""
        self._used[piece] = next(self._clock)

    def make_room(self, length_bytes: int, keep: Collection[Download]) -> bool:
        """Drops what was unused longest until a piece of this length fits; whether it does.

        None of `keep` is dropped.
        """
        needed_bytes = self._held_bytes + max(length_bytes, SMALL_BYTES) - HELD_BYTES
        if needed_bytes > 0:
            for piece in sorted(self._used.keys() - set(keep), key=self._used.__getitem__):
                needed_bytes -= _counted_bytes(piece)
                self.drop(piece)
                if needed_bytes <= 0:
                    break
        return needed_bytes <= 0

    def add(self, piece: Download) -> None:
        """Holds a piece for which there is room, in a gap between the others."""
        insort(self._sorted, piece, key=_start_of)
        self._held_bytes += _counted_bytes(piece)
        self.touch(piece)

    def drop(self, piece: Download) -> None:
        """Forgets and abandons it."""
        piece.abandon()
        self._sorted.remove(piece)
        del self._used[piece]
        self._held_bytes -= _counted_bytes(piece)


def _counted_bytes(piece: Download) -> int:
    return max(piece.end - piece.start, SMALL_BYTES)
