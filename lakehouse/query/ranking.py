"""From rows that match to one list of clips: the best eligible ones of each way, fused, and clips
that look the same folded into one.

What matches is `hits`, which clips are eligible is `eligible`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lakehouse.query.eligible import Eligible
from lakehouse.query.hits import Way
from lakehouse.tables.lake import Lake

RANK_OFFSET = 60
"""Of reciprocal rank fusion, as in Cormack, Clarke and Buettcher (SIGIR 2009)."""

_SPARE = 1.5  # times the rows that hold enough clips on average
_GROWTH = 8
_FEW = 2000  # eligible clips: Lance is given their ids
_MANY = 50_000  # beyond, a list of ids costs more than looking at more rows
_ROWS_MOST = 8192  # found before the ids are given
_LOOKED_AT = 100_000  # eligible rows, by an index of vectors


@dataclass
class Ranked:
    """A clip among the hits: where each way ranks it, and its caption that matched."""

    clip_id: str
    score: float = 0.0
    ways: list[dict[str, object]] = field(default_factory=list)
    caption_id: str | None = None
    duplicates: list[str] = field(default_factory=list)


def best(lake: Lake, way: Way, eligible: Eligible, depth: int) -> pl.DataFrame:
    """The best hit of each of the `depth` best eligible clips, best first: the same as if nothing
    but eligible clips were searched."""
    if eligible.clips.is_empty():
        return way.find("false", 1, None).clear()
    rows = _rows(lake, way, eligible.predicate)
    # Some clips of these rows don't pass, and some are told of by several captions.
    count = math.ceil(depth * _SPARE * max(1.0, rows / eligible.clips.height))
    # An index chooses where to look without the filter: the fewer pass, the more it has to see.
    looked_at = _LOOKED_AT * _rows(lake, way, None) // eligible.clips.height
    while eligible.clips.height > _FEW:
        hits = way.find(eligible.predicate, count, looked_at)
        found = _clips_of(eligible.among(hits))
        if found.height >= depth:
            return found.head(depth)
        if hits.height < count and (way.by == "words" or hits.height >= rows):
            return found  # those are all; by words only some rows match
        if hits.height < count or (count > _ROWS_MOST and eligible.clips.height <= _MANY):
            break
        count *= _GROWTH
    few = eligible.clips.height <= _MANY
    where = eligible.by_ids if few else eligible.predicate
    while True:  # variants of one clip may crowd out others
        hits = way.find(where, count, None)
        found = _clips_of(eligible.among(hits))
        if found.height >= depth or hits.height < count:
            return found.head(depth)
        count *= _GROWTH


def _rows(lake: Lake, way: Way, predicate: str | None) -> int:
    return int(lake.dataset(way.table).count_rows(predicate))


def _clips_of(hits: pl.DataFrame) -> pl.DataFrame:
    ordered = hits.sort(["score", "clip_id", "caption_id"], descending=[True, False, False])
    return ordered.unique("clip_id", keep="first", maintain_order=True)


def fused(found: Sequence[tuple[str, pl.DataFrame]]) -> list[Ranked]:
    """The clips of several ways, best first, by the sum of 1 / (60 + rank)."""
    clips: dict[str, Ranked] = {}
    for way, hits in found:
        rows = hits.select("clip_id", "caption_id", "score").iter_rows()
        for rank, (clip_id, caption_id, score) in enumerate(rows, start=1):
            clip = clips.setdefault(clip_id, Ranked(clip_id))
            clip.score += 1 / (RANK_OFFSET + rank)
            clip.ways.append({"way": way, "rank": rank, "score": score})
            clip.caption_id = clip.caption_id or caption_id
    return sorted(clips.values(), key=lambda clip: (-clip.score, clip.clip_id))


def folded(
    clips: Sequence[Ranked],
    vectors: dict[str, NDArray[np.float32]],
    frames: dict[str, int],
    same_above: float,
) -> list[Ranked]:
    """The clips without those that look the same as a better one, which names them: whose frames
    are equal, or whose vector has a cosine above `same_above` to its."""
    known = [vectors[clip.clip_id] for clip in clips if clip.clip_id in vectors]
    rows = iter(range(len(known)))
    row_of = {clip.clip_id: next(rows) for clip in clips if clip.clip_id in vectors}
    stacked = np.stack(known) if known else np.empty((0, 0), np.float32)
    # Not by BLAS, whose threads would go on spinning while the next search wants the cores.
    cosines = np.einsum("id,jd->ij", stacked, stacked)
    kept: list[Ranked] = []
    owners: list[Ranked] = []
    kept_rows: list[int] = []
    by_frames: dict[int, Ranked] = {}
    for clip in clips:
        same = by_frames.get(frames[clip.clip_id]) if clip.clip_id in frames else None
        row = row_of.get(clip.clip_id)
        if same is None and row is not None and kept_rows:
            beside = cosines[row, kept_rows]
            nearest = int(np.argmax(beside))
            same = owners[nearest] if beside[nearest] > same_above else None
        if same is not None:
            same.duplicates.append(clip.clip_id)
            continue
        kept.append(clip)
        if clip.clip_id in frames:
            by_frames[frames[clip.clip_id]] = clip
        if row is not None:
            kept_rows.append(row)
            owners.append(clip)
    return kept
