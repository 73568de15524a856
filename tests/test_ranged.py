"""Reading by byte ranges: right whatever is read, ahead, in parallel, exact, and bounded.

What must overlap is proven by fetches that wait for each other, and never by the clock.
What announcing ranges changes is `test_announced`.
"""

import gc
import io
import os
import random
import threading
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.storage.downloads import IN_FLIGHT
from lakehouse.storage.local import LocalBucket
from lakehouse.storage.pieces import HELD_BYTES, LARGEST_PIECE_BYTES, SMALL_BYTES
from lakehouse.storage.ranged import RangedFile, ReadsAhead
from lakehouse.storage.runs import AHEAD_BYTES, BLOCK_BYTES, Runs
from lakehouse.storage.s3 import S3Bucket
from tests.sources import (
    CHUNK_BYTES,
    DATA,
    MIB,
    PATIENCE_S,
    Source,
    Span,
    held_bytes,
    lengths,
    no_thread_is_left,  # noqa: F401, watches every test here
    opened,
    positions,
    ranges,
    read_on,
    reading_threads,
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), positions),
        st.tuples(st.just("read"), lengths),
        st.tuples(st.just("read1"), lengths),
        st.tuples(st.just("expect"), ranges),
        st.tuples(st.just("follow"), ranges),
    ),
    max_size=25,
)


def assert_reads_as(twin: BinaryIO, file: RangedFile, steps: list[tuple[str, object]]) -> None:
    for step, value in steps:
        if step in {"expect", "follow"}:
            assert isinstance(value, list)
            file.expect(value)
            for start, end in value if step == "follow" else ():
                assert file.seek(start) == twin.seek(start)
                assert file.read(end - start) == twin.read(end - start)
            continue
        assert isinstance(value, int)
        if step == "seek":
            assert file.seek(value) == twin.seek(value)
        elif step == "read":
            assert file.read(value) == twin.read(value)
        else:
            part = file.read1(value)
            assert part == twin.read(len(part))
            assert part or not value or not twin.read(1)
            twin.seek(file.tell())
        assert held_bytes(file) <= HELD_BYTES


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_whatever_is_read_is_what_a_file_holds_in_bounded_memory(
    steps: list[tuple[str, object]],
) -> None:
    with opened(Source().fetch) as file:
        assert_reads_as(io.BytesIO(DATA), file, steps)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), announced=ranges)
def test_whatever_is_read_from_a_server_is_what_a_file_holds(
    s3_bucket: S3Bucket, seed: int, announced: list[Span]
) -> None:
    data = DATA[: 3 * MIB + 12345]
    if not list(s3_bucket.list()):
        s3_bucket.put("a", data)
    places = random.Random(seed)
    folded = [(start % len(data), start % len(data) + end - start) for start, end in announced]
    steps: list[tuple[str, object]] = [("expect", folded)] if places.random() < 0.5 else []
    for _ in range(8):
        steps.append(("seek", places.randrange(len(data) + 100)))
        steps += [("read", places.randrange(MIB))] * places.randrange(3)
    with s3_bucket.open("a") as file:
        assert_reads_as(io.BytesIO(data), file, steps)


class TestReadingOn:
    def test_opening_fetches_nothing_and_starts_no_thread(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.seek(0, os.SEEK_END)
            assert (source.asked, reading_threads()) == ([], [])

    def test_a_small_read_fetches_one_block(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            file.seek(5 * BLOCK_BYTES + 7)
            assert file.read(100) == DATA[5 * BLOCK_BYTES + 7 :][:100]
        assert source.asked == [(5 * BLOCK_BYTES, 6 * BLOCK_BYTES)]

    def test_each_byte_is_fetched_once_in_growing_ranges(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            assert b"".join(iter(lambda: file.read(SMALL_BYTES), b"")) == DATA
            assert (file.bytes_read, file.requests) == (len(DATA), len(source.asked))
        assert len(source.asked) <= 50
        longest = max(end - start for start, end in source.asked)
        assert LARGEST_PIECE_BYTES / 2 < longest <= LARGEST_PIECE_BYTES

    def test_what_comes_next_arrives_while_the_consumer_works(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            read_on(file, 8 * MIB)
            source.wait(lambda: max(source.asked)[1] >= 12 * MIB and not source.active)
            fetched = sum(end - start for start, end in source.asked)
            assert fetched >= 12 * MIB

    def test_four_ranges_are_on_their_way_at_once(self) -> None:
        most_active = 0

        def until_four_are_active(at: int) -> None:
            nonlocal most_active
            if at >= 8 * MIB and most_active < IN_FLIGHT:
                source.wait(lambda: source.active >= IN_FLIGHT or most_active >= IN_FLIGHT)
                most_active = IN_FLIGHT

        source = Source(until_four_are_active)
        with opened(source.fetch) as file:
            read_on(file, 24 * MIB)

    def test_no_more_are_on_their_way_than_the_four_and_the_readers_own(self) -> None:
        most_active = 0

        def count(_at: int) -> None:
            nonlocal most_active
            most_active = max(most_active, source.active)

        source = Source(count)
        with opened(source.fetch) as file:
            while file.read(SMALL_BYTES):
                pass
        assert most_active <= IN_FLIGHT + 1

    def test_two_places_in_turn_are_both_read_ahead_and_no_byte_is_fetched_twice(self) -> None:
        source = Source()
        with opened(source.fetch) as file:
            for offset in range(0, 24 * MIB, BLOCK_BYTES):
                for place in (offset, 40 * MIB + offset):
                    file.seek(place)
                    assert file.read(BLOCK_BYTES) == DATA[place : place + BLOCK_BYTES]
        asked = sorted(source.asked)
        assert len(asked) <= 80
        assert all(before[1] <= after[0] for before, after in pairwise(asked))

    def test_going_elsewhere_is_not_held_up_by_what_is_on_its_way(self) -> None:
        elsewhere = threading.Event()

        def hold(at: int) -> None:
            if 8 * MIB <= at < 40 * MIB:
                assert elsewhere.wait(PATIENCE_S)

        source = Source(hold)
        with opened(source.fetch) as file:
            read_on(file, 7 * MIB)
            source.wait(lambda: source.active >= IN_FLIGHT - 1)
            file.seek(50 * MIB)
            assert file.read(10) == DATA[50 * MIB :][:10]
            elsewhere.set()

    def test_one_large_read_is_fetched_in_parallel_and_little_beyond(self) -> None:
        source = Source(lambda _at: source.wait(lambda: len(source.asked) >= IN_FLIGHT))
        with opened(source.fetch) as file:
            file.seek(20 * MIB + 5)
            assert file.read(12 * MIB) == DATA[20 * MIB + 5 :][: 12 * MIB]
            assert file.bytes_read <= 13 * MIB

    @given(st.integers(0, len(DATA) - 1), st.lists(st.integers(1, 3 * MIB), max_size=40))
    def test_no_more_is_fetched_ahead_than_was_read_or_asked_for(
        self, start: int, lengths: list[int]
    ) -> None:
        runs, position = Runs(len(DATA)), start
        end = runs.needed(position, 1)[1]
        for length in lengths:
            runs.reading_at(position, length)
            end = max([end, *(part_end for _, part_end in runs.wanted())])
            ahead = max(min(position - start, AHEAD_BYTES), length)
            assert end - position <= ahead + BLOCK_BYTES
            position = min(position + length, len(DATA) - 1)


class TestFailing:
    def test_a_failure_in_the_background_fails_the_read_that_needs_it_and_no_other(self) -> None:
        failing = True

        def hold(at: int) -> None:
            if failing and at >= 9 * MIB:
                raise OSError("the object was replaced")

        source = Source(hold)
        with opened(source.fetch) as file:
            read_on(file, 7 * MIB)
            source.wait(lambda: max(source.asked)[1] > 9 * MIB and source.active == 0)
            with pytest.raises(OSError, match="replaced"):
                read_on(file, 9 * MIB)
            failing = False
            source.wait(lambda: source.active == 0)
            file.seek(0)
            assert file.read(8 * MIB) == DATA[: 8 * MIB]

    def test_a_read_that_failed_may_be_tried_again(self) -> None:
        failures = [OSError("once")]

        def hold(_at: int) -> None:
            if failures:
                raise failures.pop()

        with opened(Source(hold).fetch) as file:
            file.expect([(0, 100)])
            with pytest.raises(OSError, match="once"):
                file.read(100)
            assert file.read(100) == DATA[:100]

    def test_a_range_cut_short_in_the_background_is_continued(self) -> None:
        source = Source()

        def cut(start: int, end: int) -> Generator[bytes, None, None]:
            return source.fetch(start, max(start + 1, end - (end - start) // 2))

        with opened(cut) as file:
            file.expect([(0, 20)])
            assert file.read(20) == DATA[:20]
        assert source.asked == [(0, 10), (10, 15), (15, 18), (18, 19), (19, 20)]

    def test_a_range_that_never_arrives_whole_is_an_error_and_no_end(self) -> None:
        def nothing(_start: int, _end: int) -> Generator[bytes, None, None]:
            yield from ()

        with opened(nothing) as file, pytest.raises(OSError, match="broke off 8 times"):
            file.read()

    def test_more_than_was_asked_for_is_refused_before_it_fills_memory(self) -> None:
        def endless(_start: int, _end: int) -> Generator[bytes, None, None]:
            while True:
                yield bytes(CHUNK_BYTES)

        with opened(endless) as file, pytest.raises(OSError, match="more than was asked for"):
            file.read(1)


class TestEnding:
    def test_closing_ends_what_is_on_its_way_with_its_next_chunk(self) -> None:
        closed = threading.Event()

        def hold(at: int) -> None:
            if at >= 8 * MIB:
                assert closed.wait(PATIENCE_S)

        source = Source(hold)
        file = opened(source.fetch)
        read_on(file, 7 * MIB)
        source.wait(lambda: source.active >= IN_FLIGHT - 1)
        asked = len(source.asked)
        file.close()
        closed.set()
        source.wait(lambda: source.active == 0)
        assert len(source.asked) == asked
        assert file.bytes_read <= 8 * MIB + 2 * MIB

    def test_a_file_that_nobody_closes_ends_with_its_last_reference(self) -> None:
        source = Source()
        file = opened(source.fetch)
        file.expect([(0, len(DATA))])
        del file
        gc.collect()
        source.wait(lambda: source.active == 0)

    def test_a_closed_file_says_so(self) -> None:
        file = opened(Source().fetch)
        file.close()
        file.close()
        with pytest.raises(ValueError, match="closed"):
            file.read(1)
        with pytest.raises(ValueError, match="closed"):
            file.expect([(0, 1)])


def test_a_server_is_read_ahead_and_a_folder_leaves_that_to_the_system(
    s3_bucket: S3Bucket, tmp_path: Path
) -> None:
    for bucket, reads_ahead in ((s3_bucket, True), (LocalBucket(tmp_path), False)):
        bucket.put("a", b"footage")
        with bucket.open("a") as source:
            assert isinstance(source, ReadsAhead) is reads_ahead
