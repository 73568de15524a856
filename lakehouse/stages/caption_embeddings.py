"""Caption embeddings: one vector for each caption's text, by each named embedder of captions.

How a vector is made belongs to `models.embedders`; vectors of clips, to `embeddings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.feeding import Group, fed
from lakehouse.models.embedders import registry
from lakehouse.models.embedders.pooling import pooled
from lakehouse.models.embedders.protocol import EmbedderDescriptor
from lakehouse.settings import CaptionEmbedderSettings
from lakehouse.stages.reuse import identity_of
from lakehouse.stages.stage import (
    Made,
    fingerprints_of,
    of_present_footage,
    remove_rows,
    version_of,
)
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CAPTIONS, CLIPS, Table, caption_embeddings

_CODE = 1
_READ = ("caption_id", "clip_id", "recording_id", "etag", "day", "camera", "variant", "text")
_CAPTIONS_AT_ONCE = 512


def version(variant: str, settings: CaptionEmbedderSettings) -> str:
    """Changes with the embedder."""
    described = asdict(registry.describe_captions(settings))
    return version_of(_CODE, fingerprint(variant, described))


@dataclass(frozen=True)
class CaptionEmbeddingsStage:
    """One embedder over the texts of all captions in its language."""

    lake: Lake
    variant: str
    settings: CaptionEmbedderSettings
    threads: int

    side_tables: tuple[Table, ...] = ()
    is_dear = False

    @property
    def name(self) -> str:
        """`caption_embeddings:` and the variant."""
        return f"caption_embeddings:{self.variant}"

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.variant, self.settings)

    @cached_property
    def table(self) -> Table:
        """The embedder's own table."""
        return caption_embeddings(self.variant, self._descriptor.dimensions)

    @cached_property
    def _descriptor(self) -> EmbedderDescriptor:
        return registry.describe_captions(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The captions that have a text; a vector is made from nothing else."""
        of_language = (
            f" AND language = '{self.settings.language}'" if self.settings.language else ""
        )
        captions = self.lake.read(
            CAPTIONS,
            partition,
            ["caption_id", "recording_id", "etag", "text"],
            f"text IS NOT NULL{of_language}",
        )
        return parents_frame(
            (caption_id, recording_id, fingerprint(self.version, text, etag), True)
            for caption_id, recording_id, etag, text in of_present_footage(
                self.lake, partition, captions
            ).iter_rows()
        )

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage."""
        return fingerprints_of(self.parents(partition))

    def children(self, partition: Partition) -> pl.DataFrame:
        """This variant's vectors of the partition."""
        columns = ["caption_id", "recording_id", "fingerprint", "attempts"]
        vectors = self.lake.read(self.table, partition, columns)
        return of_present_footage(
            self.lake,
            partition,
            vectors.rename({"caption_id": "parent_id"}).with_columns(error=pl.lit(None, pl.String)),
        )

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Embed the texts. A sentence takes a model milliseconds: copies are not looked for."""
        lengths_s = {
            clip_id: end_s - start_s
            for clip_id, start_s, end_s in self.lake.read(
                CLIPS, partition, ["clip_id", "start_s", "end_s"]
            ).iter_rows()
        }
        taken: dict[str, dict[str, Any]] = {}

        def texts() -> Iterator[Group]:
            ids = sorted(wanted)
            for start in range(0, len(ids), _CAPTIONS_AT_ONCE):
                chosen = among("caption_id", ids[start : start + _CAPTIONS_AT_ONCE])
                rows = self.lake.read(CAPTIONS, partition, _READ, f"{chosen} AND text IS NOT NULL")
                for row in rows.sort("caption_id").iter_rows(named=True):
                    taken[row["caption_id"]] = row
                    yield row["caption_id"], [row["text"]]

        model = registry.load_captions(self.settings, self.threads)
        for caption_id, vectors in fed(model, texts(), self.threads):
            caption = taken.pop(caption_id)
            row = {
                **identity_of(caption),
                "caption_id": caption_id,
                "captioner": caption["variant"],
                "variant": self.variant,
                "model": self._descriptor.model,
                "vector": pooled(vectors).tolist(),
            }
            footage_s = lengths_s.get(caption["clip_id"], 0.0)
            yield Made(caption_id, {self.table.name: [row]}, footage_s)
