"""The index of a table's vectors: which kind, how fine, and when it is made anew.

Keeping it up to date beside other indices is `maintenance`. Rows that came since are searched all
the same, by looking at each.
"""

import math
from typing import Any

LEAST_ROWS = 5000
"""Below, looking at every vector takes a few milliseconds, and misses none."""

VECTOR = "vector"

_OUTGROWN = 4  # times the partitions that today's rows would get


def index_vectors(dataset: Any) -> str | None:
    """Make the index that the table lacks, or has outgrown; its name, or none where none is due.

    RaBitQ (IVF_RQ) takes a bit a dimension, is built in seconds, and finds what whole vectors find
    where a search compares some more of them, as ours does.
    """
    if VECTOR not in dataset.schema.names:
        return None
    rows = dataset.count_rows()
    if rows < LEAST_ROWS or not _is_due(dataset, rows):
        return None
    dimensions = dataset.schema.field(VECTOR).type.list_size
    dataset.create_index(
        VECTOR,
        "IVF_RQ" if dimensions % 8 == 0 else "IVF_FLAT",  # RaBitQ packs bits into bytes
        metric="cosine",
        num_partitions=_partitions(rows),
        replace=True,
    )
    return f"{VECTOR}_idx"


def probes(rows: int, looked_at: int) -> int:
    """How many partitions of the index of so many rows hold so many of them, about."""
    return math.ceil(min(looked_at, rows) * _partitions(rows) / max(1, rows)) or 1


def _is_due(dataset: Any, rows: int) -> bool:
    for index in dataset.describe_indices():
        if VECTOR in index.field_names:
            made = dataset.stats.index_stats(index.name)["indices"][0]["num_partitions"]
            return _partitions(rows) > _OUTGROWN * int(made)
    return True


def _partitions(rows: int) -> int:
    return max(1, round(math.sqrt(rows)))
