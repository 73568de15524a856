"""The interface to the place where raw footage lies.

What every kind of bucket promises belongs here, including which keys exist at all; how a folder
or a server keeps the promise is `local` and `s3`; how an address becomes a bucket, `address`.
What a key means is `keys`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from lakehouse.errors import UserError

_LONGEST_KEY_BYTES = 1024  # S3's limit
_PARTIAL_SUFFIXES = (".part", ".partial", ".filepart", ".crdownload", ".tmp")


class ObjectNotFound(Exception):  # noqa: N818, it is an answer as often as an error
    """No object has the key that was asked for."""


class ObjectReplaced(Exception):  # noqa: N818, it is an answer as often as an error
    """The object under this key is another one than was meant."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object as it was when looked at. `etag` changes whenever the object is replaced."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime
    """When the object came to lie here, in UTC."""


class Bucket(Protocol):
    """Objects by key. A key is a relative path with `/` between its parts, see `is_key`.

    Every method raises UserError where the bucket itself can't be reached or read.
    """

    @property
    def url(self) -> str:
        """The address, without credentials."""
        ...

    @property
    def objects_appear_whole(self) -> bool:
        """Whether no object can be seen while it is still being written."""
        ...

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects that `is_footage` names, in ascending order of their keys' UTF-8 bytes.

        Streams: only keys that start with `prefix` and come strictly after `start_after`.
        """
        ...

    def stat(self, key: str) -> ObjectInfo:
        """One object. Raises ObjectNotFound."""
        ...

    def open(self, key: str, etag: str | None = None) -> BinaryIO:
        """A seekable reader that fetches what is read. Raises ObjectNotFound, and ObjectReplaced
        if an etag is given and the object has another.

        One that may be told beforehand what will be read is a `ranged.ReadsAhead`.
        """
        ...

    def put(self, key: str, data: bytes | BinaryIO) -> ObjectInfo:
        """Creates or replaces an object, whole or not at all. Raises UserError for a bad key."""
        ...


def is_key(key: str) -> bool:
    """Whether both a folder and a server can hold an object of this name, and never elsewhere.

    Not so: empty parts, `.` and `..`, NUL, what isn't UTF-8, and more than 1024 bytes.
    """
    try:
        length_bytes = len(key.encode())
    except UnicodeEncodeError:
        return False
    parts_hold = all(part not in {"", ".", ".."} for part in key.split("/"))
    return length_bytes <= _LONGEST_KEY_BYTES and parts_hold and "\0" not in key


def is_visible(key: str) -> bool:
    """Whether it is a key of which no part is hidden by a leading dot."""
    return is_key(key) and not any(part.startswith(".") for part in key.split("/"))


def is_footage(key: str) -> bool:
    """Whether a listing shows the key: visible, and not the name of an unfinished copy."""
    return is_visible(key) and not key.endswith(_PARTIAL_SUFFIXES)


def require_key(key: str) -> None:
    """Raises UserError unless an object may be put under this key."""
    if not is_key(key):
        raise UserError(
            f"{key!r} can't be an object's key; give a relative path of at most "
            f"{_LONGEST_KEY_BYTES} bytes without '.', '..' or empty parts"
        )
