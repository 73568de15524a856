"""A folder in which pushed notifications lie until they are heeded, one file each.

Who lays them down is `listener`. Both may run on different machines that share the folder.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from uuid import uuid4

from lakehouse.errors import UserError
from lakehouse.storage.events.event import Delivery
from lakehouse.storage.events.notification import NotANotificationError, events_of

_SUFFIX = ".json"
_MOST_FILES = 500


@dataclass(frozen=True)
class Spool:
    """An EventSource; receipts are file names, which sort by their time."""

    folder: Path

    def add(self, notification: bytes) -> None:
        """Lay one down; it has reached the disk when this returns. Raises UserError."""
        name = f"{time.time_ns():020d}-{uuid4().hex}{_SUFFIX}"
        unfinished = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                _write(unfinished, notification)
                unfinished.rename(self.folder / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
            _sync(self.folder)
        except OSError as error:
            raise self._error(error) from error

    def take(self) -> list[Delivery]:
        """See EventSource. The oldest first; none where nothing was ever laid down."""
        try:
            names = [entry.name for entry in os.scandir(self.folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error(error) from error
        finished = (name for name in names if name.endswith(_SUFFIX) and name[0] != ".")
        return [self._delivery(name) for name in nsmallest(_MOST_FILES, finished)]

    def done(self, receipts: Iterable[str]) -> None:
        """See EventSource."""
        for name in receipts:
            try:
                (self.folder / Path(name).name).unlink(missing_ok=True)
            except OSError as error:
                raise self._error(error) from error

    def _delivery(self, name: str) -> Delivery:
        try:
            return Delivery(name, events_of((self.folder / name).read_bytes()))
        except NotANotificationError as error:
            return Delivery(name, problem=f"{self.folder / name}: {error}")
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> UserError:
        return UserError(
            f"the spool {self.folder}: {error.strerror}; free space there, correct its rights, or "
            "set events.spool to another folder"
        )


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Without this a name may be lost with the power, though its file is not."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
