"""A lake that several threads ask at once, while somebody else writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

import lakehouse
from lakehouse.query.asked import Filters, Query
from lakehouse.query.opened import Opened
from tests.lakes import Site, film
from tests.queried import REAR

NEW = 2
CLIPS, CAPTIONED = 6, 4  # at first
Asking = Callable[[Opened, int], int]


def by_words(opened: Opened, round_: int) -> int:
    """Each time another filter, so that none is known from before; returns how many clips."""
    among = Filters(verdict="any", where=f"start_s >= {-round_}")
    found = opened.search(Query("rex", fold=False), among, 50)
    assert found["clip_id"].n_unique() == found.height
    assert not found["text"].has_nulls()
    return found.height


def newest(opened: Opened, round_: int) -> int:
    """All clips; the filter stays, and so its clips are those that are kept."""
    found = opened.search(Query(), Filters(verdict="any"), 50)
    assert found["day"].is_sorted(descending=True), round_
    return found.height


def by_a_stranger(opened: Opened, round_: int) -> int:
    query = f"SELECT count(*) FROM clips WHERE start_s > {-1 - round_}"
    ((found,),) = opened.read_only(query)[1]
    return int(found)


def through_a_relation(opened: Opened, round_: int) -> int:
    ((found,),) = opened.clips.filter(f"start_s > {-1 - round_}").count("*").fetchall()
    return int(found)


def asked_until(done: Event, opened: Opened, ask: Asking) -> list[int]:
    """The answers up to the first that was asked for when all had been written."""
    answers: list[int] = []
    is_last = False
    while not is_last:
        is_last = done.is_set()
        answers.append(ask(opened, len(answers)))
    return answers


def test_answers_are_right_while_rows_are_written(copy: Site) -> None:
    askers = [by_words, newest, by_a_stranger, by_words, newest, by_a_stranger, through_a_relation]
    done = Event()
    with lakehouse.open(copy.settings) as opened, ThreadPoolExecutor(len(askers)) as threads:
        asked = [threads.submit(asked_until, done, opened, ask) for ask in askers]
        try:
            for number in range(NEW):
                copy.put(f"new-{number}.mp4", film(("shed", 1 + number)), REAR)
                copy.run(REAR)
        finally:
            done.set()
        for ask, answers in zip(askers, asked, strict=True):
            seen = answers.result()
            assert seen == sorted(seen), ask
            assert seen[-1] == (CAPTIONED if ask is by_words else CLIPS) + NEW, ask


@pytest.mark.parametrize("ask", [by_words, newest, by_a_stranger])
def test_threads_that_ask_the_same_get_the_same(lake: Site, ask: Asking) -> None:
    with lakehouse.open(lake.settings) as opened, ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: ask(opened, 0), range(40)))) == 1
