"""What a run of the chain would do, told before it runs.

A stage's parents are rows of the stage before it, and so the plans of a chain are made in its
order, each over what the one before will leave behind. What that is can't always be known: which
clips a new recording will have, only decoding it tells. What a run takes is `costs`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse.engine.local import plan_stage
from lakehouse.engine.retry import Retry, retried
from lakehouse.engine.supposed import Probed, probed, supposing
from lakehouse.settings import Settings
from lakehouse.stages.chain import FAMILIES, stages_of
from lakehouse.stages.reuse import donors_of
from lakehouse.stages.stage import Stage
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan, make_plan
from lakehouse.tables.schemas import CLIPS, RECORDINGS

_MADE_FROM = {
    "clips": "recordings",
    "scores": "clips",
    "model_scores": "scores",
    "captions": "model_scores",
    "embeddings": "clips",
    "caption_embeddings": "captions",
}
"""The family on whose rows those of a family depend last."""


@dataclass(frozen=True)
class Footage:
    """Seconds that are known, and the bytes of objects that nobody has probed."""

    known_s: float = 0.0
    unprobed_bytes: int = 0


@dataclass(frozen=True)
class StageForecast:
    """What a run will do for one stage in one partition.

    `plan` is the plan that the run will make, but for the parents that belong to recordings of
    `pending`: of these a run may make, remove or keep rows, as it depends on what it makes before.
    `work_footage` is what the plan's work is about, and `pending_footage` are those recordings.
    `reusable` are recordings in the plan's work that need no decoding if they turn out to hold what
    was decoded before under another key, as it looks.
    """

    stage: str
    stage_version: str
    plan: Plan
    pending: tuple[str, ...] = ()
    work_footage: Footage = Footage()
    pending_footage: Footage = Footage()
    reusable: tuple[str, ...] = ()

    @property
    def is_up_to_date(self) -> bool:
        """Whether every row is current: nothing to do, to wait for or to retry."""
        plan = self.plan
        undone = (*plan.failed, *plan.given_up, *plan.waiting)
        return plan.is_empty and not undone and not self.pending


@dataclass(frozen=True)
class Forecast:
    """What a run of the chain will do in a partition, stage by stage."""

    partition: Partition
    stages: tuple[StageForecast, ...]

    @property
    def is_empty(self) -> bool:
        """Whether a run would change nothing."""
        return all(stage.plan.is_empty for stage in self.stages)


def forecast(
    settings: Settings,
    bucket: Bucket,
    lake: Lake,
    partition: Partition,
    *,
    retry: Retry | None = None,
) -> Forecast:
    """What a run with these settings would do in the partition now. Writes nothing, and needs no
    lake to be there. Where files can be seen before they are whole, it waits as a run does.

    Raises UserError where bucket or lake can't be reached.
    """
    max_attempts = settings.limits.attempts
    today = supposing(lake)
    (first,) = stages_of("recordings", settings, bucket, today)
    plan = plan_stage(first, partition, retry=retry, max_attempts=max_attempts)
    found = _recordings(settings, bucket, today, partition, plan, first.version)
    lengths = {row["recording_id"]: _length(row) for row in found.rows}
    told = [StageForecast(first.name, first.version, plan, (), _added_up(lengths, plan.work))]
    later = today if plan.is_empty else supposing(lake, found.rows)
    touched: dict[str, set[str]] = {"recordings": set(found.unknown)}
    for family in FAMILIES[1:]:
        pending = touched[_MADE_FROM[family]]
        touched[family] = set(pending)
        for stage in stages_of(family, settings, bucket, later):
            plan, changed = _settled(stage, partition, pending, retry, max_attempts)
            touched[family] |= changed
            told.append(
                StageForecast(
                    stage.name,
                    stage.version,
                    plan,
                    tuple(sorted(pending)),
                    _added_up(_lengths_of_parents(stage, partition, plan, lengths), plan.work),
                    _added_up(lengths, pending),
                    _reusable(settings, today, partition, plan, stage, found.rows),
                )
            )
    return Forecast(partition, tuple(told))


def _recordings(
    settings: Settings,
    bucket: Bucket,
    lake: Lake,
    partition: Partition,
    plan: Plan,
    stage_version: str,
) -> Probed:
    if plan.is_empty:
        rows = lake.read(RECORDINGS, partition, RECORDINGS.schema.names).to_dicts()
        return Probed(tuple(rows), frozenset())
    pattern = KeyPattern.parse(settings.key_pattern)
    return probed(lake, bucket, pattern, partition, plan, stage_version)


def _settled(
    stage: Stage,
    partition: Partition,
    pending: Collection[str],
    retry: Retry | None,
    max_attempts: int,
) -> tuple[Plan, set[str]]:
    """The plan without the parents of pending recordings, and the recordings whose rows it
    changes."""
    settled = ~pl.col("recording_id").is_in(sorted(pending))
    children = stage.children(partition).filter(settled)
    parents = stage.parents(partition).filter(settled)
    chosen = retried(retry, stage, partition, max_attempts)
    plan = make_plan(parents, children, chosen, max_attempts)
    ids = pl.concat(frame.select("parent_id", "recording_id") for frame in (parents, children))
    changed = ids.filter(pl.col("parent_id").is_in([*plan.work, *plan.orphaned]))
    return plan, set(changed.get_column("recording_id"))


def _reusable(
    settings: Settings,
    lake: Lake,
    partition: Partition,
    plan: Plan,
    stage: Stage,
    recordings: Iterable[Mapping[str, Any]],
) -> tuple[str, ...]:
    """What looks as if it was decoded before; later stages reuse what belongs to its clips."""
    if stage.table is not CLIPS or not plan.work:
        return ()
    work = set(plan.work)
    wanted = [row for row in recordings if row["recording_id"] in work]
    profile = settings.clips.profile_of(partition.camera)
    return tuple(sorted(donors_of(lake, wanted, stage.version, profile)))


def _lengths_of_parents(
    stage: Stage, partition: Partition, plan: Plan, of_recordings: Mapping[str, Footage]
) -> Mapping[str, Footage]:
    """How much footage each parent is about: a recording, a clip, or a clip and a variant."""
    if stage.table is CLIPS or not plan.work:
        return of_recordings
    clips = stage.lake.read(CLIPS, partition, ["clip_id", "start_s", "end_s"])
    of_clips = {clip_id: end_s - start_s for clip_id, start_s, end_s in clips.iter_rows()}
    return {
        parent_id: Footage(of_clips.get(parent_id.partition(":")[0], 0.0))
        for parent_id in plan.work
    }


def _length(recording: Mapping[str, Any]) -> Footage:
    if recording["duration_s"] is not None:
        return Footage(recording["duration_s"])
    return Footage(unprobed_bytes=0 if recording["error"] else recording["size_bytes"])


def _added_up(lengths: Mapping[str, Footage], ids: Iterable[str]) -> Footage:
    chosen = [lengths.get(parent_id, Footage()) for parent_id in ids]
    return Footage(
        sum((length.known_s for length in chosen), start=0.0),
        sum(length.unprobed_bytes for length in chosen),
    )
