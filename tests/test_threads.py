"""Several items at once: all of them, once each, and never far ahead."""

from collections.abc import Generator
from threading import Barrier, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.engine.threads import at_once, streams_at_once


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_every_item_is_worked_on_once(items: list[int], workers: int) -> None:
    assert sorted(at_once(lambda item: item * 2, items, workers)) == sorted(i * 2 for i in items)


def test_as_many_as_there_are_workers_run_together() -> None:
    together = Barrier(3, timeout=10)  # breaks unless three are inside at once
    assert len(list(at_once(lambda _: together.wait(), range(3), 3))) == 3


def test_it_never_runs_further_ahead_than_its_workers() -> None:
    taken, lock = [], Lock()

    def items():
        for number in range(20):
            with lock:
                taken.append(number)
            yield number

    for used, _ in enumerate(at_once(lambda item: item, items(), 2), start=1):
        assert len(taken) <= used + 2


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(at_once(lambda item: 1 // item, [1, 0, 2], 2))


def test_the_results_of_one_item_keep_their_order() -> None:
    def letters(item: str) -> Generator[tuple[str, int], None, None]:
        yield from ((item, number) for number in range(5))

    results = list(streams_at_once(letters, "abc", 2))
    for item in "abc":
        assert [number for name, number in results if name == item] == list(range(5))


def test_work_that_nobody_waits_for_any_more_is_closed() -> None:
    closed = []

    def endless(item: int) -> Generator[int, None, None]:
        try:
            while True:
                yield item
        finally:
            closed.append(item)

    results = streams_at_once(endless, range(2), 2)
    next(results)
    results.close()
    assert sorted(closed) == [0, 1]
