"""Embeddings: one vector for each kept clip, by each named embedder.

How a vector is made belongs to `models.embedders`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import polars as pl

from lakehouse.models.embedders import registry
from lakehouse.models.embedders.protocol import EmbedderDescriptor
from lakehouse.settings import EmbedderSettings
from lakehouse.stages.clip_frames import ClipFrames, clips_with_frames
from lakehouse.stages.stage import Made, version_of
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CLIPS, FRAMES, Table, embeddings

_CODE = 1
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
        clips = self.lake.read(CLIPS, partition, ["clip_id", "frames_hash"], _SEEN)
        frames = self.lake.read(FRAMES, partition, ["clip_id"])
        return parents_frame(
            (clip_id, fingerprint(self.version, made), True)
            for clip_id, made in clips.join(frames, on="clip_id", how="semi").iter_rows()
        )

    def children(self, partition: Partition) -> pl.DataFrame:
        """This variant's vectors of the partition."""
        vectors = self.lake.read(self.table, partition, ["clip_id", "fingerprint"])
        return vectors.select(parent_id="clip_id", fingerprint="fingerprint", failed=pl.lit(False))

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """Embed the clips from their stored frames."""
        seen: dict[str, ClipFrames] = {}

        def pictures() -> Iterator[tuple[str, list[bytes]]]:
            for clip in clips_with_frames(self.lake, partition, parent_ids):
                seen[clip.clip_id] = replace(clip, frames=())
                yield clip.clip_id, [jpeg for _, jpeg in clip.frames]

        for clip_id, vector in registry.load(self.settings).embed(pictures()):
            clip = seen.pop(clip_id)
            row = {
                "clip_id": clip_id,
                "recording_id": clip.recording_id,
                "day": partition.day,
                "camera": partition.camera,
                "variant": self.variant,
                "model": self._descriptor.model,
                "vector": vector.tolist(),
            }
            yield Made(clip_id, {self.table.name: [row]}, clip.duration_s)
