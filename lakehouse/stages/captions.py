"""Captions: one text about each clip that passes, by each named captioner.

Prompts, servers and wording belong to `models.captioners`, and which clips look so much alike that
one caption stands for both, to `caption_cache`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lakehouse.engine.ahead import ahead
from lakehouse.models.captioners import registry
from lakehouse.models.captioners.protocol import Caption, Captioner, CaptionerDescriptor
from lakehouse.models.clip_view import ClipView, FrameView
from lakehouse.query.scored import scored
from lakehouse.query.verdicts import judge
from lakehouse.settings import CaptionerSettings, ScorerSettings, Thresholds
from lakehouse.stages.caption_cache import (
    CaptionReuse,
    LikenessIndex,
    captioned_before,
    no_longer_alike,
)
from lakehouse.stages.clip_frames import ClipFrames, clips_with_frames
from lakehouse.stages.reuse import CLIP_COLUMNS, copied_rows, identity_of
from lakehouse.stages.stage import (
    Made,
    fingerprints_of,
    of_present_footage,
    remove_rows,
    version_of,
    without_provenance,
)
from lakehouse.tables.caption_ids import caption_id, clip_of
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CAPTIONS, CLIPS, SCORES, Table
from lakehouse.video.perceptual_hash import Hashes, perceptual_hashes

_CODE = 3
_CLIPS_AHEAD = 64
"""Read before the captioner takes them: their frames are a few megabytes."""


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
    scorers: Mapping[str, ScorerSettings]

    table = CAPTIONS
    side_tables: tuple[Table, ...] = ()
    is_dear = False

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
        """The scored clips; wanted are those that pass. Made from the clip's frames, and from its
        scores where the captioner reads them."""
        return parents_frame(
            (
                self._caption_id(row["clip_id"]),
                row["recording_id"],
                self._fingerprint(row, row["etag"]),
                row["passed"],
            )
            for row in self._clips(partition).iter_rows(named=True)
        )

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage."""
        return fingerprints_of(self.parents(partition))

    def children(self, partition: Partition) -> pl.DataFrame:
        """This variant's captions of the partition."""
        columns = ["caption_id", "recording_id", "fingerprint", "error", "attempts"]
        captions = self.lake.read(
            CAPTIONS, partition, [*columns, "reuse_distance"], f"variant = '{self.variant}'"
        )
        # Those that stand for clips which no longer count as alike are of nothing known.
        of_today = captions.with_columns(
            fingerprint=pl.when(no_longer_alike(self.settings))
            .then(pl.lit(""))
            .otherwise(pl.col("fingerprint"))
        )
        return of_present_footage(
            self.lake, partition, of_today.select(columns).rename({"caption_id": "parent_id"})
        )

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Caption the clips, as many at once as the captioner takes; captions of the same frames
        under another key are copied."""
        clips = {
            row["clip_id"]: row
            for row in self._clips(partition).iter_rows(named=True)
            if self._caption_id(row["clip_id"]) in wanted
        }
        reused = dict(self._reused(clips))
        yield from reused.values()
        left = sorted(clips.keys() - reused.keys())
        if not left:
            return
        before = captioned_before(self.lake, partition, self.variant, self.version, self.settings)
        captioner = registry.load(self.settings)
        reuse = CaptionReuse(self.lake, before)
        yield from self._captioned(partition, clips, left, captioner, reuse)
        if reuse.left:
            left = [clip_of(caption_id) for caption_id in reuse.left]
            none = CaptionReuse(self.lake, LikenessIndex(-1))
            yield from self._captioned(partition, clips, left, captioner, none)

    def _captioned(
        self,
        partition: Partition,
        clips: Mapping[str, Mapping[str, Any]],
        wanted: Sequence[str],
        captioner: Captioner,
        reuse: CaptionReuse,
    ) -> Iterator[Made]:
        scores: dict[str, dict[str, Any]] = {}
        if self._descriptor.uses_scores:
            rows = self.lake.read(SCORES, partition, SCORES.schema.names)
            scores = {row["clip_id"]: row for row in rows.iter_rows(named=True)}
        hashes: dict[str, Hashes] = {}

        def views() -> Iterator[ClipView]:
            for clip in clips_with_frames(self.lake, partition, wanted):
                if not self._descriptor.uses_scores:
                    found = perceptual_hashes(jpeg for _, jpeg in clip.frames)
                    if reuse.takes_another(self._caption_id(clip.clip_id), found):
                        continue
                    hashes[clip.clip_id] = found
                yield _view(clip, partition.camera, scores.get(clip.clip_id, {}))

        with closing(ahead(views(), _CLIPS_AHEAD)) as read_ahead:
            for clip_id, caption in captioner.caption(read_ahead):
                row = {
                    **identity_of(clips[clip_id]),
                    "caption_id": self._caption_id(clip_id),
                    "variant": self.variant,
                    "language": self._descriptor.language,
                    "model": self._descriptor.model,
                    "prompt_version": self._descriptor.prompt_version,
                    **_columns(caption),
                    "frame_hashes": _listed(hashes.pop(clip_id, None)),
                }
                reuse.made(row)
                yield self._made(row, clips[clip_id])
                yield from self._copies(reuse, clips)
        yield from self._copies(reuse, clips)

    def _copies(
        self, reuse: CaptionReuse, clips: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Made]:
        for copy in reuse.copies():
            clip = clips[clip_of(copy.caption_id)]
            row = {
                **without_provenance(copy.source),
                **identity_of(clip),
                "caption_id": copy.caption_id,
                "reused_from": copy.source["caption_id"],
                "reuse_distance": copy.distance,
                "frame_hashes": _listed(copy.hashes),
            }
            row.pop("content_hash", None)  # its hashes are its own
            yield self._made(row, clip, reused=True)

    def _clips(self, partition: Partition) -> pl.DataFrame:
        """What captions are made from, with the verdict, for each scored clip."""
        scores = scored(self.lake, partition, self.scorers)
        clips = self.lake.read(CLIPS, partition, CLIP_COLUMNS)
        verdicts = judge(scores, self.thresholds, self.scorers).select("clip_id", "passed")
        measured = scores.select("clip_id", scored="content_hash")
        joined = clips.join(measured, on="clip_id").join(verdicts, on="clip_id")
        return of_present_footage(self.lake, partition, joined)

    def _fingerprint(self, clip: Mapping[str, Any], etag: str) -> str:
        """Of the caption of this clip, were it of the object with this etag."""
        made_from = [clip[name] for name in ("camera", "start_s", "end_s", "frames_hash")]
        scored = clip["scored"] if self._descriptor.uses_scores else None
        return fingerprint(self.version, made_from, scored, etag)

    def _reused(self, clips: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Made]]:
        """Captions that are true of these clips too, being made from the same."""

        def is_true_of(caption: Mapping[str, Any], clip: Mapping[str, Any]) -> bool:
            made_from = self._fingerprint(clip, caption["etag"])
            return caption["error"] is None and caption["fingerprint"] == made_from

        found = copied_rows(self.lake, CAPTIONS, clips.values(), self._caption_id, is_true_of)
        for clip_id, row in found:
            row["caption_id"] = self._caption_id(clip_id)
            yield clip_id, self._made(row, clips[clip_id], reused=True)

    def _made(self, row: dict[str, Any], clip: Mapping[str, Any], *, reused: bool = False) -> Made:
        tokens = (row["tokens_in"] or 0) + (row["tokens_out"] or 0)
        seconds = row["seconds"] or 0.0
        return Made(
            row["caption_id"],
            {CAPTIONS.name: [row]},
            footage_s=clip["end_s"] - clip["start_s"],
            error=row["error"],
            units={"tokens_saved": tokens, "model_s_saved": seconds}
            if reused
            else {"tokens": tokens, "model_s": seconds},
            reused=reused,
        )

    def _caption_id(self, clip_id: str) -> str:
        return caption_id(clip_id, self.variant)


def _view(clip: ClipFrames, camera: str, scores: dict[str, Any]) -> ClipView:
    return ClipView(
        clip_id=clip.clip_id,
        camera=camera,
        duration_s=clip.duration_s,
        frames=tuple(FrameView(time_s, jpeg) for time_s, jpeg in clip.frames),
        scores={name: value for name, value in scores.items() if isinstance(value, float)},
    )


def _listed(hashes: Hashes | None) -> list[int] | None:
    return None if hashes is None else hashes.view(np.int64).tolist()


def _columns(caption: Caption) -> dict[str, Any]:
    fields = asdict(caption)
    conditions = {name: fields.pop(name) for name in ("light", "floor", "space")}
    return {**fields, "conditions": conditions}
