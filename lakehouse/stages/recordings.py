"""Recordings: one row for each object of the bucket, with its probe or its error."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.threads import at_once
from lakehouse.engine.workers import workers
from lakehouse.errors import UserError
from lakehouse.settings import LimitSettings
from lakehouse.stages.object_tasks import Object, ProbeTask, deadline_s
from lakehouse.stages.stage import Made, version_of, what_is_wrong
from lakehouse.storage.bucket import Bucket, ObjectInfo, ObjectNotFound, ObjectReplaced
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.tables.commit import mark_gone
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import PARENTS
from lakehouse.tables.schemas import RECORDINGS, Table
from lakehouse.video.probe import Probe

_CODE = 3
_ID_LENGTH = 16


def recording_id(key: str) -> str:
    """The id of the recording at a key: the same for a replaced object, in every lake."""
    return fingerprint(key)[:_ID_LENGTH]


def version() -> str:
    """Only the code decides what a probe says."""
    return version_of(_CODE, fingerprint("probe"))


def partition_of(fields: KeyFields) -> Partition:
    """The partition that a key belongs to."""
    return Partition(fields.day, fields.camera)


def objects_of(
    bucket: Bucket, pattern: KeyPattern, partition: Partition
) -> Iterator[tuple[ObjectInfo, KeyFields]]:
    """The objects of a partition, listed under its own prefixes only."""
    for prefix in pattern.prefixes(partition.day, partition.camera):
        for info in bucket.list(prefix):
            fields = pattern.match(info.key)
            if isinstance(fields, KeyFields) and partition_of(fields) == partition:
                yield info, fields


@dataclass(frozen=True)
class RecordingsStage:
    """Probes objects that are new or changed, in worker processes.

    Where objects can be seen before they are whole, those that changed less than `settle_s` ago
    are looked at twice; one that `is_in_a_hurry` leaves them for the next time.
    """

    lake: Lake
    bucket: Bucket
    pattern: KeyPattern
    worker_count: int
    limits: LimitSettings
    settle_s: float
    is_in_a_hurry: bool = False

    name = "recordings"
    table = RECORDINGS
    side_tables: tuple[Table, ...] = ()
    is_dear = False

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version()

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The bucket's objects; a recording is made from an object's etag and size. Those that
        are still being written wait."""
        objects = self._objects(partition)
        growing: set[str] = set()
        wait_s = {key: self._unsettled_s(info) for key, info in objects.items()}
        if self.is_in_a_hurry:
            growing = {key for key, left_s in wait_s.items() if left_s}
        elif any(wait_s.values()):
            time.sleep(max(wait_s.values()))
            before, objects = objects, self._objects(partition)
            growing = {key for key, info in objects.items() if before.get(key) != info}
        rows = [
            (recording_id(key), recording_id(key), self._fingerprint(info), True, key in growing)
            for key, info in objects.items()
        ]
        return pl.DataFrame(rows, schema=PARENTS, orient="row")

    def fingerprints(self, partition: Partition) -> dict[str, str]:
        """See Stage. Waits for nothing."""
        objects = self._objects(partition)
        return {recording_id(key): self._fingerprint(info) for key, info in objects.items()}

    def children(self, partition: Partition) -> pl.DataFrame:
        """The recordings of the partition whose object was there when last looked for."""
        columns = ["recording_id", "fingerprint", "error", "attempts"]
        rows = self.lake.read(RECORDINGS, partition, columns, "gone_since IS NULL")
        return rows.with_columns(parent_id="recording_id")

    def retire(self, parent_ids: Sequence[str]) -> None:
        """Their rows are marked and stay: other footage may turn out to be the same. Whether they
        are removed in the end is `tables.removal`."""
        mark_gone(self.lake, parent_ids)

    def make(self, partition: Partition, wanted: Mapping[str, str]) -> Iterator[Made]:
        """Probe each object; several at once, since a probe mostly waits for the bucket."""
        found = (
            (info, fields)
            for info, fields in objects_of(self.bucket, self.pattern, partition)
            if wanted.get(recording_id(info.key)) == self._fingerprint(info)
        )
        chosen = list({info.key: (info, fields) for info, fields in found}.values())
        for made in at_once(lambda pair: self._made(*pair), chosen, self.worker_count):
            if made is not None:
                yield made

    def _objects(self, partition: Partition) -> dict[str, ObjectInfo]:
        return {info.key: info for info, _ in objects_of(self.bucket, self.pattern, partition)}

    def _unsettled_s(self, info: ObjectInfo) -> float:
        """How long to wait until it has been as it is for `settle_s`."""
        if self.bucket.objects_appear_whole:
            return 0.0
        age_s = (datetime.now(UTC) - info.modified).total_seconds()
        return min(max(0.0, self.settle_s - age_s), self.settle_s)

    def _fingerprint(self, info: ObjectInfo) -> str:
        return fingerprint(self.version, info.key, info.etag, info.size_bytes)

    def _made(self, info: ObjectInfo, fields: KeyFields) -> Made | None:
        """None where the object is another one by now."""
        row: dict[str, Any] = {
            "recording_id": recording_id(info.key),
            "day": fields.day,
            "camera": fields.camera,
            "robot": fields.robot,
            "key": info.key,
            "etag": info.etag,
            "size_bytes": info.size_bytes,
        }
        task = ProbeTask(Object(self.bucket, info.key, info.etag), self.limits)
        pool = workers(self.worker_count, self.limits.memory_mb)
        try:
            with closing(pool.stream(task, deadline_s(self.limits, info.size_bytes))) as probes:
                row |= _columns(next(probes))
        except UserError:
            raise
        except (ObjectReplaced, ObjectNotFound):
            return None
        except Exception as problem:  # footage is untrusted: its errors are rows
            row["error"] = what_is_wrong(problem)
        return Made(
            parent_id=row["recording_id"],
            rows={RECORDINGS.name: [row]},
            footage_s=row.get("duration_s") or 0.0,
            error=row.get("error"),
        )


def _columns(probed: Probe) -> dict[str, Any]:
    return {
        "container": probed.container,
        "codec": probed.codec,
        "pixel_format": probed.pixel_format,
        "width": probed.width,
        "height": probed.height,
        "rotation_deg": probed.rotation_deg,
        "time_base_num": probed.time_base.numerator,
        "time_base_den": probed.time_base.denominator,
        "start_pts": probed.start_pts,
        "duration_s": probed.duration_s,
        "frame_count": probed.frame_count,
        "frame_rate": probed.frame_rate,
        "variable_frame_rate": probed.variable_frame_rate,
        "key_frame_interval": probed.key_frame_interval,
        "has_audio": probed.has_audio,
        "start_time": probed.start_time,
        "first_packet_hash": probed.first_packet_hash,
    }
