"""A folder of made files, bounded in bytes: what was not looked at for longest goes first.

What the files are, and who makes them, is `previews`.
"""

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from lakehouse.errors import UserError

_ABANDONED_S = 3600.0
_PARTIAL = ".partial"


class TooLarge(Exception):  # noqa: N818, it is an answer
    """A file would not fit into the folder, however much went."""


class Cache:
    """Files by name, of `most_bytes` together, unfinished ones included. For several threads.

    Raises UserError where the folder can't be written.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder.expanduser()
        self._most_bytes = most_bytes
        self._lock = Lock()

    def open(self, name: str) -> BinaryIO | None:
        """The file, none if it isn't there. It can be read to its end even if it goes meanwhile."""
        path = self._folder / name
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        with suppress(OSError):
            os.utime(path)
        return file

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file, whole or not at all. Raises TooLarge."""
        partial = self._folder / f"{secrets.token_hex(8)}{_PARTIAL}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with partial.open("xb", buffering=0) as file:
                written = 0
                for piece in pieces:
                    written += len(piece)
                    self._make_room(len(piece), written)
                    file.write(piece)
            partial.replace(self._folder / name)
        except OSError as error:
            raise self._unusable(error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _make_room(self, size_bytes: int, written_bytes: int) -> None:
        if written_bytes > self._most_bytes:
            raise TooLarge(f"it is larger than web.cache_mb, {self._most_bytes // 2**20} MB")
        with self._lock:
            found = []
            for path in self._folder.iterdir():
                with suppress(FileNotFoundError):
                    found.append((path, path.stat()))
            held_bytes = sum(stat.st_size for _, stat in found)
            for path, stat in sorted(found, key=lambda entry: entry[1].st_mtime):
                unfinished = path.suffix == _PARTIAL
                if unfinished and time.time() - stat.st_mtime < _ABANDONED_S:
                    continue
                if held_bytes + size_bytes <= self._most_bytes and not unfinished:
                    break
                path.unlink(missing_ok=True)
                held_bytes -= stat.st_size

    def _unusable(self, error: OSError) -> UserError:
        return UserError(
            f"the folder {self._folder} can't be used: {error.strerror or error}; set "
            "web.cache_folder to one that can be written"
        )
