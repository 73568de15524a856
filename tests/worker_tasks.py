"""What the tests of the workers ask of them, in a module that a worker imports quickly."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from lakehouse.errors import UserError
from lakehouse.storage.bucket import ObjectNotFound
from lakehouse.video.probe import Probe, ProbeError, probe

ERRORS = {
    error.args[0]: error
    for error in (
        UserError("the bucket is gone"),
        ObjectNotFound("no such object"),
        ProbeError("no footage"),
        ConnectionResetError("the server hung up"),
    )
}


class UnpicklableError(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("this stays here")


class UnreadableError(OSError):
    """Can be pickled, and not be made again from it."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def counting() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def process() -> Iterator[tuple[int, int]]:
    yield os.getpid(), os.getpgrp()


def modules() -> Iterator[set[str]]:
    import lakehouse.video.one_pass  # noqa: F401

    yield {name.split(".")[0] for name in sys.modules}


def raising(name: str) -> Iterator[int]:
    yield 1
    raise ERRORS[name]


def dividing() -> Iterator[float]:
    yield 1 / 0


def raising_what_cannot_be_pickled() -> Iterator[int]:
    yield 1
    raise UnpicklableError("but it has a text")


def raising_what_cannot_be_made_again() -> Iterator[int]:
    yield 1
    raise UnreadableError("half", "read")


def yielding_what_cannot_be_pickled() -> Iterator[object]:
    yield lambda: None


def dying(number: int) -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), number)


def leaving(status: int) -> Iterator[int]:
    yield 1
    sys.exit(status)


def never_done() -> Iterator[int]:
    yield os.getpid()
    while True:
        pass


def telling_without_end() -> Iterator[int]:
    while True:
        yield os.getpid()


def interrupted() -> Iterator[int]:
    os.kill(os.getpid(), signal.SIGINT)
    yield 1


def chattering() -> Iterator[int]:
    print("from Python")
    print("from Python", file=sys.stderr)
    for _ in range(100):
        for target in (1, 2):
            with suppress(BlockingIOError):
                os.write(target, bytes(2**16))
    yield 1


def writing(path: Path, size_bytes: int) -> Iterator[int]:
    yield path.write_bytes(bytes(size_bytes))


def meeting(path: Path, mode: int) -> Iterator[int]:
    """Goes on only while another opens the other end of a FIFO."""
    end = os.open(path, mode)
    yield os.getpid()
    os.close(end)


def hoarding(size_bytes: int) -> Iterator[int]:
    yield len(bytearray(size_bytes))


def enlarging(side_px: int) -> Iterator[int]:
    yield cv2.resize(np.zeros((2, 2), np.uint8), (side_px, side_px)).nbytes


def hoarding_in_vain(size_bytes: int) -> Iterator[str]:
    try:
        bytearray(size_bytes)
    except MemoryError:
        yield "gave up on it"


def keeping(size_bytes: int) -> Iterator[int]:
    kept = bytearray(size_bytes)
    sys.modules["kept"] = kept  # type: ignore[assignment]
    yield os.getpid()


def failing_to_allocate() -> Iterator[int]:
    """As a C++ library does of which nobody catches what it throws."""
    yield 1
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def probed(path: Path) -> Iterator[Probe]:
    with path.open("rb") as source:
        yield probe(source)


def threads_of_libraries() -> Iterator[dict[str, str]]:
    """How many threads numeric libraries may start."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    yield {name: os.environ.get(name, "") for name in names} | {"cv2": str(cv2.getNumThreads())}
