"""Keeping a network busy: items are read and prepared ahead, in batches, while the device works.

Three things go on at once: a thread reads, a few prepare (decode, resize, tokenise), and one drives
the device, which has its next batch launched before the last one is collected. Memory is bounded by
`_BATCHES_AHEAD` prepared batches. Committing what comes out is the engine's: see `local`.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakehouse.engine.ahead import mapped_ahead
from lakehouse.models.batch_model import BatchModel, Rows

_BATCHES_AHEAD = 3
"""Besides those that are being prepared."""

Group = tuple[str, Sequence[Any]]
"""A key, and the items that belong to it."""


@dataclass(frozen=True)
class _Batch:
    """Items of one or several groups, and of each group how many, and whether the last is there."""

    items: list[Any]
    parts: list[tuple[str, int, bool]]


def fed(model: BatchModel, groups: Iterable[Group], threads: int) -> Generator[tuple[str, Rows]]:
    """The model's rows for each group, in the order of the groups, which are taken a few batches
    ahead; every group has at least one item.

    Preparing takes at most `threads` threads. Raises what the model or the groups raise.
    """
    batches = _batches(groups, model.batch_size)
    prepared = mapped_ahead(
        lambda batch: (batch.parts, model.prepare(batch.items)),
        batches,
        threads,
        threads + _BATCHES_AHEAD,
    )
    found: list[Rows] = []
    with closing(prepared):
        for parts, rows in _computed(model, prepared):
            start = 0
            for key, count, is_last in parts:
                found.append(rows[start : start + count])
                start += count
                if is_last:
                    yield key, np.concatenate(found)
                    found = []


def _computed(
    model: BatchModel, prepared: Iterable[tuple[list[tuple[str, int, bool]], Any]]
) -> Iterator[tuple[list[tuple[str, int, bool]], Rows]]:
    """Batches are launched one ahead, so that the device has work while a result is fetched."""
    launched: tuple[list[tuple[str, int, bool]], Any] | None = None
    for parts, batch in prepared:
        following = (parts, model.launch(batch))
        if launched is not None:
            yield launched[0], model.collect(launched[1])
        launched = following
    if launched is not None:
        yield launched[0], model.collect(launched[1])


def _batches(groups: Iterable[Group], size: int) -> Iterator[_Batch]:
    batch = _Batch([], [])
    for key, items in groups:
        assert items, f"{key} has no items"
        start = 0
        while start < len(items):
            taken = items[start : start + size - len(batch.items)]
            start += len(taken)
            batch.items.extend(taken)
            batch.parts.append((key, len(taken), start == len(items)))
            if len(batch.items) == size:
                yield batch
                batch = _Batch([], [])
    if batch.items:
        yield batch
