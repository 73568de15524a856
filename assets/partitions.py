"""Partitions: day x camera, cameras being added as footage of them is seen."""

from datetime import date

import dagster as dg

from lakehouse.settings import load_settings
from lakehouse.tables.partition import Partition

cameras = dg.DynamicPartitionsDefinition(name="cameras")
days = dg.DailyPartitionsDefinition(
    start_date=load_settings().first_day.isoformat(),
    timezone="UTC",
    # Today's footage must not wait for tomorrow, and tomorrow in UTC is today somewhere.
    end_offset=2,
)
day_camera = dg.MultiPartitionsDefinition({"day": days, "camera": cameras})


def partition_key(partition: Partition) -> dg.MultiPartitionKey:
    """Dagster's key of a partition."""
    return dg.MultiPartitionKey({"day": partition.day.isoformat(), "camera": partition.camera})


def partition_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Partition:
    """The partition that a step runs on."""
    key = context.partition_key
    assert isinstance(key, dg.MultiPartitionKey)
    by_dimension = key.keys_by_dimension
    return Partition(date.fromisoformat(by_dimension["day"]), by_dimension["camera"])
