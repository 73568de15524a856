"""Finding clips by a text: the best matches whose clips pass and lie in the bucket today.

How a text matches rows is `hits`.
"""

import polars as pl

from lakehouse.query.asked import By, Filters, Query
from lakehouse.query.hits import matching
from lakehouse.query.scored import scored
from lakehouse.query.verdicts import judge
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.schemas import CLIPS, RECORDINGS

__all__ = ["By", "Filters", "Query", "search"]

_CAPTIONS_PER_CLIP = 8
"""Rows looked at first for each clip wanted: variants of one clip's caption match together."""


def search(
    lake: Lake,
    settings: Settings,
    query: Query,
    filters: Filters,
    limit: int,
) -> pl.DataFrame:
    """The clips that match best, and that pass today's verdict; `limit` is at least 1.

    Columns: clip_id, score (higher is better: BM25 by words, else a cosine), day, camera, key,
    start_s, end_s, variant, and text, the caption that matched. Words of Chinese and English are
    found in captions of any language. Raises UserError where the settings name no model for it.
    """
    by = By(query.by[0]) if query.by else By.WORDS
    matches = matching(lake, settings, query.text or "", by)
    count = limit * _CAPTIONS_PER_CLIP
    while True:
        hits = matches(None, count)
        passing = _passing(lake, settings, hits)
        if passing.height >= limit or hits.height < count:
            return _placed(lake, passing.head(limit))
        count *= _CAPTIONS_PER_CLIP  # the best matches are of clips that no longer pass


def _passing(lake: Lake, settings: Settings, hits: pl.DataFrame) -> pl.DataFrame:
    """The best hit of each clip that passes and lies in the bucket today, best first; with the
    object's key."""
    scores = scored(lake, None, settings.scorers, among("clip_id", hits.get_column("clip_id")))
    passing = (
        judge(scores, settings.thresholds, settings.scorers).filter("passed").select("clip_id")
    )
    there = f"{among('recording_id', hits.get_column('recording_id'))} AND gone_since IS NULL"
    present = lake.read(RECORDINGS, None, ["recording_id", "etag", "key"], there)
    return (
        hits.sort("score", descending=True)
        .join(present, on=["recording_id", "etag"], maintain_order="left")
        .unique("clip_id", keep="first", maintain_order=True)
        .join(passing, on="clip_id", maintain_order="left")
    )


def _placed(lake: Lake, hits: pl.DataFrame) -> pl.DataFrame:
    """The hits with where and when their clips are."""
    columns = ["clip_id", "etag", "day", "camera", "start_s", "end_s"]
    clips = lake.read(CLIPS, None, columns, among("clip_id", hits.get_column("clip_id")))
    return hits.join(clips, on=["clip_id", "etag"], maintain_order="left").select(
        "clip_id", "score", "day", "camera", "key", "start_s", "end_s", "variant", "text"
    )
