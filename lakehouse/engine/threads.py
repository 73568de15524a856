"""Work on several items at once, in threads, without running ahead of who uses the results.

For work that lets go of Python's lock: decoding, encoding, waiting for a bucket.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """The results of `work`, in the order in which they are ready.

    At most `workers` items are worked on, or done and not yet taken; no more are taken from
    `items`. What `work` raises is raised here, after the items under way are done.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Result]] = {
            pool.submit(work, item) for item in islice(waiting, workers)
        }
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                running |= {pool.submit(work, item) for item in islice(waiting, 1)}
