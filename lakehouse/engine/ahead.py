"""Working ahead of who uses the results, in order, by a bounded amount.

What keeps a reader, a device and a writer busy at the same time: each is a stretch of a pipeline
that takes from the one before it. For work that lets go of Python's lock. Where order doesn't
matter, `threads` is simpler.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

_PATIENCE_S = 5.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], count: int) -> Generator[Item, None, None]:
    """The items, at most `count` of them made before they are taken, in a thread of their own.

    What making them raises is raised here, after the items before it. Closing this generator
    closes theirs once the item under way is made, for which it waits a few seconds at most.
    """
    with _produced(items, count, _done) as results:
        yield from results


def mapped_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, count: int
) -> Generator[Result, None, None]:
    """The results of `work` in the order of the items, at most `count` of them under way or done
    and not taken. `work` runs in so many threads, and the items are made in one more."""
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool,
        _produced(items, count, lambda item: pool.submit(work, item)) as results,
    ):
        yield from results


def _done(item: Item) -> "Future[Item]":
    future: Future[Item] = Future()
    future.set_result(item)
    return future


@contextmanager
def _produced(
    items: Iterable[Item], count: int, begin: Callable[[Item], "Future[Result]"]
) -> Iterator[Iterator[Result]]:
    room = threading.Semaphore(count)
    stopped = threading.Event()
    queue: SimpleQueue[Future[Result] | None] = SimpleQueue()

    def produce() -> None:
        source = iter(items)
        try:
            while True:
                room.acquire()
                if stopped.is_set():
                    return
                try:
                    item = next(source)
                except StopIteration:
                    return
                queue.put(begin(item))
        except BaseException as problem:
            failed: Future[Result] = Future()
            failed.set_exception(problem)
            queue.put(failed)
        finally:
            if isinstance(source, Generator):
                source.close()
            queue.put(None)

    def taken() -> Iterator[Result]:
        while (future := queue.get()) is not None:
            result = future.result()
            room.release()
            yield result

    producer = threading.Thread(target=produce, name="ahead", daemon=True)
    producer.start()
    try:
        yield taken()
    finally:
        stopped.set()
        room.release()
        # Who is interrupted must not wait for a model's answer: the thread then ends by itself.
        producer.join(_PATIENCE_S)
