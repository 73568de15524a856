"""Files as one ZIP that is sent while it is made: nothing of it is kept, on disk or in memory."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_PIECE_BYTES = 2**20


def zipped(files: Iterable[Path], top: str) -> Iterator[bytes]:
    """The ZIP of these files in a folder `top`, in pieces of about a megabyte. They are stored as
    they are, clips being compressed already; of any size and number (ZIP64).

    Raises OSError where a file can't be read.
    """
    target = _Pieces()
    with ZipFile(target, "w", ZIP_STORED) as archive:
        for path in files:
            entry = ZipInfo.from_file(path, f"{top}/{path.name}")
            with path.open("rb") as source, archive.open(entry, "w") as member:
                while piece := source.read(_PIECE_BYTES):
                    member.write(piece)
                    yield target.taken()
    yield target.taken()


class _Pieces(io.RawIOBase):
    """A file that can't be sought: what is written waits until it is taken."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken
