"""Recordings: one row for each object of the bucket, with its probe or its error."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.threads import at_once
from lakehouse.errors import UserError
from lakehouse.stages.stage import Made, version_of, what_is_wrong
from lakehouse.storage.bucket import Bucket, ObjectInfo
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import RECORDINGS, Table
from lakehouse.video.probe import Probe, probe

_CODE = 2
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
    """Probes objects that are new or changed."""

    lake: Lake
    bucket: Bucket
    pattern: KeyPattern
    workers: int

    name = "recordings"
    table = RECORDINGS
    side_tables: tuple[Table, ...] = ()

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version()

    def parents(self, partition: Partition) -> pl.DataFrame:
        """The bucket's objects; a recording is made from an object's etag and size."""
        found = (info for info, _ in objects_of(self.bucket, self.pattern, partition))
        return parents_frame(
            (recording_id(info.key), self._fingerprint(info), True)
            for info in {info.key: info for info in found}.values()
        )

    def children(self, partition: Partition) -> pl.DataFrame:
        """The recordings of the partition."""
        rows = self.lake.read(RECORDINGS, partition, ["recording_id", "fingerprint", "error"])
        return rows.select(
            parent_id="recording_id",
            fingerprint="fingerprint",
            failed=pl.col("error").is_not_null(),
        )

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """Probe each object; several at once, since a probe mostly waits for the bucket."""
        wanted = set(parent_ids)
        objects = {
            recording_id(info.key): (info, fields)
            for info, fields in objects_of(self.bucket, self.pattern, partition)
        }
        chosen = (objects[parent_id] for parent_id in sorted(wanted & objects.keys()))
        yield from at_once(lambda pair: self._made(*pair), chosen, self.workers)

    def _fingerprint(self, info: ObjectInfo) -> str:
        return fingerprint(self.version, info.key, info.etag, info.size_bytes)

    def _made(self, info: ObjectInfo, fields: KeyFields) -> Made:
        row: dict[str, Any] = {
            "recording_id": recording_id(info.key),
            "day": fields.day,
            "camera": fields.camera,
            "robot": fields.robot,
            "key": info.key,
            "etag": info.etag,
            "size_bytes": info.size_bytes,
        }
        try:
            with closing(self.bucket.open(info.key)) as source:
                row |= _columns(probe(source))
        except UserError:
            raise
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
    }
