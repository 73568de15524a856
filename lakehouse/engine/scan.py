"""Which partitions a bucket holds, and which of them have work.

Only listings and plans are read here. Running the work is `local`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from lakehouse.engine.local import plan_stage
from lakehouse.engine.retry import Retry
from lakehouse.stages.stage import Stage
from lakehouse.storage.bucket import ObjectInfo
from lakehouse.storage.keys import KeyPattern, Mismatch
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import RECORDINGS

_EXAMPLES = 20


@dataclass
class Scanned:
    """What a listing holds of one partition."""

    object_count: int = 0
    size_bytes: int = 0

    def add(self, info: ObjectInfo) -> None:
        """Count one more object."""
        self.object_count += 1
        self.size_bytes += info.size_bytes


@dataclass
class Scan:
    """The partitions of a listing, and the keys that belong to none: counted, the first kept."""

    partitions: dict[Partition, Scanned] = field(default_factory=dict)
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def refuse(self, mismatch: Mismatch) -> None:
        """Count a key that belongs to no partition."""
        self.mismatch_count += 1
        if len(self.mismatches) < _EXAMPLES:
            self.mismatches.append(mismatch)


def scan(objects: Iterable[ObjectInfo], pattern: KeyPattern, first_day: date) -> Scan:
    """Fold a listing, of whatever length, into its partitions."""
    result = Scan()
    for info in objects:
        partition = partition_at(info.key, pattern, first_day)
        if isinstance(partition, Mismatch):
            result.refuse(partition)
        else:
            result.partitions.setdefault(partition, Scanned()).add(info)
    return result


def partition_at(key: str, pattern: KeyPattern, first_day: date) -> Partition | Mismatch:
    """The partition of the object at a key; a mismatch if there is none that may exist today."""
    fields = pattern.match(key)
    if isinstance(fields, Mismatch):
        return fields
    # Tomorrow in UTC is today somewhere.
    if first_day <= fields.day <= datetime.now(UTC).date() + timedelta(days=1):
        return Partition(fields.day, fields.camera)
    return Mismatch(key, _why_out_of_range(fields.day, first_day))


def with_work(
    partitions: Iterable[Partition],
    stages: Iterable[Stage],
    *,
    retry: Retry | None = None,
    max_attempts: int = 1,
) -> Iterator[Partition]:
    """The partitions in which some stage has something to make or to remove."""
    chain = tuple(stages)
    for partition in partitions:
        if any(
            not plan_stage(stage, partition, retry=retry, max_attempts=max_attempts).is_empty
            for stage in chain
        ):
            yield partition


def partitions_of(lake: Lake) -> set[Partition]:
    """The partitions that the lake has recordings of, as far as these were there when last
    looked for."""
    held = lake.read(RECORDINGS, None, ["day", "camera"], "gone_since IS NULL").unique()
    return {Partition(day, camera) for day, camera in held.iter_rows()}


def _why_out_of_range(day: date, first_day: date) -> str:
    if day < first_day:
        return f"{day} is before {first_day}; set LAKEHOUSE_FIRST_DAY to an earlier day"
    return f"{day} lies in the future; correct the key, or the robot's clock"
