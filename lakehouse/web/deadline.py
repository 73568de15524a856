"""Ending what takes too long: one thread watches over all questions, since to start one for each
takes longer than most of them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Watched:
    until: float
    interrupt: Callable[[], None]
    is_over: bool = False


class Deadline:
    """Interrupts what takes longer than so many seconds. For several threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: deque[_Watched] = deque()  # by their time, which is equal for all
        self._changed = threading.Condition()
        self._watcher: threading.Thread | None = None

    @contextmanager
    def watching(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Calls `interrupt` unless the block ends in time, and never once it has ended."""
        watched = _Watched(time.monotonic() + self._seconds, interrupt)
        with self._changed:
            self._watched.append(watched)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="deadline", daemon=True)
                self._watcher.start()
        try:
            yield
        finally:
            with self._changed:
                watched.is_over = True

    def close(self) -> None:
        """Interrupt what is being watched, and let go of it all."""
        with self._changed:
            watcher = self._watcher
            for watched in self._watched:
                watched.until = 0.0
            self._changed.notify()
        if watcher is not None:
            watcher.join()

    def _watch(self) -> None:
        """Until there is nothing to watch."""
        with self._changed:
            while self._watched:
                first = self._watched[0]
                left_s = first.until - time.monotonic()
                if first.is_over or left_s <= 0:
                    self._watched.popleft()
                    if not first.is_over:
                        first.interrupt()
                else:
                    self._changed.wait(left_s)
            self._watcher = None
