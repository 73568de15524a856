"""Scores: what was measured of a clip, from the signals of its samples.

Quantiles rather than means: a burst that is over soon does not move the median, and one that
lasts does. What passes is a query over them (`query.verdicts`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

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
from lakehouse.tables.schemas import CLIPS, QUANTILES, SCORES, Table
from lakehouse.video.signals import SIGNALS, stillness

_CODE = 2
_KEPT = "status = 'kept'"


def version() -> str:
    """The quantiles are the only choice made here."""
    return version_of(_CODE, fingerprint(QUANTILES, SIGNALS))


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
        columns = ["clip_id", "recording_id", "etag", "start_s", "end_s", "samples"]
        for clip in self.lake.read(CLIPS, partition, columns, _KEPT).iter_rows(named=True):
            if clip["clip_id"] in wanted:
                row = {
                    "clip_id": clip["clip_id"],
                    "recording_id": clip["recording_id"],
                    "etag": clip["etag"],
                    "day": partition.day,
                    "camera": partition.camera,
                    **score(clip["samples"]),
                }
                footage_s = clip["end_s"] - clip["start_s"]
                yield Made(clip["clip_id"], {SCORES.name: [row]}, footage_s)


def score(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The score columns of a clip with these samples; none where nothing was measured."""
    columns: dict[str, Any] = {"sample_count": len(samples)}
    for signal in SIGNALS:
        values = [sample[signal] for sample in samples if sample[signal] is not None]
        for suffix, quantile in QUANTILES.items():
            columns[f"{signal}_{suffix}"] = float(np.quantile(values, quantile)) if values else None
    motions = [sample["motion"] for sample in samples if sample["motion"] is not None]
    return {**columns, "stillness": stillness(motions)}
