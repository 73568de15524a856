"""Captions that can stand for clips that look the same: patrols repeat themselves.

Whether two clips look the same is decided by the perceptual hashes of their frames, which lie in
the rows of `captions`; so is which of them count, by today's settings. What is done with a caption
that was found is `captions`'.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lakehouse.settings import CaptionerSettings, MeasuredCaptioner
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CAPTIONS
from lakehouse.video.perceptual_hash import Hashes, distances

_NONE = -1


@dataclass(frozen=True)
class Alike:
    """A caption of a clip that looks the same; `distance` is of the frame that differs most, in
    bits."""

    caption_id: str
    distance: int


class LikenessIndex:
    """Captioned clips by the hashes of their frames. `most` is the distance up to which clips count
    as alike; below 0 none do."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._of_length: dict[int, list[tuple[list[str], NDArray[np.uint64]]]] = defaultdict(list)

    def add(self, caption_ids: Sequence[str], hashes: NDArray[np.uint64]) -> None:
        """More captions that can be found, with a row of hashes for each."""
        chunks = self._of_length[hashes.shape[1]]
        chunks.append((list(caption_ids), hashes))
        # Of two chunks the later is always much smaller: adding one by one stays cheap.
        while len(chunks) > 1 and len(chunks[-2][0]) < 2 * len(chunks[-1][0]):
            (ids, known), (more_ids, more) = chunks[-2:]
            chunks[-2:] = [(ids + more_ids, np.concatenate([known, more]))]

    def nearest(self, hashes: Hashes) -> Alike | None:
        """The caption of the clip with as many frames that is nearest, if it counts as alike."""
        if self.most < 0 or not len(hashes):
            return None
        found = []
        for ids, known in self._of_length[len(hashes)]:
            far = distances(hashes, known)
            nearest = int(far.argmin())
            found.append(Alike(ids[nearest], int(far[nearest])))
        best = min(found, key=lambda alike: alike.distance, default=None)
        return best if best and best.distance <= self.most else None


@dataclass(frozen=True)
class Copy:
    """A caption that stands for another clip: the row it is copied from, and how far away it is."""

    caption_id: str
    source: Mapping[str, Any]
    distance: int
    hashes: Hashes


class CaptionReuse:
    """Which clips of one run take the caption of another, stored before or made by this run.

    One thread reads clips and asks `takes_another`; one makes rows, tells of them, and takes the
    `copies` that can be made by then.
    """

    def __init__(self, lake: Lake, index: LikenessIndex) -> None:
        self._lake = lake
        self._index = index
        self._taken: SimpleQueue[tuple[str, Alike, Hashes]] = SimpleQueue()
        self._under_way: set[str] = set()
        self._waiting: dict[str, list[tuple[str, Alike, Hashes]]] = defaultdict(list)
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._failed: set[str] = set()
        self.left: list[str] = []
        """The captions that must be made after all: what they would be copies of failed, or is
        gone."""

    def takes_another(self, caption_id: str, hashes: Hashes) -> bool:
        """Whether the clip takes the caption of one that looks the same. Of one that does not, the
        caption is to be made, and others may take it."""
        alike = self._index.nearest(hashes)
        if alike is not None:
            self._taken.put((caption_id, alike, hashes))
            return True
        if self._index.most >= 0 and len(hashes):
            self._under_way.add(caption_id)
            self._index.add([caption_id], hashes[np.newaxis])
        return False

    def made(self, row: Mapping[str, Any]) -> None:
        """A caption of this run, or why there is none."""
        caption_id = row["caption_id"]
        if caption_id not in self._under_way:
            return
        if row["error"] is None:
            self._rows[caption_id] = row
        else:
            self._failed.add(caption_id)

    def copies(self) -> Iterator[Copy]:
        """What can be copied by now; of what stays open, the caption is still being made."""
        for _ in range(self._taken.qsize()):
            taken = self._taken.get()
            self._waiting[taken[1].caption_id].append(taken)
        stored = [source for source in self._waiting if source not in self._under_way]
        rows = {**self._rows, **self._stored(stored)}
        for source in list(self._waiting):
            if source in rows:
                for caption_id, alike, hashes in self._waiting.pop(source):
                    yield Copy(caption_id, rows[source], alike.distance, hashes)
            elif source in self._failed or source not in self._under_way:
                self.left += [caption_id for caption_id, _, _ in self._waiting.pop(source)]

    def _stored(self, caption_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        if not caption_ids:
            return {}
        rows = self._lake.read(
            CAPTIONS, None, CAPTIONS.schema.names, among("caption_id", caption_ids)
        )
        return {row["caption_id"]: row for row in rows.iter_rows(named=True)}


def most_bits(settings: CaptionerSettings) -> int:
    """The distance up to which captions are reused; below 0 none are."""
    if isinstance(settings, MeasuredCaptioner) or settings.reuse == "off":
        return _NONE
    return 0 if settings.reuse == "exact" else settings.reuse_distance


def captioned_before(
    lake: Lake, partition: Partition, variant: str, version: str, settings: CaptionerSettings
) -> LikenessIndex:
    """The captions of the partition's camera, of its day and those before, by this variant as it is
    today. Those that were themselves reused are left out: a chain of small differences is none."""
    index = LikenessIndex(most_bits(settings))
    if isinstance(settings, MeasuredCaptioner) or index.most < 0:
        return index
    first = partition.day - timedelta(days=settings.reuse_days)
    where = (
        f"{among('camera', [partition.camera])} "
        f"AND variant = '{variant}' AND stage_version = '{version}' "
        f"AND day >= date '{first}' AND day <= date '{partition.day}' "
        "AND error IS NULL AND reuse_distance IS NULL AND frame_hashes IS NOT NULL"
    )
    found = lake.read(CAPTIONS, None, ["caption_id", "frame_hashes"], where).sort("caption_id")
    for of_length in found.with_columns(length=pl.col("frame_hashes").list.len()).partition_by(
        "length"
    ):
        hashes = np.array(of_length["frame_hashes"].to_list(), np.int64).view(np.uint64)
        index.add(of_length["caption_id"].to_list(), hashes)
    return index


def no_longer_alike(settings: CaptionerSettings) -> pl.Expr:
    """Which rows of `captions` were reused from further away than today's settings allow."""
    return (pl.col("reuse_distance") > most_bits(settings)).fill_null(False)
