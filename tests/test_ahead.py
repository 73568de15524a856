"""Working ahead: in order, bounded, and without a thread left behind."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.engine.ahead import ahead, mapped_ahead

WAIT_S = 20.0


def threads_of_ahead() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(items: list[int], count: int, threads: int) -> None:
    assert list(ahead(items, count)) == items
    assert list(mapped_ahead(lambda item: -item, items, threads, count)) == [-i for i in items]


def test_no_more_items_are_made_than_may_lie_ready() -> None:
    made = 0
    third_is_made = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made
        for item in range(10):
            made += 1
            if made == 3:
                third_is_made.set()
            yield item

    results = ahead(items(), 2)
    assert made == 0
    assert next(results) == 0
    assert third_is_made.wait(WAIT_S)
    for number, _ in enumerate(results, start=2):
        assert made <= number + 2
    assert made == 10


def test_items_are_made_while_the_caller_is_busy() -> None:
    second_is_made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        second_is_made.set()

    results = ahead(items(), 3)
    assert next(results) == 1
    assert second_is_made.wait(WAIT_S)  # although nobody has asked for it
    assert next(results) == 2


def test_work_is_done_by_several_threads_at_once() -> None:
    together = threading.Barrier(3, timeout=WAIT_S)

    def work(item: int) -> int:
        together.wait()
        return item

    assert list(mapped_ahead(work, range(6), 3, 3)) == list(range(6))


def test_what_making_an_item_raises_is_raised_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    results = ahead(items(), 5)
    assert next(results) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_what_work_raises_is_raised_in_its_place() -> None:
    results = mapped_ahead(lambda item: 6 // item, [3, 0, 2], 2, 3)
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_caller_that_stops_closes_the_source_and_leaves_no_thread_behind() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    results = mapped_ahead(lambda item: item, items(), 2, 2)
    assert next(results) == 0
    results.close()
    assert closed.is_set()
    assert threads_of_ahead() == []


def test_nothing_is_made_before_somebody_asks() -> None:
    asked = threading.Event()

    def items() -> Iterator[int]:
        asked.set()
        yield 1

    results = ahead(items(), 1)
    assert not asked.is_set()
    assert list(results) == [1]
