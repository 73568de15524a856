"""Scores with a column for each model that scores clips, beside what was measured.

Tables are apart, so that no scorer touches another's rows; here they are read as one.
"""

from collections.abc import Iterable

import polars as pl

from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import SCORES, model_scores


def scored(
    lake: Lake, partition: Partition | None, scorers: Iterable[str], where: str = ""
) -> pl.DataFrame:
    """The rows of `scores`, each with a column for each scorer: null where it gave no score, or one
    of another object. `where` may use the columns that say whose row it is."""
    scores = lake.read(SCORES, partition, SCORES.schema.names, where)
    for scorer in scorers:
        table = model_scores(scorer)
        given = lake.read(table, partition, ["clip_id", "etag", "score"], where)
        scores = scores.join(given.rename({"score": scorer}), on=["clip_id", "etag"], how="left")
    return scores
