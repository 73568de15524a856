"""A worker process from the inside: takes tasks one after the other and sends what they yield.

Run by `workers` as `python -m lakehouse.engine.worker CONNECTION MEMORY_MB`, and never imported by
it: PyAV and OpenCV are loaded here, quiet and on one thread, before memory is limited. What is
done belongs to the tasks.
"""

import os
import pickle
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import av.logging
import cv2

from lakehouse.engine.child import end_before_parent, end_with_parent
from lakehouse.engine.workers import Task, TaskFailed

_MB = 2**20
_TASKS = 200
"""After so many a worker gives way to a fresh one: what native libraries leak goes with it."""
_FIT_SHARE = 0.5
"""Of the limit; a worker that holds more when idle gives way too."""
_FILE_BYTES = 16 * _MB
"""Tasks write no files; somebody who looks into a worker may have it note something."""
_OUR_PACKAGE = "lakehouse"


def main() -> None:
    """Serve until the connection is closed, or worn out."""
    connection, memory_bytes = Connection(int(sys.argv[1])), int(sys.argv[2]) * _MB
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what becomes of a task
    os.set_blocking(sys.stderr.fileno(), False)  # nobody reads it until something is wrong
    sys.stdin = sys.stdout = sys.stderr = Path(os.devnull).open("r+")  # noqa: SIM115
    av.logging.set_level(None)
    cv2.setNumThreads(1)
    _limit(memory_bytes)
    for number in range(1, _TASKS + 1):
        try:
            task = connection.recv_bytes()
        except EOFError:
            return
        connection.send(("begun", None))
        try:
            problem = _run(task, connection)
        except MemoryError:
            connection.send(("memory", None))
            return
        is_fit = number < _TASKS and _held_bytes() < _FIT_SHARE * memory_bytes
        connection.send(("end", (problem, is_fit)))


def _run(pickled: bytes, connection: Connection) -> Exception | None:
    """Send what the task yields. Returns what it raised; raises MemoryError if memory ran out."""
    try:
        task: Task[object] = pickle.loads(pickled)
        for result in task():
            connection.send(("result", result))
    except MemoryError:
        raise
    except cv2.error as problem:
        if problem.code == cv2.Error.StsNoMem:
            raise MemoryError from problem
        return _that_travels(problem)
    except Exception as problem:
        return _that_travels(problem)
    return None


def _that_travels(problem: Exception) -> Exception:
    """Itself if the parent can act on it and it survives the way; its kind and text otherwise."""
    is_ours = type(problem).__module__.split(".")[0] == _OUR_PACKAGE
    if is_ours or isinstance(problem, OSError):
        with suppress(Exception):
            copy = pickle.loads(pickle.dumps(problem))
            if type(copy) is type(problem) and str(copy) == str(problem):
                return copy
    if isinstance(problem, OSError):
        return OSError(str(problem))
    return TaskFailed(f"{type(problem).__name__}: {problem}")


def _limit(memory_bytes: int) -> None:
    """Bind this process: no core dumps, no large files, so much memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    if sys.platform == "linux":
        end_before_parent()
        # Not RLIMIT_AS, in which libraries count that are merely mapped, and what threads reserve.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _held_bytes() -> int:
    """What counts against the limit, see proc_pid_statm(5); nothing where nothing is limited."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


if __name__ == "__main__":
    main()
