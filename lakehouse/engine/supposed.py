"""The lake as it will be once its recordings are up to date, for looking ahead without writing.

Only reading is changed here: what stages plan over such a lake is `forecast`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import lance
import pyarrow as pa

from lakehouse.stages.recordings import objects_of, recording_id
from lakehouse.storage.bucket import Bucket, ObjectInfo
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake, TableMissingError, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan
from lakehouse.tables.schemas import CLIPS, PROVENANCE, RECORDINGS, Table

Row = dict[str, Any]

_UNWRITTEN = {
    **dict.fromkeys(RECORDINGS.schema.names),
    **{column.name: 0 if pa.types.is_integer(column.type) else "" for column in PROVENANCE},
}


@dataclass(frozen=True)
class SupposedLake(Lake):
    """A lake that is only read: tables that don't exist are empty, and some hold other rows than
    they do. Those of `rows` are in memory, by table name, and stand for one partition's."""

    rows: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def dataset(self, table: Table) -> Any:
        """See Lake; never raises TableMissingError."""
        if table.name in self.rows:
            return self.rows[table.name]
        try:
            return super().dataset(table)
        except TableMissingError:
            return _in_memory(table, ())


def supposing(lake: Lake, recordings: Iterable[Row] | None = None) -> SupposedLake:
    """The lake, as if the recordings of the one partition that is looked at were these."""
    rows = {} if recordings is None else {RECORDINGS.name: _in_memory(RECORDINGS, recordings)}
    return SupposedLake(lake.url, lake.storage_options, lake.s3, rows)


@dataclass(frozen=True)
class Probed:
    """The recordings of a partition as a run will leave them.

    What a probe will say of an object is known where an object of the same etag and size was probed
    before, and null where not. `unknown` holds the recordings for which it matters: those that have
    clips of this very object, which stay true or not.
    """

    rows: tuple[Row, ...]
    unknown: frozenset[str]


def probed(
    lake: Lake,
    bucket: Bucket,
    pattern: KeyPattern,
    partition: Partition,
    plan: Plan,
    stage_version: str,
) -> Probed:
    """What the recordings' plan makes of the partition. Lists the partition's objects."""
    columns = RECORDINGS.schema.names
    rows = {
        row["recording_id"]: row for row in lake.read(RECORDINGS, partition, columns).to_dicts()
    }
    for parent_id in plan.orphaned:
        if parent_id in rows:  # else it was removed meanwhile
            rows[parent_id]["gone_since"] = datetime.now(UTC).replace(tzinfo=None)
    work = set(plan.work)
    objects = {
        found: info
        for info, _ in objects_of(bucket, pattern, partition)
        if (found := recording_id(info.key)) in work
    }
    alike = _probed_before(lake, objects.values(), stage_version)
    unlike: dict[str, ObjectInfo] = {}
    for found, info in objects.items():
        same = alike.get((info.etag, info.size_bytes), {})
        if found not in same:
            unlike[found] = info
        rows[found] = {
            **_UNWRITTEN,
            **(same.get(found) or next(iter(same.values()), {})),
            "recording_id": found,
            "day": partition.day,
            "camera": partition.camera,
            "key": info.key,
            "etag": info.etag,
            "size_bytes": info.size_bytes,
            "gone_since": None,
        }
    return Probed(tuple(rows.values()), _with_clips_of_today(lake, partition, unlike))


def _probed_before(
    lake: Lake, objects: Collection[ObjectInfo], stage_version: str
) -> dict[tuple[str, int], dict[str, Row]]:
    """By etag and size, what this version said of objects like these, by recording: in any
    partition, gone or not."""
    if not objects:
        return {}
    where = (
        f"{among('etag', {info.etag for info in objects})} AND error IS NULL "
        f"AND stage_version = '{stage_version}'"
    )
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for row in lake.read(RECORDINGS, None, RECORDINGS.schema.names, where).to_dicts():
        found.setdefault((row["etag"], row["size_bytes"]), {})[row["recording_id"]] = row
    return found


def _with_clips_of_today(
    lake: Lake, partition: Partition, objects: Mapping[str, ObjectInfo]
) -> frozenset[str]:
    """Those of these recordings that have clips made of the object that lies there today."""
    where = among("recording_id", objects)
    clips = lake.read(CLIPS, partition, ["recording_id", "etag"], where).unique()
    return frozenset(found for found, etag in clips.iter_rows() if objects[found].etag == etag)


def _in_memory(table: Table, rows: Iterable[Row]) -> Any:
    return lance.write_dataset(
        pa.Table.from_pylist(list(rows), schema=table.schema), f"memory://{table.name}.lance"
    )
