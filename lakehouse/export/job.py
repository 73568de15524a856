"""An export in a process of its own: the side of the process that waits for it.

For a server: what a forged recording does to whoever cuts it happens elsewhere, pages are not kept
waiting, and an export can be ended at any moment, since it can always be taken up again. What
happens inside the process is `process`.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Self

from lakehouse.engine.child import started
from lakehouse.errors import UserError
from lakehouse.export.folder import Progress
from lakehouse.export.manifest import Entry
from lakehouse.settings import Settings
from lakehouse.storage.bucket import Bucket

Step = tuple[Progress, Entry]
"""What is heard of every clip once it is done."""


class ExportLost(Exception):  # noqa: N818, it is what happened to the process
    """An export ended before its end, and not for a reason that it knows; the message says how, for
    people."""


@dataclass(frozen=True)
class Job:
    """What is exported and where to, as by `folder.export`."""

    settings: Settings
    bucket: Bucket
    clip_ids: tuple[str, ...]
    folder: Path
    workers: int


class RunningJob:
    """A job under way. It ends with the `with` block, or when this process does."""

    def __init__(self, job: Job) -> None:
        """Starts it. Raises UserError where no process can be started."""
        self._connection, theirs = Pipe()
        try:
            self._process = started("lakehouse.export.process", theirs.fileno())
        except OSError as error:
            self._connection.close()
            raise UserError(f"no process can be started for an export: {error}") from error
        finally:
            theirs.close()
        with suppress(ConnectionError):  # `steps` tells that it is gone
            self._connection.send(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._process.wait()
        self._connection.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def steps(self) -> Iterator[Step]:
        """Every clip once it is done, until all are.

        Raises the UserError that ended the export; ExportLost for what nobody foresaw, and where
        the process ended by itself or by `end`.
        """
        try:
            while (said := self._connection.recv()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        except (EOFError, ConnectionError) as error:
            raise ExportLost(
                f"the process of this export ended (exit status {self._process.wait()})"
            ) from error

    def end(self) -> None:
        """At once, whatever it does; another thread may be waiting for it."""
        self._process.kill()
