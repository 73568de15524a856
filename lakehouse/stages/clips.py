"""Clips and frames: one decode pass over each recording, or none if its content was seen before.

The pass itself is `video.one_pass`, run in a worker process; the rows that it becomes are
`clip_rows`, and rows of the same content under another key are found by `reuse`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.threads import streams_at_once
from lakehouse.engine.workers import Workers, workers
from lakehouse.errors import UserError
from lakehouse.settings import ClipSettings, LimitSettings
from lakehouse.stages.clip_rows import RecordingRows, time_base_of
from lakehouse.stages.object_tasks import Decoded, DecodeTask, HashTask, Object, deadline_s
from lakehouse.stages.reuse import (
    SHOWN,
    Donor,
    clips_of,
    copied_clips,
    copied_frames,
    donors_of,
    shown_packets,
)
from lakehouse.stages.stage import (
    Made,
    fingerprints_of,
    of_present_footage,
    remove_rows,
    version_of,
    what_is_wrong,
)
from lakehouse.storage.bucket import Bucket, ObjectNotFound, ObjectReplaced
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table
from lakehouse.video.one_pass import StreamFacts

_CODE = 5
_READER_MB = 400
"""Decoding 4K takes up to this much for each thread that shares a recording."""
_FRAMES_AT_ONCE_BYTES = 16 * 2**20
_CONSUMED = ("recording_id", "key", "etag", "error", "size_bytes", *SHOWN)
_LOOKED_AT = (*_CONSUMED, "first_packet_hash")


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
    limits: LimitSettings
    worker_count: int

    name = "clips"
    table = CLIPS
    side_tables: tuple[Table, ...] = (FRAMES,)
    is_dear = True

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The recordings that are there; those that can't be opened become one failed clip."""
        return parents_frame(
            (row["recording_id"], row["recording_id"], self._fingerprint(partition, row), True)
            for row in self._recordings(partition)
        )

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage."""
        return fingerprints_of(self.parents(partition))

    def children(self, partition: Partition) -> pl.DataFrame:
        """The clips of the partition."""
        columns = ["recording_id", "fingerprint", "error", "attempts"]
        clips = of_present_footage(self.lake, partition, self.lake.read(CLIPS, partition, columns))
        return clips.with_columns(parent_id="recording_id")

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows go."""
        remove_rows(self, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Decode each recording once; where there are fewer than workers, several share one."""
        recordings = [
            row
            for row in self._recordings(partition)
            if wanted.get(row["recording_id"]) == self._fingerprint(partition, row)
        ]
        profile = self.settings.profile_of(partition.camera)
        donors = donors_of(self.lake, recordings, self.version, profile)
        most = max(1, self.limits.memory_mb // _READER_MB)
        sharing = min(most, max(1, self.worker_count // max(1, len(recordings))))
        yield from streams_at_once(
            lambda row: self._made(partition, row, donors.get(row["recording_id"], ()), sharing),
            recordings,
            self.worker_count,
            self._pool.close,
        )

    @property
    def _pool(self) -> Workers:
        return workers(self.worker_count, self.limits.memory_mb)

    def _recordings(self, partition: Partition) -> list[dict[str, Any]]:
        rows = self.lake.read(RECORDINGS, partition, _LOOKED_AT, "gone_since IS NULL")
        return rows.to_dicts()

    def _fingerprint(self, partition: Partition, recording: Mapping[str, Any]) -> str:
        consumed = {name: recording[name] for name in _CONSUMED}
        return fingerprint(self.version, self.settings.profile_of(partition.camera), consumed)

    def _made(
        self,
        partition: Partition,
        recording: dict[str, Any],
        donors: Sequence[Donor],
        workers: int,
    ) -> Generator[Made, None, None]:
        """Nothing where the object is another one by now."""
        source = Object(self.bucket, recording["key"], recording["etag"])
        try:
            donor = self._same(source, recording, donors)
            clips = clips_of(self.lake, donor) if donor else []
            if donor and clips:
                yield from self._copied(partition, recording, donor, clips)
            else:
                yield from self._decoded(partition, recording, source, workers)
        except (ObjectReplaced, ObjectNotFound):
            return

    def _same(
        self, source: Object, recording: dict[str, Any], donors: Sequence[Donor]
    ) -> Donor | None:
        """The donor whose packets are those of this object, if any."""
        if not donors:
            return None
        task = HashTask(source, recording["container"])
        limit_s = deadline_s(self.limits, recording["size_bytes"])
        try:
            with closing(self._pool.stream(task, limit_s)) as hashes:
                found = next(hashes)
        except (UserError, ObjectReplaced, ObjectNotFound):
            raise
        except Exception:  # decoding it finds out what is wrong
            return None
        shown = shown_packets(recording, found)
        return next((donor for donor in donors if donor.packets_hash == shown), None)

    def _copied(
        self,
        partition: Partition,
        recording: dict[str, Any],
        donor: Donor,
        clips: Sequence[dict[str, Any]],
    ) -> Generator[Made, None, None]:
        parent_id = recording["recording_id"]
        identity = {
            "recording_id": parent_id,
            "etag": recording["etag"],
            "day": partition.day,
            "camera": partition.camera,
        }
        for frames in copied_frames(self.lake, clips, donor, identity):
            yield Made(parent_id, {FRAMES.name: frames}, is_complete=False)
        rows = copied_clips(clips, donor, identity)
        yield Made(parent_id, {CLIPS.name: rows}, recording["duration_s"], reused=True)

    def _decoded(
        self, partition: Partition, recording: dict[str, Any], source: Object, workers: int
    ) -> Generator[Made, None, None]:
        """Frames as they come, so that memory doesn't grow with the recording; clips last."""
        parent_id, duration_s = recording["recording_id"], recording["duration_s"] or 0.0
        profile = self.settings.profile_of(partition.camera)
        rows = RecordingRows(partition, recording, profile, self.settings.min_clip_s)
        error, packets_hash = recording["error"], None
        reason = None
        if error is None:
            task = DecodeTask(
                source, _facts(recording), self.settings, self.limits, profile, workers
            )
            limit_s = deadline_s(self.limits, recording["size_bytes"], duration_s)
            try:
                with closing(self._pool.stream(task, limit_s)) as found:
                    for result in found:
                        reason = result.first_error
                        if isinstance(result, Decoded):
                            rows.add(result.sampled, reason)
                        else:
                            packets_hash = shown_packets(recording, result.packets_hash)
                        if rows.frames_bytes >= _FRAMES_AT_ONCE_BYTES:
                            frames = rows.take_frames()
                            yield Made(parent_id, {FRAMES.name: frames}, is_complete=False)
            except (UserError, ObjectReplaced, ObjectNotFound):
                raise
            except Exception as problem:  # footage is untrusted: its errors are rows
                error = what_is_wrong(problem)
        rows.finish(error or reason)
        clips = [{**row, "packets_hash": packets_hash} for row in rows.clips]
        yield Made(
            parent_id=parent_id,
            rows={CLIPS.name: clips, FRAMES.name: rows.take_frames()},
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
