"""Scores: what was measured of each kept clip. What passes is a query over them (`query.verdicts`).

How samples become scores belongs to `models.scorers.measured`; what models think of a clip, to
`model_scores`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from lakehouse.models.clip_view import ClipView
from lakehouse.models.scorers.measured import DESCRIPTOR, MeasuredScores
from lakehouse.stages.reuse import identity_of
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
from lakehouse.tables.schemas import CLIPS, SCORES, Table

_CODE = 2
_KEPT = "status = 'kept'"
_READ = ("clip_id", "recording_id", "etag", "day", "camera", "start_s", "end_s", "samples")


def version() -> str:
    """Changes with what is made of the samples."""
    return version_of(_CODE, DESCRIPTOR.version)


@dataclass(frozen=True)
class ScoresStage:
    """Scores every clip that is kept; spans that are too short or failed have none."""

    lake: Lake

    name = "scores"
    table = SCORES
    side_tables: tuple[Table, ...] = ()
    is_dear = False

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version()

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The kept clips."""
        columns = ["clip_id", "recording_id", "etag", "content_hash"]
        clips = self.lake.read(CLIPS, partition, columns, _KEPT)
        return parents_frame(
            (clip_id, recording_id, fingerprint(self.version, content_hash, etag), True)
            for clip_id, recording_id, etag, content_hash in of_present_footage(
                self.lake, partition, clips
            ).iter_rows()
        )

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage."""
        return fingerprints_of(self.parents(partition))

    def children(self, partition: Partition) -> pl.DataFrame:
        """The scores of the partition."""
        columns = ["clip_id", "recording_id", "fingerprint", "attempts"]
        scores = self.lake.read(SCORES, partition, columns)
        return of_present_footage(
            self.lake,
            partition,
            scores.rename({"clip_id": "parent_id"}).with_columns(error=pl.lit(None, pl.String)),
        )

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Pure arithmetic over stored samples: no footage is read."""
        clips = {
            row["clip_id"]: row
            for row in self.lake.read(CLIPS, partition, _READ, _KEPT).iter_rows(named=True)
            if row["clip_id"] in wanted
        }
        views = (
            ClipView(
                clip_id=clip["clip_id"],
                camera=clip["camera"],
                duration_s=clip["end_s"] - clip["start_s"],
                frames=(),
                scores={},
                samples=clip["samples"],
            )
            for clip in clips.values()
        )
        for clip_id, score in MeasuredScores().score(views):
            clip = clips[clip_id]
            sample_count = len(clip["samples"])
            row = {**identity_of(clip), "sample_count": sample_count, **score.values}
            yield Made(clip_id, {SCORES.name: [row]}, clip["end_s"] - clip["start_s"])
