"""Embeddings: one vector for each kept clip, by each named embedder.

How a vector is made belongs to `models.embedders`, keeping the device busy to `engine.feeding`, and
vectors of captions to `caption_embeddings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.feeding import Group, fed
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders import registry
from lakehouse.models.embedders.pooling import pooled
from lakehouse.models.embedders.protocol import Embedder, EmbedderDescriptor
from lakehouse.settings import EmbedderSettings, TransformersEmbedder
from lakehouse.stages.clip_frames import ClipFrames, clips_seen, clips_with_frames
from lakehouse.stages.reuse import copied_rows, identity_of
from lakehouse.stages.stage import (
    Made,
    fingerprints_of,
    of_present_footage,
    remove_rows,
    version_of,
    without_provenance,
)
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import Table, embeddings, frame_embeddings

_CODE = 3


def version(variant: str, settings: EmbedderSettings) -> str:
    """Changes with the embedder, and with what is kept of it."""
    described = asdict(registry.describe(settings))
    return version_of(_CODE, fingerprint(variant, described, keeps_frame_vectors(settings)))


def keeps_frame_vectors(settings: EmbedderSettings) -> bool:
    """Whether the vectors of single frames are kept."""
    return isinstance(settings, TransformersEmbedder) and settings.keep_frame_vectors


@dataclass(frozen=True)
class EmbeddingsStage:
    """One embedder over all kept clips: whether they pass is a matter of thresholds."""

    lake: Lake
    variant: str
    settings: EmbedderSettings
    threads: int

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
    def side_tables(self) -> tuple[Table, ...]:
        """The table of frame vectors, where they are kept."""
        if not keeps_frame_vectors(self.settings):
            return ()
        return (frame_embeddings(self.variant, self._descriptor.dimensions),)

    @cached_property
    def _descriptor(self) -> EmbedderDescriptor:
        return registry.describe(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The kept clips that have frames; a vector is made from nothing else."""
        return parents_frame(
            (row["clip_id"], row["recording_id"], self._fingerprint(row, row["etag"]), True)
            for row in clips_seen(self.lake, partition).iter_rows(named=True)
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
            for row in clips_seen(self.lake, partition).iter_rows(named=True)
            if row["clip_id"] in wanted
        }
        reused = dict(self._reused(clips))
        yield from reused.values()
        left = sorted(clips.keys() - reused.keys())
        if not left:
            return
        taken: dict[str, ClipFrames] = {}

        def pictures() -> Iterator[Group]:
            for clip in clips_with_frames(self.lake, partition, left):
                if not clip.frames:  # another run cuts its recording anew
                    continue
                taken[clip.clip_id] = clip.without_pictures()
                yield clip.clip_id, [jpeg for _, jpeg in clip.frames]

        for clip_id, vectors in fed(self._model(), pictures(), self.threads):
            yield self._made(clips[clip_id], taken.pop(clip_id), vectors)

    def _model(self) -> Embedder:
        return registry.load(self.settings, self.threads)

    def _made(self, clip: Mapping[str, Any], frames: ClipFrames, vectors: Rows) -> Made:
        of_all = {
            **identity_of(clip),
            "variant": self.variant,
            "model": self._descriptor.model,
        }
        rows = {self.table.name: [{**of_all, "vector": pooled(vectors).tolist()}]}
        for table in self.side_tables:
            rows[table.name] = [
                {
                    **of_all,
                    "frame_vector_id": f"{clip['clip_id']}-{number:03d}",
                    "time_s": time_s,
                    "vector": vector.tolist(),
                }
                for number, ((time_s, _), vector) in enumerate(
                    zip(frames.frames, vectors, strict=True)
                )
            ]
        return Made(clip["clip_id"], rows, _duration_s(clip))

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
            for table in self.side_tables:
                rows[table.name] = self._copied_frames(table, row["reused_from"], clips[clip_id])
            yield clip_id, Made(clip_id, rows, _duration_s(clips[clip_id]), reused=True)

    def _copied_frames(
        self, table: Table, donor_id: str, clip: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        rows = self.lake.read(table, None, table.schema.names, among("clip_id", [donor_id]))
        true_ones = [
            row
            for row in rows.sort("time_s").iter_rows(named=True)
            if row["fingerprint"] == self._fingerprint(clip, row["etag"])
        ]
        return [
            {
                **without_provenance(row),
                **identity_of(clip),
                "frame_vector_id": f"{clip['clip_id']}-{number:03d}",
                "reused_from": row["frame_vector_id"],
            }
            for number, row in enumerate(true_ones)
        ]


def _duration_s(clip: Mapping[str, Any]) -> float:
    return float(clip["end_s"] - clip["start_s"])
