"""The sensor that hears of footage: the bucket's own events start a run within seconds."""

import json
import time

import dagster as dg

from assets.jobs import ingest_partition
from assets.sensors.looks import Looks
from lakehouse.errors import UserError
from lakehouse.settings import load_settings
from lakehouse.storage.events.event import Delivery
from lakehouse.storage.events.sources import event_sources
from resources.lakehouse import LakehouseResource

_TICK_S = 20.0
_WARNINGS = 5
_events = load_settings().events
_is_told = bool(_events.queue_url or _events.spool)


@dg.sensor(
    job=ingest_partition,
    minimum_interval_seconds=1,  # Dagster's daemon comes by every 5 seconds
    default_status=(dg.DefaultSensorStatus.RUNNING if _is_told else dg.DefaultSensorStatus.STOPPED),
    description="Hears what the bucket tells of its objects, and asks for a run of each day and "
    "camera concerned, within seconds. Stopped unless the settings say where events come from.",
)
def events_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource
) -> dg.SensorResult | dg.SkipReason:
    """Requests one run for each partition of which the bucket tells, and which needs one.

    Events only say where to look, so that it doesn't matter whether they come twice, or in the
    wrong order. They are acknowledged in the tick after the one that heeded them: the cursor,
    which holds their receipts, is only kept once the runs were requested. Without
    `events.queue_url` and `events.spool` in the settings it is stopped, and does nothing.
    """
    sources = event_sources(lakehouse.settings)
    if not sources:
        return dg.SkipReason("neither events.queue_url nor events.spool is set")
    if not lakehouse.bucket.url.startswith("s3://"):
        raise UserError(
            f"{lakehouse.bucket.url} is a folder, of which no event tells; unset the settings of "
            "events, or name an s3:// bucket"
        )
    for name, receipts in json.loads(context.cursor or "{}").items():
        if name in sources:
            sources[name].done(receipts)
    looks = Looks(lakehouse, context.instance)
    deadline = time.monotonic() + _TICK_S
    heeded: dict[str, list[str]] = {}
    problems: list[str] = []
    for name, source in sources.items():
        for delivery in source.take():
            if time.monotonic() > deadline:
                break  # what is left is delivered again
            problems += [f"{name}: {delivery.problem}"] if delivery.problem else []
            _heed(delivery, looks)
            heeded.setdefault(name, []).append(delivery.receipt)
    for problem in problems[:_WARNINGS]:
        context.log.warning(f"dropped what is no notification: {problem}")
    if len(problems) > _WARNINGS:
        context.log.warning(f"dropped {len(problems) - _WARNINGS} more")
    return looks.result(context, json.dumps(heeded))


def _heed(delivery: Delivery, looks: Looks) -> None:
    for event in delivery.events:
        key = event.key_in(looks.lakehouse.bucket.url)
        if key and (partition := looks.partition_of(key)):
            looks.look(partition)
