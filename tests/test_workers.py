"""Worker processes: what a task does to its worker stays there, and the next task finds a fresh
one."""

import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from lakehouse.engine import workers as engine_workers
from lakehouse.engine.workers import TaskFailed, WorkerLost, Workers
from lakehouse.errors import UserError
from tests import worker_tasks as tasks
from tests.test_probe_refusals import FORGED_FRAGMENT
from tests.videos import moving, record

PLENTY_S = 60.0
LITTLE_MB = 512


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """One pool for all tests: each finds it as the one before has left it."""
    pool = Workers(2, LITTLE_MB)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def _the_pool_goes_on(workers: Workers) -> Iterator[None]:
    yield
    assert list(workers.stream(partial(tasks.numbers, 3), PLENTY_S)) == [0, 1, 2]


def worker_of(workers: Workers) -> int:
    ((pid, _),) = workers.stream(tasks.process, PLENTY_S)
    return pid


def has_ended(pid: int) -> bool:
    """Waits for it, if need be."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([process], [], [], PLENTY_S)
    os.close(process)
    return bool(ready)


# Results


def test_results_come_in_order(workers: Workers) -> None:
    assert list(workers.stream(partial(tasks.numbers, 1000), PLENTY_S)) == list(range(1000))


def test_results_come_while_the_task_goes_on(workers: Workers) -> None:
    stream = workers.stream(tasks.counting, PLENTY_S)
    assert list(islice(stream, 100)) == list(range(100))
    stream.close()


def test_a_worker_does_one_task_after_the_other(workers: Workers) -> None:
    assert worker_of(workers) == worker_of(workers) != os.getpid()


def test_tasks_of_several_threads_run_at_once(workers: Workers, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ends = [partial(tasks.meeting, fifo, mode) for mode in (os.O_RDONLY, os.O_WRONLY)]
    with ThreadPoolExecutor(2) as threads:
        pids = list(threads.map(lambda end: list(workers.stream(end, PLENTY_S)), ends))
    assert pids[0] != pids[1]


def test_there_are_never_more_processes_than_asked_for(workers: Workers) -> None:
    with ThreadPoolExecutor(8) as threads:
        pids = set(threads.map(lambda _: worker_of(workers), range(50)))
    assert len(pids) <= 2


def test_a_worker_gives_way_after_many_tasks() -> None:
    pool = Workers(1, LITTLE_MB)
    assert len({worker_of(pool) for _ in range(201)}) == 2
    pool.close()


def test_the_pool_of_a_process_is_one_for_the_same_limits() -> None:
    assert engine_workers.workers(2, LITTLE_MB) is engine_workers.workers(2, LITTLE_MB)
    assert engine_workers.workers(2, LITTLE_MB) is not engine_workers.workers(3, LITTLE_MB)


# Errors


@pytest.mark.parametrize("name", tasks.ERRORS)
def test_errors_that_can_be_acted_on_come_as_themselves(workers: Workers, name: str) -> None:
    pid = worker_of(workers)
    stream = workers.stream(partial(tasks.raising, name), PLENTY_S)
    assert next(stream) == 1
    with pytest.raises(type(tasks.ERRORS[name]), match=f"^{name}$"):
        next(stream)
    assert worker_of(workers) == pid


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (tasks.dividing, "ZeroDivisionError: division by zero"),
        (tasks.raising_what_cannot_be_pickled, "UnpicklableError: but it has a text"),
        (tasks.yielding_what_cannot_be_pickled, ".*Error: Can't pickle .*"),
    ],
)
def test_other_errors_come_as_their_kind_and_text(
    workers: Workers, task: engine_workers.Task[object], text: str
) -> None:
    with pytest.raises(TaskFailed, match=f"^{text}$"):
        list(workers.stream(task, PLENTY_S))


def test_an_error_of_the_system_keeps_its_text_if_not_its_kind(workers: Workers) -> None:
    with pytest.raises(OSError, match=r"^half read$"):
        list(workers.stream(tasks.raising_what_cannot_be_made_again, PLENTY_S))


def test_a_task_that_cannot_be_sent_is_told_at_once(workers: Workers) -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        list(workers.stream(lambda: iter(()), PLENTY_S))


# Lost workers


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (
            partial(tasks.dying, signal.SIGSEGV),
            r"crashed while reading it \(signal 11: segmentation fault\)",
        ),
        (partial(tasks.dying, signal.SIGKILL), r"crashed while reading it \(signal 9: killed\)"),
        (partial(tasks.leaving, 0), r"ended while reading it \(exit status 0\)"),
        (partial(tasks.leaving, 3), r"ended while reading it \(exit status 3\)"),
        (tasks.failing_to_allocate, "needed more than 512 MB of memory"),
    ],
)
def test_a_crash_is_told_in_words_after_the_results_before_it(
    workers: Workers, task: engine_workers.Task[int], reason: str
) -> None:
    stream = workers.stream(task, PLENTY_S)
    assert next(stream) == 1
    with pytest.raises(WorkerLost, match=f"^{reason}$"):
        next(stream)


def test_a_worker_lost_between_tasks_costs_no_task(workers: Workers) -> None:
    pid = worker_of(workers)
    os.kill(pid, signal.SIGKILL)
    assert worker_of(workers) != pid


@pytest.mark.parametrize("python", [shutil.which("false"), "/no/python"])
def test_that_no_worker_can_start_is_told_to_a_person(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(UserError, match=r"^(a|no) worker process can.* start"):
        worker_of(Workers(1, LITTLE_MB))


def test_an_endless_task_ends_with_its_deadline(workers: Workers) -> None:
    stream = workers.stream(tasks.never_done, 0.5)
    pid = next(stream)
    with pytest.raises(WorkerLost, match=r"^took longer than its deadline of 0\.5 s$"):
        next(stream)
    assert has_ended(pid)


def test_the_time_of_who_uses_the_results_does_not_count(workers: Workers) -> None:
    stream = workers.stream(tasks.counting, 1.0)
    next(stream)
    busy_until = time.monotonic() + 1.2
    while time.monotonic() < busy_until:
        pass
    assert len(list(islice(stream, 10_000))) == 10_000  # more than a pipe holds
    stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
@pytest.mark.parametrize(
    "task", [partial(tasks.hoarding, 10 * 2**30), partial(tasks.enlarging, 60_000)]
)
def test_too_much_memory_is_told_in_words(workers: Workers, task: engine_workers.Task[int]) -> None:
    with pytest.raises(WorkerLost, match=f"^needed more than {LITTLE_MB} MB of memory$"):
        list(workers.stream(task, PLENTY_S))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_task_may_do_without_the_memory_that_it_was_refused(workers: Workers) -> None:
    task = partial(tasks.hoarding_in_vain, 10 * 2**30)
    assert list(workers.stream(task, PLENTY_S)) == ["gave up on it"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_worker_that_keeps_much_memory_gives_way(workers: Workers) -> None:
    (pid,) = workers.stream(partial(tasks.keeping, 300 * 2**20), PLENTY_S)
    assert has_ended(pid)


def test_a_task_that_nobody_waits_for_any_more_is_ended(workers: Workers) -> None:
    stream = workers.stream(tasks.never_done, PLENTY_S)
    pid = next(stream)
    stream.close()
    assert has_ended(pid)


def test_a_task_whose_only_result_is_taken_costs_no_worker(workers: Workers) -> None:
    pid = worker_of(workers)
    with closing(workers.stream(tasks.process, PLENTY_S)) as stream:
        assert next(stream)[0] == pid
    assert worker_of(workers) == pid


def test_a_closed_pool_leaves_no_process_and_may_be_used_again() -> None:
    pool = Workers(2, LITTLE_MB)
    idle = worker_of(pool)
    stream = pool.stream(tasks.never_done, PLENTY_S)
    busy = next(stream)
    other = worker_of(pool)
    pool.close()
    assert all(map(has_ended, {idle, busy, other}))
    with pytest.raises(WorkerLost, match="killed"):
        next(stream)
    assert worker_of(pool) not in {idle, busy, other}
    pool.close()


PARENT = """
from lakehouse.engine.workers import workers
from tests import worker_tasks as tasks
stream = workers(1, 512).stream(tasks.{task}, 60)
print(next(stream), flush=True)
{then}
"""


@pytest.mark.parametrize(
    ("task", "then", "status"),
    [
        ("never_done", "next(stream)", -signal.SIGKILL),
        ("telling_without_end", "input()", -signal.SIGKILL),
        ("never_done", "raise SystemExit(4)", 4),
    ],
    ids=["killed while waiting", "killed while busy", "ended"],
)
def test_a_parent_leaves_no_worker_behind(task: str, then: str, status: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(task=task, then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if status < 0:
        parent.kill()
    assert parent.wait(PLENTY_S) == status
    assert has_ended(pid)


# What a worker is


def test_its_numeric_libraries_keep_to_one_thread(workers: Workers) -> None:
    (threads,) = workers.stream(tasks.threads_of_libraries, PLENTY_S)
    assert set(threads.values()) == {"1"}


def test_it_belongs_to_the_group_of_its_parent(workers: Workers) -> None:
    ((_, group),) = workers.stream(tasks.process, PLENTY_S)
    assert group == os.getpgrp()


def test_it_leaves_an_interruption_to_its_parent(workers: Workers) -> None:
    assert list(workers.stream(tasks.interrupted, PLENTY_S)) == [1]


def test_what_it_prints_goes_nowhere_and_blocks_nothing(
    workers: Workers, capfd: pytest.CaptureFixture[str]
) -> None:
    assert list(workers.stream(tasks.chattering, PLENTY_S)) == [1]
    assert capfd.readouterr() == ("", "")


def test_it_fills_no_disk(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large"):
        list(workers.stream(partial(tasks.writing, tmp_path / "file", 2**26), PLENTY_S))
    assert (tmp_path / "file").stat().st_size <= 2**24


def test_it_loads_no_tables(workers: Workers) -> None:
    (names,) = workers.stream(tasks.modules, PLENTY_S)
    assert {"av", "cv2"} <= names
    assert not names & {"lance", "polars", "duckdb", "pyarrow", "dagster"}


# Footage


def test_a_recording_is_probed_as_it_is_here(workers: Workers, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(record(moving(20)))
    assert list(workers.stream(partial(tasks.probed, path), PLENTY_S)) == list(tasks.probed(path))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_forged_counts_end_as_an_error(workers: Workers, tmp_path: Path) -> None:
    path = tmp_path / "forged.mp4"
    path.write_bytes(FORGED_FRAGMENT)
    with pytest.raises((tasks.ProbeError, WorkerLost)):
        list(workers.stream(partial(tasks.probed, path), PLENTY_S))
