"""Captions: one text about each clip that passes, by each named captioner.

Prompts, servers and wording belong to `models.captioners`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.models.captioners import registry
from lakehouse.models.captioners.protocol import (
    Caption,
    CaptionerDescriptor,
    ClipView,
    FrameView,
)
from lakehouse.query.verdicts import judge
from lakehouse.settings import CaptionerSettings, Thresholds
from lakehouse.stages.clip_frames import ClipFrames, clips_with_frames
from lakehouse.stages.stage import Made, version_of
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CAPTIONS, CLIPS, SCORES, Table

_CODE = 1


def version(variant: str, settings: CaptionerSettings) -> str:
    """Changes with the captioner: its model, prompt, language and sampling."""
    return version_of(_CODE, fingerprint(variant, asdict(registry.describe(settings))))


@dataclass(frozen=True)
class CaptionsStage:
    """One captioner over the clips whose verdict passes today.

    A caption whose clip no longer passes stays as long as it is still true of its clip: a
    threshold that moves to and fro costs nothing.
    """

    lake: Lake
    variant: str
    settings: CaptionerSettings
    thresholds: Thresholds

    table = CAPTIONS
    side_tables: tuple[Table, ...] = ()

    @property
    def name(self) -> str:
        """`captions:` and the variant."""
        return f"captions:{self.variant}"

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.variant, self.settings)

    @cached_property
    def _descriptor(self) -> CaptionerDescriptor:
        return registry.describe(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The scored clips; wanted are those that pass. Made from the clip's content, and from
        its scores where the captioner reads them."""
        scores = self.lake.read(SCORES, partition, SCORES.schema.names)
        clips = self.lake.read(CLIPS, partition, ["clip_id", "content_hash"])
        verdicts = judge(scores, self.thresholds).select("clip_id", "passed")
        joined = (
            scores.select("clip_id", scored="content_hash")
            .join(verdicts, on="clip_id")
            .join(clips.rename({"content_hash": "clip"}), on="clip_id")
        )
        reads_scores = self._descriptor.uses_scores
        return parents_frame(
            (
                self._caption_id(row["clip_id"]),
                fingerprint(self.version, row["clip"], row["scored"] if reads_scores else None),
                row["passed"],
            )
            for row in joined.iter_rows(named=True)
        )

    def children(self, partition: Partition) -> pl.DataFrame:
        """This variant's captions of the partition."""
        captions = self.lake.read(
            CAPTIONS,
            partition,
            ["caption_id", "fingerprint", "error"],
            f"variant = '{self.variant}'",
        )
        return captions.select(
            parent_id="caption_id", fingerprint="fingerprint", failed=pl.col("error").is_not_null()
        )

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """Caption the clips, as many at once as the captioner takes."""
        scores = {
            row["clip_id"]: row
            for row in self.lake.read(SCORES, partition, SCORES.schema.names).iter_rows(named=True)
        }
        clip_ids = [parent_id.removesuffix(f":{self.variant}") for parent_id in parent_ids]
        durations_s: dict[str, float] = {}

        def taken() -> Iterator[ClipView]:
            for clip in clips_with_frames(self.lake, partition, clip_ids):
                durations_s[clip.clip_id] = clip.duration_s
                yield _view(clip, partition.camera, scores[clip.clip_id])

        for clip_id, caption in registry.load(self.settings).caption(taken()):
            row = {
                "caption_id": self._caption_id(clip_id),
                "clip_id": clip_id,
                "recording_id": scores[clip_id]["recording_id"],
                "day": partition.day,
                "camera": partition.camera,
                "variant": self.variant,
                "language": self._descriptor.language,
                "model": self._descriptor.model,
                "prompt_version": self._descriptor.prompt_version,
                **_columns(caption),
            }
            yield Made(
                row["caption_id"],
                {CAPTIONS.name: [row]},
                footage_s=durations_s.pop(clip_id),
                error=caption.error,
                units={"tokens": (caption.tokens_in or 0) + (caption.tokens_out or 0)},
            )

    def _caption_id(self, clip_id: str) -> str:
        return f"{clip_id}:{self.variant}"


def _view(clip: ClipFrames, camera: str, scores: dict[str, Any]) -> ClipView:
    return ClipView(
        clip_id=clip.clip_id,
        camera=camera,
        duration_s=clip.duration_s,
        frames=tuple(FrameView(time_s, jpeg) for time_s, jpeg in clip.frames),
        scores={name: value for name, value in scores.items() if isinstance(value, float)},
    )


def _columns(caption: Caption) -> dict[str, Any]:
    fields = asdict(caption)
    conditions = {name: fields.pop(name) for name in ("light", "floor", "space")}
    return {**fields, "conditions": conditions}
