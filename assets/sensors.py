"""The sensor that sees new footage, and the one that reprocesses after a change of code."""

import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.jobs import ingest_partition
from assets.partitions import cameras, partition_key
from lakehouse.engine.scan import partition_at
from lakehouse.stages.recordings import RecordingsStage
from lakehouse.storage.keys import Mismatch
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import make_plan
from resources.lakehouse import LakehouseResource

_TICK_S = 40.0
_OVERLAP = timedelta(hours=1)
_EPOCH = datetime.fromtimestamp(0, UTC).isoformat()


@dataclass(frozen=True)
class Cursor:
    """How far the listing got: `after` is the last key seen of a round that began at `round`;
    objects older than `since`, the beginning of the round before, were seen by it."""

    after: str = ""
    round: str = ""
    since: str = _EPOCH

    def window_start(self) -> datetime:
        """Older objects are passed over; the overlap forgives clocks that differ."""
        return datetime.fromisoformat(self.since) - _OVERLAP


@dg.sensor(
    job=ingest_partition,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def footage_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource
) -> dg.SensorResult:
    """Requests one run for each partition whose objects differ from its recordings.

    Lists the bucket in rounds, as far as one tick gets, and looks closer where objects are newer
    than the round before. The run key carries a digest of the partition's objects, so a late file
    asks for a new run and an unchanged partition never does. Deletions in partitions without
    newer objects wait for `lakehouse ingest`; so does a partition whose run failed for good.
    """
    cursor = Cursor(**json.loads(context.cursor)) if context.cursor else Cursor()
    now = datetime.now(UTC).isoformat()
    cursor = cursor if cursor.after else replace(cursor, round=now)
    deadline = time.monotonic() + _TICK_S
    window_start = cursor.window_start()
    requests: dict[Partition, dg.RunRequest | None] = {}
    mismatch_count = 0
    settings = lakehouse.settings
    for info in lakehouse.bucket.list(start_after=cursor.after):
        partition = partition_at(info.key, lakehouse.pattern, settings.first_day)
        if isinstance(partition, Mismatch):
            mismatch_count += 1
        elif info.modified >= window_start and partition not in requests:
            requests[partition] = _request(partition, lakehouse, context.instance)
        cursor = replace(cursor, after=info.key)
        if time.monotonic() > deadline:
            break
    else:
        cursor = Cursor(since=cursor.round)
    wanted = [request for request in requests.values() if request]
    known = set(context.instance.get_dynamic_partitions(cameras.name or ""))
    unknown = sorted({p.camera for p, request in requests.items() if request} - known)
    if mismatch_count:
        context.log.warning(
            f"{mismatch_count} objects do not fit the key pattern {settings.key_pattern}"
        )
    return dg.SensorResult(
        run_requests=wanted,
        dynamic_partitions_requests=[cameras.build_add_request(unknown)] if unknown else [],
        cursor=json.dumps(asdict(cursor)),
    )


def _request(
    partition: Partition, lakehouse: LakehouseResource, instance: dg.DagsterInstance
) -> dg.RunRequest | None:
    """The run that the partition needs, if any: by the recordings' own plan."""
    key = partition_key(partition)
    # Read before the plan: a run that ends in between must not be asked for twice.
    last_success = _last_success(key, instance)
    stage = RecordingsStage(lakehouse.lake, lakehouse.bucket, lakehouse.pattern, workers=1)
    objects = stage.parents(partition)
    if make_plan(objects, stage.children(partition)).is_empty(retry_failed=False):
        return None
    digest = fingerprint(lakehouse.lake.url, last_success, sorted(objects.rows()))
    return dg.RunRequest(run_key=f"{key}|{digest}", partition_key=key)


def _last_success(key: str, instance: dg.DagsterInstance) -> str | None:
    """The partition's last run that succeeded. Run keys dedupe for ever, and footage that is moved
    away and back has the digest that it had before: only a run in between tells the two apart."""
    succeeded = dg.RunsFilter(
        tags={"dagster/partition": key}, statuses=[dg.DagsterRunStatus.SUCCESS]
    )
    records = instance.get_run_records(succeeded, limit=1)
    return records[0].dagster_run.run_id if records else None


reprocess_sensor = dg.AutomationConditionSensorDefinition(
    "reprocess_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
"""Requests what `versions.ON_CHANGE` names."""
