"""A folder as a bucket.

Everything that touches the local file system for footage belongs here. Names come from outside:
nothing that a key or a symbolic link says leads out of the folder.
"""

import builtins
import io
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from lakehouse.errors import UserError
from lakehouse.storage.bucket import (
    ObjectInfo,
    ObjectNotFound,
    ObjectReplaced,
    is_footage,
    is_key,
    is_visible,
    require_key,
)

_logger = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS = 253_402_300_799 * 10**9  # the last second of the year 9999, datetime's last

_Identity = tuple[int, int]


class LocalBucket:
    """The files below `folder`. Raises UserError if it doesn't exist.

    An etag is made of size, modification time and inode: hashing the content would read all
    footage. A file is as old as the later of its modification and status change, since one that
    was moved here keeps its old modification time. Symbolic links are followed while they stay
    in the folder and lead to no folder above them. A name that isn't UTF-8 can't be a key and is
    not listed.
    """

    def __init__(self, folder: str | Path) -> None:
        if not str(folder):
            raise UserError("the bucket's address is empty; name a folder or s3://bucket/prefix")
        self._root = Path(folder).expanduser().resolve()
        self._require_root()

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    @property
    def objects_appear_whole(self) -> bool:
        """Not so: a file that is being copied here grows."""
        return False

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """See Bucket. Reads one folder at a time, and none that can't hold a wanted key."""
        self._require_root()
        root = self._root.stat()
        return self._walk(self._root, "", prefix, start_after, frozenset({_identity(root)}))

    def stat(self, key: str) -> ObjectInfo:
        """See Bucket."""
        return _info(key, self._find(key).stat())

    def open(self, key: str, etag: str | None = None) -> BinaryIO:
        """See Bucket. A file that is written over while it is read is not noticed here."""
        path = self._find(key)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise self._missing(key) from None
        except PermissionError as error:
            raise _unreadable(path) from error
        if etag is not None and _info(key, os.fstat(file.fileno())).etag != etag:
            file.close()
            raise ObjectReplaced(f"{self.url}: {key!r} was replaced")
        return file

    def put(self, key: str, data: bytes | BinaryIO) -> ObjectInfo:
        """See Bucket. Writes beside the target and renames, so no reader sees a part."""
        require_key(key)
        self._require_root()
        target = self._root / key
        try:
            folder = target.parent.resolve()
            if not folder.is_relative_to(self._root):
                raise UserError(f"{key!r} leads out of {self._root}; give another key")
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder / f".{secrets.token_hex(8)}.part"
            try:
                _write(unfinished, io.BytesIO(data) if isinstance(data, bytes) else data)
                unfinished.replace(folder / target.name)
            finally:
                unfinished.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{target} can't be written: {reason}; give another key or free the place"
            ) from error
        return self.stat(key)

    def _require_root(self) -> None:
        # An unmounted disk must not look like a bucket whose objects were all deleted.
        if not self._root.is_dir():
            raise UserError(f"the bucket's folder {self._root} doesn't exist; create or mount it")

    def _missing(self, key: str) -> ObjectNotFound:
        return ObjectNotFound(f"{self.url}: no object {key!r}")

    def _find(self, key: str) -> Path:
        """The regular file behind a key, with every link resolved."""
        self._require_root()
        if not is_key(key):
            raise self._missing(key)
        path = _resolved(self._root / key)
        if path is None or not path.is_relative_to(self._root) or not path.is_file():
            raise self._missing(key)
        return path

    def _walk(
        self,
        folder: Path,
        folder_key: str,
        prefix: str,
        start_after: str,
        above: frozenset[_Identity],
    ) -> Iterator[ObjectInfo]:
        for key, path in self._entries(folder, folder_key, prefix, start_after):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            except PermissionError as error:
                raise _unreadable(path) from error
            if not key.endswith("/"):
                if stat.S_ISREG(found.st_mode):
                    yield _info(key, found)
            elif _identity(found) not in above:
                yield from self._walk(path, key, prefix, start_after, above | {_identity(found)})

    def _entries(
        self, folder: Path, folder_key: str, prefix: str, start_after: str
    ) -> builtins.list[tuple[str, Path]]:
        """Wanted keys of one folder in order; those of folders end in `/`, which places them."""
        entries = []
        try:
            with os.scandir(folder) as scan:
                for entry in scan:
                    key = folder_key + entry.name + ("/" if _is_folder(entry) else "")
                    if _is_wanted(key, prefix, start_after) and (path := self._followed(entry)):
                        entries.append((key, path))
        except FileNotFoundError:
            self._require_root()
        except PermissionError as error:
            raise _unreadable(folder) from error
        # Code points sort as their UTF-8 bytes do.
        return sorted(entries)

    def _followed(self, entry: os.DirEntry[str]) -> Path | None:
        path = Path(entry.path)
        if not entry.is_symlink():
            return path
        target = _resolved(path)
        if target is not None and target.is_relative_to(self._root):
            return target
        _logger.warning("%s is not listed: it is a link to nothing in the bucket", path)
        return None


def _is_wanted(key: str, prefix: str, start_after: str) -> bool:
    """Whether a file is to be listed, or a folder (its key ends in `/`) may hold such a file."""
    if key.endswith("/"):
        on_the_way = key.startswith(prefix) or prefix.startswith(key)
        return is_visible(key[:-1]) and on_the_way and start_after[: len(key)] <= key
    return is_footage(key) and key.startswith(prefix) and key > start_after


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _resolved(path: Path) -> Path | None:
    """The path without links; none where it leads nowhere, in a circle, or is too long."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def _write(path: Path, data: BinaryIO) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(data, file)
        file.flush()
        os.fsync(file.fileno())


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    changed_ns = min(max(found.st_mtime_ns, found.st_ctime_ns), _LATEST_NS)
    return ObjectInfo(
        key=key,
        size_bytes=found.st_size,
        etag=f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}",
        modified=_EPOCH + timedelta(microseconds=changed_ns // 1000),
    )


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _unreadable(path: Path) -> UserError:
    return UserError(f"{path} can't be read; grant read access to it")
