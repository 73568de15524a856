"""A seekable file over something that can be fetched by byte ranges.

The file is here: its position, what it holds, and when it begins to fetch. Which ranges are worth
it is `runs` and `announced`; their transport, `downloads`.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lakehouse.storage.announced import Announced
from lakehouse.storage.downloads import Download, Downloads, Fetch
from lakehouse.storage.pieces import Pieces, Span
from lakehouse.storage.runs import Runs

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@runtime_checkable
class ReadsAhead(Protocol):
    """A source that fetches what it is read for, and may be told beforehand. A file is none."""

    @property
    def bytes_read(self) -> int:
        """Bytes received so far, also those that nobody has read."""
        ...

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Announces that the bytes `[start, end)` of each range will be read, in this order.

        They are fetched at once, several in parallel and ahead of the reader, exactly: only gaps
        of less than 32 KiB are read over. Anything else may still be read, for 32 KiB at least. A
        new announcement replaces the last one; an empty one ends it.
        """
        ...


class ReadingOrder(Protocol):
    """Knows what a reader will read next."""

    def reading_at(self, position: int, length_bytes: int, /) -> bool:
        """Told before each read; whether other spans are wanted now."""
        ...

    def wanted(self) -> list[Span]:
        """What should be held or on its way from now on, the next to be read first.

        Each span is one request, where nothing of it is held yet.
        """
        ...

    def needed(self, position: int, length_bytes: int, /) -> Span:
        """What to fetch, around a position to be read now, of which nothing is held.

        It may have changed what is wanted.
        """
        ...


class RangedReader(io.RawIOBase):
    """Reads `size_bytes` bytes through `fetch`; RangedFile makes a convenient file of it.

    Up to 4 ranges, of 4 MiB at most, are fetched in the background, up to 16 MiB ahead of the
    reader; see Runs for what is foreseen unannounced. Together with what was read last it holds
    24 MiB, what is on its way included; what is given up on its way is freed, and its thread with
    it, when its next chunk arrives. What fails in the background fails the read that needs it, and
    a read raises OSError rather than return less than the object holds. For one thread at a time.
    """

    def __init__(self, name: str, size_bytes: int, fetch: Fetch) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self._downloads = Downloads(name, fetch)
        self._pieces = Pieces()
        self._order: ReadingOrder = Runs(size_bytes)
        self._position = 0

    @property
    def bytes_read(self) -> int:
        """See ReadsAhead."""
        return self._downloads.bytes_read

    @property
    def requests(self) -> int:
        """Ranges asked for so far."""
        return self._downloads.requests

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """See ReadsAhead."""
        self._require_open()
        self._order = Announced(ranges, self.size_bytes) if ranges else Runs(self.size_bytes)
        self._fetch_ahead()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the position, also past the end, and fetches nothing. Raises ValueError below 0."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}
        if origin[whence] + offset < 0:
            raise ValueError(f"{self.name}: can't seek before the start")
        self._position = origin[whence] + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fills the buffer as far as the current piece reaches; 0 only at the end."""
        self._require_open()
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self.size_bytes:
            return 0
        if self._order.reading_at(self._position, len(target)):
            self._fetch_ahead()
        piece = self._pieces.at(self._position) or self._needed(len(target))
        offset = self._position - piece.start
        part = memoryview(self._data(piece))[offset : offset + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        """Drops what is held and ends what is on its way; does not wait for it."""
        for piece in self._pieces:
            self._pieces.drop(piece)
        self._downloads.close()
        super().close()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.name} is closed")

    def _data(self, piece: Download) -> bytearray:
        self._pieces.touch(piece)
        try:
            return piece.data()
        except BaseException:
            self._pieces.drop(piece)  # the next read asks again
            raise

    def _needed(self, length_bytes: int) -> Download:
        """A new piece at the position; if no thread is free, it is fetched once it is read."""
        span = self._order.needed(self._position, length_bytes)
        self._fetch_ahead()
        begun = self._pieces.at(self._position)
        if begun is not None:
            return begun
        gaps = self._pieces.gaps(*span)
        start, end = next(gap for gap in gaps if gap[0] <= self._position < gap[1])
        if not self._pieces.make_room(end - start, self._held_of(self._order.wanted())):
            self._pieces.make_room(end - start, ())
        piece = Download(self._downloads, start, end)
        self._pieces.add(piece)
        return piece

    def _fetch_ahead(self) -> None:
        """Begins what is wanted and not held, ends what is on its way and not wanted."""
        wanted = self._order.wanted()
        kept = self._held_of(wanted)
        for piece in self._pieces:
            if piece not in kept and not piece.finished:
                self._pieces.drop(piece)
        for span in wanted:
            for start, end in tuple(self._pieces.gaps(*span)):
                if not self._pieces.make_room(end - start, kept):
                    return
                piece = self._downloads.begin(start, end)
                self._pieces.add(piece)
                kept.add(piece)

    def _held_of(self, spans: Sequence[Span]) -> set[Download]:
        return {piece for span in spans for piece in self._pieces.overlapping(*span)}


class RangedFile(io.BufferedReader):
    """A RangedReader with whole reads. `read1` ends where a piece, or an announced range, ends."""

    def __init__(self, raw: RangedReader) -> None:
        super().__init__(raw)
        self._ranged = raw

    @property
    def bytes_read(self) -> int:
        """See ReadsAhead."""
        return self._ranged.bytes_read

    @property
    def requests(self) -> int:
        """Ranges asked for so far."""
        return self._ranged.requests

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """See ReadsAhead."""
        self._ranged.expect(ranges)
