"""Clips and frames: one decode pass over each recording.

The pass itself is `video.one_pass`, the rows that it becomes are `clip_rows`.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.threads import streams_at_once
from lakehouse.errors import UserError
from lakehouse.settings import ClipSettings
from lakehouse.stages.clip_rows import RecordingRows, time_base_of
from lakehouse.stages.stage import Made, version_of, what_is_wrong
from lakehouse.storage.bucket import Bucket
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table
from lakehouse.video.one_pass import StreamFacts, stream_spans
from lakehouse.video.packets import Damage

_CODE = 2
_FRAMES_AT_ONCE_BYTES = 16 * 2**20
_CONSUMED = (
    "recording_id",
    "key",
    "etag",
    "error",
    "container",
    "rotation_deg",
    "time_base_num",
    "time_base_den",
    "start_pts",
    "duration_s",
    "frame_rate",
)


def version(settings: ClipSettings) -> str:
    """Every clip setting decides what is cut, measured or kept. The profiles are left out: they
    count camera by camera, in the rows' fingerprints."""
    settings_of_all = settings.model_dump(exclude={"profile", "profile_by_camera"})
    return version_of(_CODE, fingerprint(settings_of_all))


def profiles_version(settings: ClipSettings) -> str:
    """The choice of profiles, readable and short."""
    cameras = sorted(settings.profile_by_camera.items())
    return version_of(_CODE, fingerprint(settings.profile, cameras))


@dataclass(frozen=True)
class ClipsStage:
    """Decodes recordings that are new or changed, several at once."""

    lake: Lake
    bucket: Bucket
    settings: ClipSettings
    workers: int

    name = "clips"
    table = CLIPS
    side_tables: tuple[Table, ...] = (FRAMES,)

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """All recordings; those that can't be opened become one failed clip."""
        recordings = self.lake.read(RECORDINGS, partition, _CONSUMED)
        profile = self.settings.profile_of(partition.camera)
        return parents_frame(
            (row["recording_id"], fingerprint(self.version, profile, row), True)
            for row in recordings.iter_rows(named=True)
        )

    def children(self, partition: Partition) -> pl.DataFrame:
        """The clips of the partition."""
        clips = self.lake.read(CLIPS, partition, ["recording_id", "fingerprint", "error"])
        return clips.select(
            parent_id="recording_id",
            fingerprint="fingerprint",
            failed=pl.col("error").is_not_null(),
        )

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """Decode each recording once; where there are fewer than workers, several share one."""
        wanted = set(parent_ids)
        recordings = [
            row
            for row in self.lake.read(RECORDINGS, partition, _CONSUMED).iter_rows(named=True)
            if row["recording_id"] in wanted
        ]
        helpers = max(1, self.workers // max(1, len(recordings)))
        yield from streams_at_once(
            lambda row: self._made(partition, row, helpers), recordings, self.workers
        )

    def _made(
        self, partition: Partition, recording: dict[str, Any], workers: int
    ) -> Generator[Made, None, None]:
        """Frames as they come, so that memory doesn't grow with the recording; clips last."""
        parent_id, duration_s = recording["recording_id"], recording["duration_s"] or 0.0
        profile = self.settings.profile_of(partition.camera)
        rows = RecordingRows(partition, recording, profile, self.settings.min_clip_s)
        damage = Damage()
        error = recording["error"]
        if error is None:
            try:
                for sampled in stream_spans(
                    lambda: self.bucket.open(recording["key"]),
                    _facts(recording),
                    self.settings,
                    damage,
                    profile,
                    workers,
                ):
                    rows.add(sampled, damage.first_error)
                    if rows.frames_bytes >= _FRAMES_AT_ONCE_BYTES:
                        yield Made(parent_id, {FRAMES.name: rows.take_frames()}, is_complete=False)
            except UserError:
                raise
            except Exception as problem:  # footage is untrusted: its errors are rows
                error = what_is_wrong(problem)
        rows.finish(error or damage.first_error)
        yield Made(
            parent_id=parent_id,
            rows={CLIPS.name: rows.clips, FRAMES.name: rows.take_frames()},
            footage_s=duration_s,
            error=rows.error or error,
        )


def _facts(recording: dict[str, Any]) -> StreamFacts:
    return StreamFacts(
        container=recording["container"],
        time_base=time_base_of(recording),
        start_pts=recording["start_pts"],
        duration_s=recording["duration_s"],
        frame_rate=recording["frame_rate"],
        rotation_deg=recording["rotation_deg"],
    )
