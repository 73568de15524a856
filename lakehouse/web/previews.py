"""Videos that have to be made before they can be sent: once each, a few at a time, then kept.

How they are made is `tasks`, by processes of `lakehouse.engine.workers`; how long they are kept,
`cache`. Waiting holds no thread, however many wait.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import anyio
import anyio.to_thread

from lakehouse.engine.workers import TaskFailed, WorkerLost, Workers
from lakehouse.settings import Settings
from lakehouse.storage.bucket import Bucket, ObjectNotFound, ObjectReplaced
from lakehouse.web.cache import Cache, TooLarge
from lakehouse.web.reading import NotFound, Refused
from lakehouse.web.tasks import CutTask, NotShowable, PreviewTask, ReadyTask


@dataclass
class _Turn:
    """Who waits for one file."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Previews:
    """Made videos, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        web = settings.web
        self._limits = settings.limits
        self._cache = Cache(web.cache_folder, web.cache_mb * 2**20)
        self._workers = Workers(web.previews_at_once, settings.limits.memory_mb)
        self._limiter = anyio.CapacityLimiter(web.previews_at_once)
        self._turns: dict[str, _Turn] = {}

    async def open(self, task: CutTask | PreviewTask, footage_s: float) -> BinaryIO:
        """The file of a task, made unless it is there.

        Raises NotFound where the recording is another by now, Refused where it can't be made.
        """
        name = _name(task)
        async with self._turn(name):
            file = await anyio.to_thread.run_sync(self._cache.open, name)
            while file is None:
                await anyio.to_thread.run_sync(
                    self._make, name, task, footage_s, limiter=self._limiter
                )
                file = await anyio.to_thread.run_sync(self._cache.open, name)
        return file

    def warm_up(self, bucket: Bucket) -> None:
        """Start a worker, which takes longer than most of its tasks. Raises UserError."""
        with suppress(WorkerLost, TaskFailed):
            list(self._workers.stream(ReadyTask(bucket), self._limits.deadline_s))

    def close(self) -> None:
        """End what is being made."""
        self._workers.close()

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(name, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[name]

    def _make(self, name: str, task: CutTask | PreviewTask, footage_s: float) -> None:
        deadline_s = self._limits.deadline_s + self._limits.deadline_per_footage_s * footage_s
        pieces = self._workers.stream(task, deadline_s)
        try:
            self._cache.add(name, pieces)
        except (ObjectReplaced, ObjectNotFound) as error:
            raise NotFound(
                "the recording was replaced or removed; run `lakehouse ingest`"
            ) from error
        except (NotShowable, TooLarge, TaskFailed, WorkerLost) as error:
            raise Refused(f"this clip can't be shown: {error}") from error


def _name(task: CutTask | PreviewTask) -> str:
    """Equal only for what makes equal files, also of another process."""
    source = task.footage
    of = (source.bucket.url, source.key, source.etag, source.start_pts, source.end_pts)
    size_px = task.longest_px if isinstance(task, PreviewTask) else None
    return hashlib.sha256(repr((of, size_px)).encode()).hexdigest()[:32] + ".mp4"
