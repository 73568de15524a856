"""Feeding a network: every item once, batches filled across groups, the device never idle."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.engine.feeding import fed
from lakehouse.models.batch_model import Rows

WAIT_S = 20.0


class Doubling:
    """A network whose row for a number is the number and its double. It notes what it is given."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.batches: list[list[float]] = []
        self.log: list[str] = []

    def prepare(self, items: Sequence[float]) -> list[float]:
        return list(items)

    def launch(self, prepared: list[float]) -> list[float]:
        self.batches.append(prepared)
        self.log.append("launch")
        return prepared

    def collect(self, launched: list[float]) -> Rows:
        self.log.append("collect")
        return np.array([[item, 2 * item] for item in launched], np.float32)


GROUPS = st.lists(st.lists(st.integers(-100, 100), min_size=1, max_size=9), max_size=12)


@given(GROUPS, st.integers(1, 7), st.integers(1, 3))
def test_each_group_gets_the_rows_of_its_own_items(
    groups: list[list[int]], batch_size: int, threads: int
) -> None:
    named = [(f"group {number}", items) for number, items in enumerate(groups)]
    found = list(fed(Doubling(batch_size), named, threads))
    assert [key for key, _ in found] == [key for key, _ in named]
    assert [rows.tolist() for _, rows in found] == [
        [[item, 2 * item] for item in items] for items in groups
    ]


@given(GROUPS, st.integers(1, 7))
def test_all_batches_but_the_last_are_full(groups: list[list[int]], batch_size: int) -> None:
    network = Doubling(batch_size)
    list(fed(network, [("group", items) for items in groups], 2))
    assert all(len(batch) == batch_size for batch in network.batches[:-1])
    assert sum(map(len, network.batches)) == sum(map(len, groups))


def test_a_batch_is_launched_before_the_one_before_it_is_collected() -> None:
    network = Doubling(2)
    list(fed(network, [("a", [1, 2, 3, 4, 5, 6])], 1))
    assert network.log == ["launch", "launch", "collect", "launch", "collect", "collect"]


def test_batches_are_prepared_while_the_device_works() -> None:
    prepared = threading.Semaphore(0)

    class Slow(Doubling):
        def prepare(self, items: Sequence[float]) -> list[float]:
            prepared.release()
            return super().prepare(items)

        def collect(self, launched: list[float]) -> Rows:
            # The first is collected only once its two successors and two more were prepared.
            for _ in range(5 if len(self.batches) == 2 else 0):
                assert prepared.acquire(timeout=WAIT_S)
            return super().collect(launched)

    found = list(fed(Slow(1), [("a", range(8))], 2))
    assert len(found[0][1]) == 8


def test_groups_are_taken_a_bounded_number_ahead() -> None:
    taken = 0

    def groups() -> Iterator[tuple[str, list[int]]]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield str(number), [number] * 4

    for number, _ in enumerate(fed(Doubling(4), groups(), 2), start=1):
        assert taken <= number + 8
    assert taken == 200


def test_what_the_device_raises_ends_the_feeding_without_a_thread_left_behind() -> None:
    class Broken(Doubling):
        def launch(self, prepared: list[float]) -> list[float]:
            if len(self.batches) == 2:
                raise MemoryError("the device is full")
            return super().launch(prepared)

    with (
        closing(fed(Broken(1), [("a", range(100))], 2)) as found,
        pytest.raises(MemoryError, match="the device is full"),
    ):
        next(found)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("ahead")]
