"""Worker processes for what reads untrusted footage: the side of the process that asks.

A file that crashes its reader, keeps it busy for ever or fills its memory costs one process here,
becomes an error, and everything else goes on. Starting, waiting for and replacing such processes
belongs here; what happens inside one is `worker`, what they are asked to do is the stages'.

This is a fence against accidents and forged files. It is none against a decoder that has been
taken over: a worker has the rights of its parent.
"""

import atexit
import logging
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import cache
from multiprocessing import Pipe
from threading import BoundedSemaphore, Lock
from typing import Any, Literal, TypeAlias, TypeVar

from lakehouse.engine import child
from lakehouse.errors import UserError

Result = TypeVar("Result")
Task: TypeAlias = Callable[[], Iterator[Result]]
"""What a worker does. It can be pickled, and so can its results: a `partial` of a function of a
module, or a frozen dataclass that can be called. Its module is imported by the worker, so it
should import little."""

Answer: TypeAlias = tuple[Literal["begun", "result", "memory", "end"], Any]
"""What a worker says: that it has a task; a result of it; that memory ran out; or that the task has
ended, by what error or none, and whether the worker is fit for another."""

_log = logging.getLogger(__name__)
_BEGIN_S = 60.0
_FINISH_S = 0.2
_DYING_S = 5.0
_THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError")


class WorkerLost(Exception):  # noqa: N818, it is what happened to the worker
    """A task took its worker with it, or had to be ended; the message says why, for people."""


class TaskFailed(Exception):  # noqa: N818, as above
    """A task raised what nobody foresaw; the message is that error's kind and text."""


class Workers:
    """At most `count` processes of at most `memory_mb` each, started when needed and kept.

    For use by several threads at once. Memory is limited on Linux, where everything counts that a
    process has allocated; elsewhere only the machine limits it. Logged are the time that each task
    took (debug) and the workers that were lost (info).
    """

    def __init__(self, count: int, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._free = BoundedSemaphore(count)
        self._lock = Lock()
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []

    def stream(self, task: Task[Result], deadline_s: float) -> Generator[Result, None, None]:
        """The results of a task as they are made, by a worker of its own; waits for a free one.

        The worker runs ahead by what fits into a pipe. Closing the generator ends the task, and the
        worker with it unless the task was done. Only the time for which this waits for the worker
        counts against the deadline.

        Raises what the task raised, if it is an OSError or an error of this library; TaskFailed for
        any other error; WorkerLost if the worker was lost; UserError if none can be started.
        """
        pickled = pickle.dumps(task)
        with self._free:
            worker = self._begun(pickled)
            try:
                yield from worker.results(deadline_s)
            except WorkerLost as lost:
                _log.info("%r: %s", task, lost)
                raise
            finally:
                _log.debug("%r took %.2f of %.2f s", task, worker.waited_s, deadline_s)
                self._give_back(worker)

    def close(self) -> None:
        """End all processes, whatever they do. Tasks under way raise WorkerLost; a later one starts
        a fresh process."""
        with self._lock:
            busy, idle = self._all.difference(self._idle), self._idle
            self._all, self._idle = set(), []
        for worker in busy:
            worker.kill()  # who waits for it hears of it, and ends it
        for worker in idle:
            worker.end()

    def _begun(self, pickled: bytes) -> "_Worker":
        """A worker that has begun the task. One that was lost since its last is passed over."""
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            worker = idle or self._started()
            try:
                worker.begin(pickled)
            except WorkerLost as lost:
                self._give_back(worker)
                if worker is not idle:
                    raise UserError(
                        f"a worker process can't start: {worker.last_words or 'it ended'}; repair "
                        "the installation, or raise limits.memory_mb"
                    ) from lost
            except BaseException:
                self._give_back(worker)
                raise
            else:
                return worker

    def _started(self) -> "_Worker":
        worker = _Worker(self._memory_mb)
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: "_Worker") -> None:
        with self._lock:
            if worker.is_fit and worker in self._all:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()


def workers(count: int, memory_mb: int) -> Workers:
    """The pool of this process for these limits, closed when the process ends."""
    with _pools:
        return _pool(count, memory_mb)


_pools = Lock()


@cache
def _pool(count: int, memory_mb: int) -> Workers:
    pool = Workers(count, memory_mb)
    atexit.register(pool.close)
    return pool


class _Worker:
    """One process, used by one thread at a time.

    `is_fit` says whether it may be given a task: neither during one, nor after one that wore it
    out. `last_words` is the last line on standard error of one that was lost, `waited_s` for how
    long it was waited for during the latest task.
    """

    def __init__(self, memory_mb: int) -> None:
        """Starts one. Raises UserError."""
        self.is_fit = False
        self.last_words = ""
        self.waited_s = 0.0
        self._memory_mb = memory_mb
        self._connection, theirs = Pipe()
        try:
            self._process = _started(theirs.fileno(), memory_mb)
        except OSError as error:
            self._connection.close()
            raise UserError(
                f"no worker process can be started: {error}; free memory, or lower the setting "
                "workers"
            ) from error
        finally:
            theirs.close()

    def begin(self, pickled: bytes) -> None:
        """Give it a task. Raises WorkerLost if it has not begun: the task is not to blame."""
        self.is_fit = False
        self._said()  # what was said before is not about this task
        try:
            self._connection.send_bytes(pickled)
            self._wait(_BEGIN_S)
        except ConnectionError as error:
            raise self._lost() from error
        except TimeoutError as error:
            raise WorkerLost(f"nothing heard of it for {_BEGIN_S:g} s") from error
        self._receive()

    def results(self, deadline_s: float) -> Generator[Any, None, None]:
        """What the task yields; see `Workers.stream`."""
        self.waited_s = 0.0
        while True:
            since = time.monotonic()
            try:
                self._wait(max(0.0, deadline_s - self.waited_s))
                kind, value = self._receive()
            except TimeoutError as error:
                deadline = f"{round(deadline_s, 1):g} s"
                raise WorkerLost(f"took longer than its deadline of {deadline}") from error
            finally:
                self.waited_s += time.monotonic() - since
            if kind == "result":
                try:
                    yield value
                except GeneratorExit:
                    self._finish()
                    raise
                continue
            if kind == "memory":
                raise WorkerLost(self._too_much_memory())
            problem, self.is_fit = value
            if problem is not None:
                raise problem
            return

    def _finish(self) -> None:
        """Find out whether the task is done anyway, as after its only result."""
        with suppress(TimeoutError, WorkerLost):
            self._wait(_FINISH_S)
            kind, value = self._receive()
            if kind == "end":
                _, self.is_fit = value

    def kill(self) -> None:
        """At once, whatever it does; another thread may be waiting for it."""
        self._process.kill()

    def end(self) -> None:
        """Kill it and leave nothing of it behind; nobody waits for it any more."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _wait(self, timeout_s: float) -> None:
        """Until it says something or ends. Raises TimeoutError."""
        if not self._connection.poll(timeout_s):
            raise TimeoutError

    def _receive(self) -> Answer:
        """Raises WorkerLost if it has ended."""
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _lost(self) -> WorkerLost:
        try:
            status = self._process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            return WorkerLost("stopped answering while reading it")
        said = self._said()
        self.last_words = said.splitlines()[-1] if said else ""
        if any(sign in said for sign in _OUT_OF_MEMORY):
            return WorkerLost(self._too_much_memory())
        if status >= 0:
            return WorkerLost(f"ended while reading it (exit status {status})")
        name = (signal.strsignal(-status) or "unknown").lower()
        return WorkerLost(f"crashed while reading it (signal {-status}: {name})")

    def _too_much_memory(self) -> str:
        return f"needed more than {self._memory_mb} MB of memory"

    def _said(self) -> str:
        """What was written on standard error since this was last asked; what did not fit into the
        pipe is lost."""
        assert self._process.stderr is not None
        return (self._process.stderr.read() or b"").decode(errors="replace").strip()


def _started(connection: int, memory_mb: int) -> subprocess.Popen[bytes]:
    """Raises OSError."""
    process = child.started(
        "lakehouse.engine.worker",
        connection,
        str(memory_mb),
        stderr=subprocess.PIPE,
        # N workers of N threads each only wait for each other, and stacks count as memory.
        variables=dict.fromkeys(_THREADS_OF_LIBRARIES, "1"),
    )
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    return process
