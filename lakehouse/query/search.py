"""Finding clips by words: full text over the captions of all variants."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from lakehouse.query.verdicts import judge
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CAPTIONS, CLIPS, RECORDINGS, SCORES

_CAPTIONS_PER_CLIP = 8
"""Rows looked at for each clip wanted: variants of one clip's caption often match together."""


@dataclass(frozen=True)
class Filters:
    """Which clips may be found; none means any."""

    day: date | None = None
    camera: str | None = None

    @property
    def predicate(self) -> str | None:
        """The filter as Lance pushes it down."""
        parts = []
        if self.day is not None:
            parts.append(f"day = date '{self.day.isoformat()}'")
        if self.camera is not None:
            camera = self.camera.replace("'", "''")
            parts.append(f"camera = '{camera}'")
        return " AND ".join(parts) or None


def search(lake: Lake, settings: Settings, text: str, filters: Filters, limit: int) -> pl.DataFrame:
    """The clips whose captions match best, and that pass today's verdict.

    Columns: clip_id, score (BM25, higher is better), day, camera, key, start_s, end_s, variant,
    text. Words of Chinese and English are found in captions of any language.
    """
    found = lake.dataset(CAPTIONS).scanner(
        columns=["clip_id", "variant", "text", "_score"],
        full_text_query=text,
        filter=filters.predicate,
        prefilter=True,
        limit=limit * _CAPTIONS_PER_CLIP,
    )
    hits = pl.DataFrame(found.to_table()).rename({"_score": "score"})
    if hits.is_empty():
        ids = "NULL"
    else:
        ids = ", ".join(f"'{clip_id}'" for clip_id in hits.get_column("clip_id").unique())
    of_hits = f"clip_id IN ({ids})"
    clips = lake.read(
        CLIPS, None, ["clip_id", "recording_id", "day", "camera", "start_s", "end_s"], of_hits
    )
    scores = lake.read(SCORES, None, SCORES.schema.names, of_hits)
    passing = judge(scores, settings.thresholds).filter("passed").select("clip_id")
    keys = lake.read(RECORDINGS, None, ["recording_id", "key"])
    return (
        hits.sort("score", descending=True)
        .unique("clip_id", keep="first", maintain_order=True)
        .join(passing, on="clip_id", maintain_order="left")
        .join(clips, on="clip_id", maintain_order="left")
        .join(keys, on="recording_id", maintain_order="left")
        .select("clip_id", "score", "day", "camera", "key", "start_s", "end_s", "variant", "text")
        .head(limit)
    )
