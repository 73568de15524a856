"""Several items at once: all of them, once each, and never far ahead."""

from threading import Barrier, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.engine.threads import at_once


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
