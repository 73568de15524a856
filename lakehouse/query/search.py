"""Finding clips: by words, by meaning, by looks, by an example, or simply the newest.

A question is `asked`, what may be found is `eligible`, what matches is `hits`, and how ways become
one list is `ranking`. Whoever asks more than once keeps the lake open: `opened`.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lakehouse.query.asked import By, Filters, Query
from lakehouse.query.eligible import Eligible
from lakehouse.query.eligible import eligible as find_eligible
from lakehouse.query.hits import ways
from lakehouse.query.ranking import Ranked, best, folded, fused
from lakehouse.query.resident import Lookups, positions
from lakehouse.query.tables import embedding_tables
from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.caption_ids import VARIANT, caption_id
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CAPTIONS

__all__ = ["By", "Filters", "Query", "search", "search_among"]

_LEAST_DEPTH = 60
_DEPTH_PER_CLIP = 4
_DEEPER = 4

_WAY = pl.Struct({"way": pl.String, "rank": pl.Int64, "score": pl.Float64})


def search(
    lake: Lake, settings: Settings, query: Query, filters: Filters, limit: int
) -> pl.DataFrame:
    """The clips that match best among those of the filters, or the newest where nothing is asked;
    `limit` is at least 1.

    Columns: clip_id; score, the sum of 1 / (60 + rank) over the ways that matched, null without
    any; ways, each with its rank and own score (BM25 by words, else a cosine); day, camera, key,
    start_s, end_s; variant and text, of the caption that matched, else of the first captioner's;
    duplicates, the ids of clips that look the same and came after it.

    Raises UserError where the settings name no model for a way that is asked for, and for a filter
    or an example that is none.
    """
    with connect(lake, settings) as connection:
        eligible = find_eligible(connection, filters, settings.query)
    return search_among(lake, settings, query, eligible, limit, Lookups(lake))


def search_among(
    lake: Lake,
    settings: Settings,
    query: Query,
    eligible: Eligible,
    limit: int,
    lookups: Lookups,
) -> pl.DataFrame:
    """The same among clips that are known already."""
    if query.is_empty:
        newest = eligible.clips.top_k(limit, by=["day", "start_time", "key", "start_s"])
        newest = newest.sort(
            ["day", "start_time", "key", "start_s"], descending=True, nulls_last=True
        )
        ranked = [Ranked(clip_id) for clip_id in newest.get_column("clip_id")]
        return _shown(settings, ranked, eligible, lookups, is_ranked=False)
    asked = ways(lake, settings, query, lookups)
    depth = max(_LEAST_DEPTH, _DEPTH_PER_CLIP * limit)
    while True:
        found = [(way.by.value, best(lake, way, eligible, depth)) for way in asked]
        clips = fused(found)
        if query.fold:
            clips = _without_duplicates(settings, lake, clips, eligible, lookups)
        if len(clips) >= limit or all(hits.height < depth for _, hits in found):
            return _shown(settings, clips[:limit], eligible, lookups, is_ranked=True)
        depth *= _DEEPER  # the best are many times the same


def _without_duplicates(
    settings: Settings, lake: Lake, clips: list[Ranked], eligible: Eligible, lookups: Lookups
) -> list[Ranked]:
    ids = pl.Series([clip.clip_id for clip in clips], dtype=pl.String)
    known = eligible.clips[positions(eligible.clips.get_column("clip_id"), ids)]
    frames = dict(known.select("clip_id", "frames").iter_rows())
    vectors: dict[str, NDArray[np.float32]] = {}
    for table in embedding_tables(settings).values():
        if lake.exists(table):
            rows = lookups.rows(table, ids, ["vector"])
            columns = rows.get_column("clip_id"), rows.get_column("vector").to_numpy()
            vectors = dict(zip(*columns, strict=True))
            break
    return folded(clips, vectors, frames, settings.query.same_above)


def _shown(
    settings: Settings,
    clips: list[Ranked],
    eligible: Eligible,
    lookups: Lookups,
    *,
    is_ranked: bool,
) -> pl.DataFrame:
    """The clips with where and when they are, and a text about each."""
    first = next(iter(settings.captioners), None)
    told = pl.DataFrame(
        {
            "clip_id": [clip.clip_id for clip in clips],
            "score": [clip.score if is_ranked else None for clip in clips],
            "ways": [clip.ways for clip in clips],
            "duplicates": [clip.duplicates for clip in clips],
            "caption_id": [
                clip.caption_id or (caption_id(clip.clip_id, first) if first else None)
                for clip in clips
            ],
        },
        schema={
            "clip_id": pl.String,
            "score": pl.Float64,
            "ways": pl.List(_WAY),
            "duplicates": pl.List(pl.String),
            "caption_id": pl.String,
        },
    )
    texts = lookups.rows(CAPTIONS, told.get_column("caption_id"), ["text"])
    at = positions(eligible.clips.get_column("clip_id"), told.get_column("clip_id"))
    return (
        told.join(eligible.clips[at], on="clip_id", maintain_order="left")
        .join(
            texts.with_columns(variant=VARIANT),
            on="caption_id",
            how="left",
            maintain_order="left",
        )
        .select(
            "clip_id",
            "score",
            "ways",
            "day",
            "camera",
            "key",
            "start_s",
            "end_s",
            "variant",
            "text",
            "duplicates",
        )
    )
