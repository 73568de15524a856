"""Embeddings: one vector for each kept clip, by each named embedder.

How a vector is made belongs to `models.embedders`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.models.embedders import registry
from lakehouse.models.embedders.protocol import EmbedderDescriptor
from lakehouse.settings import EmbedderSettings
from lakehouse.stages.clip_frames import clips_with_frames
from lakehouse.stages.reuse import CLIP_COLUMNS, copied_rows, identity_of
from lakehouse.stages.stage import (
    Made,
    fingerprints_of,
    of_present_footage,
    remove_rows,
    version_of,
)
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CLIPS, FRAMES, Table, embeddings

_CODE = 2
_SEEN = "status = 'kept'"


def version(variant: str, settings: EmbedderSettings) -> str:
    """Changes with the embedder."""
    return version_of(_CODE, fingerprint(variant, asdict(registry.describe(settings))))


@dataclass(frozen=True)
class EmbeddingsStage:
    """One embedder over all kept clips: whether they pass is a matter of thresholds."""

    lake: Lake
    variant: str
    settings: EmbedderSettings

    side_tables: tuple[Table, ...] = ()
    is_dear = False

    @property
    def name(self) -> str:
        """`embeddings:` and the variant."""
        return f"embeddings:{self.variant}"

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.variant, self.settings)

    @cached_property
    def table(self) -> Table:
        """The embedder's own table."""
        return embeddings(self.variant, self._descriptor.dimensions)

    @cached_property
    def _descriptor(self) -> EmbedderDescriptor:
        return registry.describe(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The kept clips that have frames; a vector is made from nothing else."""
        return parents_frame(
            (row["clip_id"], row["recording_id"], self._fingerprint(row, row["etag"]), True)
            for row in self._clips(partition).iter_rows(named=True)
        )

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage."""
        return fingerprints_of(self.parents(partition))

    def children(self, partition: Partition) -> pl.DataFrame:
        """This variant's vectors of the partition."""
        columns = ["clip_id", "recording_id", "fingerprint", "attempts"]
        vectors = self.lake.read(self.table, partition, columns)
        return of_present_footage(
            self.lake,
            partition,
            vectors.rename({"clip_id": "parent_id"}).with_columns(error=pl.lit(None, pl.String)),
        )

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Embed the clips from their stored frames; vectors of the same frames under another key
        are copied."""
        clips = {
            row["clip_id"]: row
            for row in self._clips(partition).iter_rows(named=True)
            if row["clip_id"] in wanted
        }
        reused = dict(self._reused(clips))
        yield from reused.values()

        def pictures() -> Iterator[tuple[str, list[bytes]]]:
            left = sorted(clips.keys() - reused.keys())
            for clip in clips_with_frames(self.lake, partition, left):
                yield clip.clip_id, [jpeg for _, jpeg in clip.frames]

        for clip_id, vector in registry.load(self.settings).embed(pictures()):
            row = {
                **identity_of(clips[clip_id]),
                "variant": self.variant,
                "model": self._descriptor.model,
                "vector": vector.tolist(),
            }
            yield Made(clip_id, {self.table.name: [row]}, _duration_s(clips[clip_id]))

    def _clips(self, partition: Partition) -> pl.DataFrame:
        made = ["clip_id", "fingerprint", "attempts"]
        clips = self.lake.read(CLIPS, partition, [*CLIP_COLUMNS, *made[1:]], _SEEN)
        seen = clips.join(self.lake.read(FRAMES, partition, made), on=made, how="semi")
        return of_present_footage(self.lake, partition, seen)

    def _fingerprint(self, clip: Mapping[str, Any], etag: str) -> str:
        """Of the vector of this clip, were it of the object with this etag."""
        return fingerprint(self.version, clip["frames_hash"], etag)

    def _reused(self, clips: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Made]]:
        """Vectors that are true of these clips too, being made from the same frames."""

        def is_true_of(vector: Mapping[str, Any], clip: Mapping[str, Any]) -> bool:
            return bool(vector["fingerprint"] == self._fingerprint(clip, vector["etag"]))

        found = copied_rows(self.lake, self.table, clips.values(), str, is_true_of)
        for clip_id, row in found:
            rows = {self.table.name: [row]}
            yield clip_id, Made(clip_id, rows, _duration_s(clips[clip_id]), reused=True)


def _duration_s(clip: Mapping[str, Any]) -> float:
    return float(clip["end_s"] - clip["start_s"])
