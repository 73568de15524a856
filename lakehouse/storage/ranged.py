"""A seekable file over something that can be fetched by byte ranges.

Caching, read-ahead and continuing after a cut connection belong here; how a range travels does
not.
"""

import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 256 * 1024
"""Ranges begin at multiples of this."""
_CACHED_BLOCKS = 64  # 16 MiB a reader
_LONGEST_FETCH_BLOCKS = 16
_REMEMBERED_RUNS = 4  # interleaved audio and video read from a few places in turn
_ATTEMPTS = 5

Fetch = Callable[[int, int], Iterator[bytes]]
"""`fetch(start, end)` yields the bytes `[start, end)`. It may end early where the connection was
cut, and raises OSError where the object is no longer the one that was opened."""


class RangedReader(io.RawIOBase):
    """Reads `size_bytes` bytes through `fetch`; meant to be wrapped in an io.BufferedReader.

    Whole blocks are fetched and the last 16 MiB kept. Reading on where an earlier fetch ended
    fetches twice as much as that did, up to 4 MiB; anywhere else it starts again with one block.
    A read raises OSError rather than return less than the object holds.
    """

    def __init__(self, name: str, size_bytes: int, fetch: Fetch) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.bytes_read = 0
        """Bytes received so far."""
        self.requests = 0
        """Ranges asked for so far."""
        self._fetch = fetch
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._runs: OrderedDict[int, int] = OrderedDict()  # block after a fetch -> its length

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
        """Fills the buffer as far as the current block reaches; 0 only at the end."""
        if self.closed:
            raise ValueError(f"{self.name} is closed")
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self.size_bytes:
            return 0
        index, offset = divmod(self._position, BLOCK_BYTES)
        piece = self._block(index)[offset : offset + len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Drops what was cached."""
        self._blocks.clear()
        super().close()

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            self._fetch_blocks(index)
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def _fetch_blocks(self, first: int) -> None:
        longest = min(2 * self._runs.pop(first, 0) or 1, _LONGEST_FETCH_BLOCKS)
        end = first + 1
        while (
            end < first + longest
            and end * BLOCK_BYTES < self.size_bytes
            and end not in self._blocks
        ):
            end += 1
        data = self._download(first * BLOCK_BYTES, min(end * BLOCK_BYTES, self.size_bytes))
        for place, index in enumerate(range(first, end)):
            self._blocks[index] = data[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES]
        self._runs[end] = end - first
        while len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        while len(self._runs) > _REMEMBERED_RUNS:
            self._runs.popitem(last=False)

    def _download(self, start: int, end: int) -> bytes:
        data = bytearray()
        for _ in range(_ATTEMPTS):
            self.requests += 1
            for chunk in self._fetch(start + len(data), end):
                data += chunk
                self.bytes_read += len(chunk)
            if len(data) > end - start:
                raise OSError(f"{self.name}: the server sent more than the range asked for")
            if len(data) == end - start:
                return bytes(data)
        raise OSError(
            f"{self.name}: bytes {start} to {end} broke off {_ATTEMPTS} times, "
            f"the last time at {start + len(data)}"
        )
