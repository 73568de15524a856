"""The sensor that finds new, changed and removed footage by itself: by listing, in rounds."""

import json
import time
from bisect import bisect
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.jobs import ingest_partition
from assets.sensors.looks import Looks
from lakehouse.tables.partition import Partition
from resources.lakehouse import LakehouseResource

_LISTING_S = 30.0
_REVISIT_S = 5.0
_OVERLAP = timedelta(hours=1)
_EPOCH = datetime.fromtimestamp(0, UTC).isoformat()


@dataclass(frozen=True)
class Cursor:
    """How far the listing got: `after` is the last key seen of a round that began at `round`;
    objects older than `since`, the beginning of the round before, were seen by it. `revisited`
    names the partition of the lake that was looked at last, whatever its objects' age."""

    after: str = ""
    round: str = ""
    since: str = _EPOCH
    revisited: str = ""

    def window_start(self) -> datetime:
        """Older objects are passed over; the overlap forgives clocks that differ."""
        return datetime.fromisoformat(self.since) - _OVERLAP


@dg.sensor(
    job=ingest_partition,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lists the bucket, and asks for a run of each day and camera whose footage is new, "
    "was replaced, or is gone.",
)
def footage_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource
) -> dg.SensorResult:
    """Requests one run for each partition whose objects differ from its recordings.

    Lists the bucket in rounds, as far as one tick gets, and looks closer where objects are newer
    than the round before. Then it looks at some of the lake's own partitions, in turn: only so
    is removed footage found, where no event tells of it. A partition whose run failed for good
    waits for other footage, or for `lakehouse ingest`.
    """
    cursor = Cursor(**json.loads(context.cursor)) if context.cursor else Cursor()
    looks = Looks(lakehouse, context.instance)
    cursor = _look_at_newer(looks, cursor)
    cursor = _look_again(looks, cursor)
    return looks.result(context, json.dumps(asdict(cursor)))


def _look_at_newer(looks: Looks, cursor: Cursor) -> Cursor:
    """Lists on from where the tick before stopped."""
    deadline = time.monotonic() + _LISTING_S
    cursor = cursor if cursor.after else replace(cursor, round=datetime.now(UTC).isoformat())
    window_start = cursor.window_start()
    for info in looks.lakehouse.bucket.list(start_after=cursor.after):
        partition = looks.partition_of(info.key)
        if partition and info.modified >= window_start:
            looks.look(partition)
        cursor = replace(cursor, after=info.key)
        if time.monotonic() > deadline:
            return cursor
    return Cursor(since=cursor.round, revisited=cursor.revisited)


def _look_again(looks: Looks, cursor: Cursor) -> Cursor:
    """Looks at the lake's partitions from the one after the last, each once."""
    deadline = time.monotonic() + _REVISIT_S
    first_day = looks.lakehouse.settings.first_day
    held = (partition for partition in looks.lakehouse.partitions() if partition.day >= first_day)
    for partition in _in_turn(held, cursor.revisited):
        looks.look(partition)
        cursor = replace(cursor, revisited=str(partition))
        if time.monotonic() > deadline:
            break
    return cursor


def _in_turn(partitions: Iterable[Partition], after: str) -> list[Partition]:
    ordered = sorted(partitions, key=str)
    start = bisect(ordered, after, key=str)
    return ordered[start:] + ordered[:start]
