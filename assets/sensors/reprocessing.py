"""The sensor that reprocesses what changed code makes stale."""

import dagster as dg

reprocess_sensor = dg.AutomationConditionSensorDefinition(
    "reprocess_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Asks for runs of what changed code, prompts or models made stale, and for the "
    "report of each day that changed.",
)
"""Requests what `versions.ON_CHANGE` names."""
