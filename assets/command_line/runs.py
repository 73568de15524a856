"""Runs in this process, recorded in the Dagster instance: of the chain over one partition, and of
the report of a day."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import dagster as dg

from assets.definitions import definitions
from assets.partitions import cameras, partition_key
from assets.tags import RETRY
from lakehouse.engine.retry import Retry
from lakehouse.errors import UserError
from lakehouse.tables.partition import Partition


def run_partition(partition: Partition, retry: Retry | None) -> str | None:
    """Materialize the partition; returns why the run failed, if it did."""
    instance = dg.DagsterInstance.get()
    instance.add_dynamic_partitions(cameras.name or "", [partition.camera])
    tags = {RETRY: retry.to_json()} if retry else {}
    return _run("ingest_partition", partition_key(partition), instance, tags)


def run_report(day: date) -> str | None:
    """Bring the report of a day up to date; returns why the run failed, if it did."""
    return _run("report_day", day.isoformat(), dg.DagsterInstance.get(), {})


def _run(job: str, key: str, instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str | None:
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=key,
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    return None if result.success else _reason(result)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """What stopped the first step that failed, in one line."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            chain = list(_chain(event.step_failure_data.error))
            ours = [error for error in chain if error.cls_name == UserError.__name__]
            message = " ".join((ours or chain[-1:])[0].message.split())
            message = message.removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")
            return f"{event.step_key}: {message}"
    return f"run {result.run_id} failed; look at it in the UI"


def _chain(error: Any) -> Iterator[Any]:
    """An error and its causes, the outermost first."""
    while error is not None:
        yield error
        error = error.cause
