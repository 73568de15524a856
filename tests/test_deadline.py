"""Questions of the browser are ended when they take too long, and only those."""

import threading

from lakehouse.web.deadline import Deadline

PATIENCE_S = 30.0


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "deadline"]


def test_what_takes_too_long_is_interrupted() -> None:
    interrupted = threading.Event()
    with Deadline(0.05).watching(interrupted.set):
        assert interrupted.wait(PATIENCE_S)


def test_what_has_ended_in_time_is_never_interrupted() -> None:
    deadline = Deadline(0.05)
    early, late = threading.Event(), threading.Event()
    with deadline.watching(early.set):
        pass
    with deadline.watching(late.set):
        assert late.wait(PATIENCE_S)
    assert not early.is_set()


def test_closing_interrupts_and_leaves_no_thread_behind() -> None:
    deadline, interrupted = Deadline(PATIENCE_S), threading.Event()
    with deadline.watching(interrupted.set):
        (watcher,) = watchers()
        deadline.close()
        assert interrupted.is_set()
        assert not watcher.is_alive()


def test_it_watches_again_after_it_was_closed() -> None:
    deadline, interrupted = Deadline(0.05), threading.Event()
    deadline.close()
    with deadline.watching(interrupted.set):
        assert interrupted.wait(PATIENCE_S)
    deadline.close()
