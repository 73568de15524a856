"""The sensor that reprocesses what changed code makes stale."""

import dagster as dg

reprocess_sensor = dg.AutomationConditionSensorDefinition(
    "reprocess_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
"""Requests what `versions.ON_CHANGE` names."""
