"""One run of the chain over one partition, in this process, recorded in the Dagster instance."""

import dagster as dg

from assets.definitions import definitions
from assets.partitions import cameras, partition_key
from assets.tags import RETRY_FAILED
from lakehouse.tables.partition import Partition


def run_partition(partition: Partition, *, retry_failed: bool) -> str | None:
    """Materialize the partition; returns why the run failed, if it did."""
    instance = dg.DagsterInstance.get()
    instance.add_dynamic_partitions(cameras.name or "", [partition.camera])
    result = definitions.resolve_job_def("ingest_partition").execute_in_process(
        instance=instance,
        partition_key=partition_key(partition),
        tags={RETRY_FAILED: "true"} if retry_failed else {},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    return None if result.success else _reason(result)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The innermost message of the first step that failed, or of the check that blocked."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            return f"{event.step_key}: {error.message.strip()}"
    return f"run {result.run_id} failed; look at it in the UI"
