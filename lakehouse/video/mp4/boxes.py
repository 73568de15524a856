"""The boxes that an MP4 or MOV is made of: walking those of others, and writing our own.

Layouts are those of ISO/IEC 14496-12. Only the boxes' frames belong here; what is in the index is
`movie` and `samples`. Files are untrusted: no size is believed before it is compared with what
holds it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from lakehouse.storage.ranged import ReadsAhead

_LARGEST_INDEX_BYTES = 128 * 2**20
MOST_BOXES = 1024
"""That one box, or the file, holds side by side."""

_HEADER = struct.Struct(">I4s")
_WIDE_BYTES = 8
_SMALL_BYTES = 4096  # in which the first headers lie


class NotSliceable(Exception):  # noqa: N818, another way of cutting follows
    """This file, or span of it, can't be cut out as bytes; the message says why."""


@dataclass(frozen=True)
class Box:
    """A box without its header. `content` is a window into what it was found in, from `start`."""

    kind: bytes
    content: memoryview
    start: int


def boxes(data: memoryview) -> Iterator[Box]:
    """The boxes that lie side by side in `data`. Raises NotSliceable where they don't fit."""
    at = 0
    for _ in range(MOST_BOXES):
        if len(data) - at < _HEADER.size:  # QuickTime ends some lists with a zero
            return
        kind, header_bytes, size = _frame(data[at : at + 2 * _WIDE_BYTES], len(data) - at)
        yield Box(kind, data[at + header_bytes : at + size], at + header_bytes)
        at += size
    raise NotSliceable("its index holds too many boxes")


def only(data: memoryview, *path: bytes) -> memoryview:
    """The content of the box at this path of kinds. Raises NotSliceable unless there is one."""
    found = optional(data, *path)
    if found is None:
        raise NotSliceable(f"its index has no {_path(path)}")
    return found


def optional(data: memoryview, *path: bytes) -> memoryview | None:
    """Like `only`, and none where a box of the path is missing."""
    content: memoryview | None = data
    for kind in path:
        if content is None:
            return None
        same = [box.content for box in boxes(content) if box.kind == kind]
        if len(same) > 1:
            raise NotSliceable(f"its index has several {_path(path)}")
        content = same[0] if same else None
    return content


def version(full: memoryview) -> int:
    """The version that a full box states, 0 if it is cut short."""
    return int.from_bytes(full[:1])


def read_index(source: BinaryIO) -> tuple[memoryview, int]:
    """The content of the file's moov, and the length of the file in bytes. Raises as
    `find_index`."""
    start, end, file_bytes = find_index(source)
    return memoryview(read_range(source, start, end - start)), file_bytes


def find_index(source: BinaryIO) -> tuple[int, int, int]:
    """Where the content of the file's moov starts and ends, and the length of the file in bytes.

    Of all other boxes only the headers are read. Raises NotSliceable where there is no moov, or
    none of a sane size.
    """
    file_bytes = source.seek(0, io.SEEK_END)
    if isinstance(source, ReadsAhead):  # nothing is foreseen then
        source.expect([(0, _SMALL_BYTES)])

    def read(start: int, end: int) -> memoryview:
        return memoryview(read_range(source, start, end - start))

    for kind, start, end in islice(frames(read, 0, file_bytes), MOST_BOXES):
        if kind == b"moov":
            if end - start > _LARGEST_INDEX_BYTES:
                raise NotSliceable(f"its index is larger than {_LARGEST_INDEX_BYTES} bytes")
            return start, end, file_bytes
    raise NotSliceable("it has no moov")


def frames(
    read: Callable[[int, int], memoryview], start: int, end: int
) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box that lies in `[start, end)` of what `read`
    reads; of the boxes only the headers are read."""
    while end - start >= _HEADER.size:
        head = read(start, min(start + 2 * _WIDE_BYTES, end))
        kind, header_bytes, size = _frame(head, end - start)
        yield kind, start + header_bytes, start + size
        start += size


def read_range(source: BinaryIO, start: int, size: int) -> bytes:
    """Exactly these bytes of the file. Raises NotSliceable where it ends before."""
    source.seek(start)
    data = source.read(size)
    while len(data) < size:
        more = source.read(size - len(data))
        if not more:
            raise NotSliceable("it is shorter than its index says")
        data += more
    return data


def box(kind: bytes, *parts: bytes | memoryview) -> bytes:
    """A box of these parts. Raises NotSliceable where it would exceed 4 GiB."""
    size = _HEADER.size + sum(map(len, parts))
    if size >= 2**32:
        raise NotSliceable("its index would be too large")
    return b"".join((_HEADER.pack(size, kind), *parts))


def full_box(kind: bytes, *parts: bytes | memoryview, version: int = 0, flags: int = 0) -> bytes:
    """A box that starts with a version and 24 flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def media_header(size: int) -> bytes:
    """What stands before `size` bytes of media."""
    if size + _HEADER.size < 2**32:
        return _HEADER.pack(size + _HEADER.size, b"mdat")
    return struct.pack(">I4sQ", 1, b"mdat", size + _HEADER.size + _WIDE_BYTES)


def _frame(head: memoryview, available: int) -> tuple[bytes, int, int]:
    """Kind of the box that starts so, bytes of its header, and bytes in all."""
    size, kind = _HEADER.unpack_from(head)
    header_bytes = _HEADER.size
    if size == 0:  # it reaches to the end
        size = available
    elif size == 1 and len(head) >= _HEADER.size + _WIDE_BYTES:
        size = int.from_bytes(head[_HEADER.size : _HEADER.size + _WIDE_BYTES])
        header_bytes += _WIDE_BYTES
    if not header_bytes <= size <= available:
        raise NotSliceable(f"a box {kind!r} is larger than what holds it, or than the file")
    return kind, header_bytes, size


def _path(path: tuple[bytes, ...]) -> str:
    return b"/".join(path).decode("latin-1")
