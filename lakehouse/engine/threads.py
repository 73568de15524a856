"""Work on several items at once, in threads, without running ahead of who uses the results.

For work that lets go of Python's lock: decoding, encoding, waiting for a bucket.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Stream = Generator[Result, None, None]


def at_once(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """The results of `work`, in the order in which they are ready.

    At most `workers` items are worked on, or done and not yet taken; no more are taken from
    `items`. What `work` raises is raised here, after the items under way are done.
    """

    def only(item: Item) -> Stream[Result]:
        yield work(item)

    return streams_at_once(only, items, workers)


def streams_at_once(
    work: Callable[[Item], Stream[Result]],
    items: Iterable[Item],
    workers: int,
    stop: Callable[[], None] = lambda: None,
) -> Stream[Result]:
    """The results of `work`, of which each item may have several, in the order in which they are
    ready; those of one item keep theirs.

    At most `workers` items are worked on, each at most one result ahead of what was taken. What
    `work` raises is raised here; work that is then unfinished is closed, and `stop` is called
    first, to make what is under way end soon.
    """
    waiting = iter(items)
    end = object()
    running: dict[Future[Any], Stream[Result]] = {}
    pool = ThreadPoolExecutor(workers)

    def go_on(stream: Stream[Result]) -> None:
        running[pool.submit(next, stream, end)] = stream

    try:
        for item in islice(waiting, workers):
            go_on(work(item))
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                stream = running.pop(future)
                result = future.result()
                if result is end:
                    for item in islice(waiting, 1):
                        go_on(work(item))
                else:
                    go_on(stream)
                    yield result
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown()
        for stream in running.values():
            stream.close()
