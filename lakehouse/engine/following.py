"""Stages that follow another at its heels: captions of a recording are made while the next one is
still being decoded.

They run as they always do, plan and all, over and over for as long as there are new commits: what
they have not done by the end, their own run does. Nothing depends on it, so that what goes wrong
here ends it, and is left for that run to meet again.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from lakehouse.engine.local import StageReport

_log = logging.getLogger(__name__)


class Follower:
    """Runs `sweep`, in a thread of its own, after every commit that `committed` tells of; several
    during one sweep make for one more. What a sweep did is in `reports`."""

    def __init__(self, sweep: Callable[[], Sequence[StageReport]]) -> None:
        self._sweep = sweep
        self._news = threading.Semaphore(0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.reports: list[StageReport] = []

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def committed(self) -> None:
        """There is something new."""
        self._news.release()

    def end(self) -> None:
        """Nothing more is coming: the sweep under way is the last one."""
        self._ended.set()
        self._news.release()

    def join(self) -> None:
        """Wait for the sweep under way."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._news.acquire()
                while self._news.acquire(blocking=False):
                    pass
                if self._ended.is_set():
                    return
                self.reports += self._sweep()
        except Exception as problem:
            _log.info("following ends: %s", problem)
