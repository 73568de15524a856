"""Model scores: a number for each clip that passes what was measured, by each named scorer.

A picture in which nothing can be seen is worth no model's time. How a score is made belongs to
`models.scorers`; what was measured, to `scores`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.models.clip_view import ClipView, FrameView
from lakehouse.models.scorers import registry
from lakehouse.models.scorers.protocol import Score, ScorerDescriptor
from lakehouse.query.verdicts import judge
from lakehouse.settings import ScorerSettings, Thresholds
from lakehouse.stages.clip_frames import clips_seen, clips_with_frames
from lakehouse.stages.reuse import copied_rows, identity_of
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
from lakehouse.tables.schemas import SCORES, Table, model_scores

_CODE = 1


def version(scorer: str, settings: ScorerSettings) -> str:
    """Changes with the scorer, and not with which of its scores pass."""
    return version_of(_CODE, fingerprint(scorer, asdict(registry.describe(settings))))


@dataclass(frozen=True)
class ModelScoresStage:
    """One scorer over the kept clips that pass by what was measured.

    A score whose clip no longer passes stays as long as it is still true of its clip: a threshold
    that moves to and fro costs nothing.
    """

    lake: Lake
    scorer: str
    settings: ScorerSettings
    thresholds: Thresholds
    threads: int

    side_tables: tuple[Table, ...] = ()
    is_dear = False

    @property
    def name(self) -> str:
        """`model_scores:` and the scorer."""
        return f"model_scores:{self.scorer}"

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.scorer, self.settings)

    @cached_property
    def table(self) -> Table:
        """The scorer's own table."""
        return model_scores(self.scorer)

    @cached_property
    def _descriptor(self) -> ScorerDescriptor:
        return registry.describe(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The kept clips that have frames; wanted are those that pass."""
        return parents_frame(
            (
                row["clip_id"],
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
        """This scorer's scores of the partition."""
        columns = ["clip_id", "recording_id", "fingerprint", "error", "attempts"]
        scores = self.lake.read(self.table, partition, columns)
        return of_present_footage(self.lake, partition, scores.rename({"clip_id": "parent_id"}))

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Score the clips from their stored frames; scores of the same frames under another key
        are copied."""
        clips = {
            row["clip_id"]: row
            for row in self._clips(partition).iter_rows(named=True)
            if row["clip_id"] in wanted
        }
        reused = dict(self._reused(clips))
        yield from reused.values()
        left = sorted(clips.keys() - reused.keys())
        if not left:
            return
        views = (
            ClipView(
                clip_id=clip.clip_id,
                camera=partition.camera,
                duration_s=clip.duration_s,
                frames=tuple(FrameView(time_s, jpeg) for time_s, jpeg in clip.frames),
                scores={},
            )
            for clip in clips_with_frames(self.lake, partition, left)
            if clip.frames  # else another run cuts its recording anew
        )
        for clip_id, score in registry.load(self.settings, self.threads).score(views):
            row = {
                **identity_of(clips[clip_id]),
                "model": self._descriptor.model,
                **_columns(score),
            }
            yield self._made(row, clips[clip_id])

    def _clips(self, partition: Partition) -> pl.DataFrame:
        """What scores are made from, with the verdict, for each measured clip."""
        measured = self.lake.read(SCORES, partition, SCORES.schema.names)
        verdicts = judge(measured, self.thresholds).select("clip_id", "passed")
        return clips_seen(self.lake, partition).join(verdicts, on="clip_id")

    def _fingerprint(self, clip: Mapping[str, Any], etag: str) -> str:
        """Of the score of this clip, were it of the object with this etag."""
        return fingerprint(self.version, clip["frames_hash"], etag)

    def _reused(self, clips: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Made]]:
        """Scores that are true of these clips too, being made from the same frames."""

        def is_true_of(score: Mapping[str, Any], clip: Mapping[str, Any]) -> bool:
            made_from = self._fingerprint(clip, score["etag"])
            return score["error"] is None and score["fingerprint"] == made_from

        for clip_id, row in copied_rows(self.lake, self.table, clips.values(), str, is_true_of):
            yield clip_id, self._made(row, clips[clip_id], reused=True)

    def _made(self, row: dict[str, Any], clip: Mapping[str, Any], *, reused: bool = False) -> Made:
        tokens = 0 if reused else (row["tokens_in"] or 0) + (row["tokens_out"] or 0)
        return Made(
            row["clip_id"],
            {self.table.name: [row]},
            footage_s=clip["end_s"] - clip["start_s"],
            error=row["error"],
            units={"tokens": tokens, "model_s": 0.0 if reused else row["seconds"] or 0.0},
            reused=reused,
        )


def _columns(score: Score) -> dict[str, Any]:
    fields = asdict(score)
    values = fields.pop("values")
    return {"score": values.get("score"), **fields}
