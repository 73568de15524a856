"""Known bytes behind fetches of ranges, and files that read them: what was asked for is remembered,
and a test can hold up the answers.

What is expected of the files stays in the tests.
"""

import random
import threading
from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import strategies as st

from lakehouse.storage.downloads import Fetch
from lakehouse.storage.pieces import SMALL_BYTES
from lakehouse.storage.ranged import RangedFile, RangedReader

MIB = 2**20
DATA = random.Random(0).randbytes(64 * MIB)
CHUNK_BYTES = 64 * 1024
PATIENCE_S = 20.0

Span = tuple[int, int]


class Source:
    """Serves DATA; remembers what was asked for, and lets a test hold up answers."""

    def __init__(self, hold: Callable[[int], None] = lambda _start: None) -> None:
        self.asked: list[Span] = []
        self.active = 0
        self.changed = threading.Condition()
        self._hold = hold

    def fetch(self, start: int, end: int) -> Generator[bytes, None, None]:
        with self.changed:
            self.asked.append((start, end))
            self.active += 1
            self.changed.notify_all()
        try:
            for at in range(start, end, CHUNK_BYTES):
                self._hold(at)
                yield DATA[at : min(at + CHUNK_BYTES, end)]
        finally:
            with self.changed:
                self.active -= 1
                self.changed.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(until, PATIENCE_S)


def opened(fetch: Fetch, size_bytes: int = len(DATA)) -> RangedFile:
    return RangedFile(RangedReader("footage", size_bytes, fetch))


def read_on(file: RangedFile, end: int) -> None:
    while file.tell() < end:
        start = file.tell()
        assert file.read(SMALL_BYTES) == DATA[start : start + SMALL_BYTES]


def held_bytes(file: RangedFile) -> int:
    return sum(piece.end - piece.start for piece in file.raw._pieces)  # type: ignore[attr-defined]


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in reading_threads():
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


positions = st.integers(0, len(DATA) + 100)
lengths = st.one_of(st.integers(0, 6 * MIB), st.just(SMALL_BYTES))
ranges = st.lists(st.tuples(positions, lengths).map(lambda pair: (pair[0], sum(pair))), max_size=12)
