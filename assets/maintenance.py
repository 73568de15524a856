"""The job that keeps the tables small and quick, and its schedule.

It runs beside ingest runs, once at a time: `dagster.yaml` limits its tag. What it does is
`lakehouse.tables.maintenance`.
"""

from datetime import timedelta

import dagster as dg

from lakehouse.query.tables import all_tables
from lakehouse.tables.maintenance import MaintenanceReport
from lakehouse.tables.maintenance import maintain as maintain_table
from resources.lakehouse import LakehouseResource

_TAGS = {
    "lakehouse/maintenance": "true",
    "dagster/priority": "1",  # a backlog of ingest runs is when tables need it most
}


@dg.op(out=dg.Out(dg.Nothing))
def maintain_tables(context: dg.OpExecutionContext, lakehouse: LakehouseResource) -> None:
    """Every table of the lake, one after the other; footage that is gone is removed first, if the
    settings say so."""
    removed = lakehouse.remove_gone()
    keep = timedelta(seconds=lakehouse.settings.maintenance.keep_versions_s)
    reports = []
    for table in all_tables(lakehouse.settings):
        report = maintain_table(lakehouse.lake, table, keep)
        for conflict in report.deferred:
            context.log.warning(f"{table.name}: left to the next time, {conflict}")
        reports.append(report)
    context.add_output_metadata(
        {
            "recordings_removed": removed,
            "bytes_removed": sum(report.bytes_removed for report in reports),
            "versions_removed": sum(report.versions_removed for report in reports),
            "versions": sum(report.versions_after for report in reports),
            "fragments": sum(report.fragments_after for report in reports),
            "tables": _table(reports),
        }
    )


@dg.job(executor_def=dg.in_process_executor, tags=_TAGS)
def maintain() -> None:
    """Refreshes indices, merges small files and removes old versions, in all tables."""
    maintain_tables()


_UNDONE = dg.RunsFilter(
    job_name=maintain.name,
    statuses=[
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ],
)


@dg.schedule(
    job=maintain,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the tables small and quick, once an hour.",
)
def hourly_maintenance(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Asks for a maintenance, unless the one before still waits or works."""
    if context.instance.get_run_records(_UNDONE, limit=1):
        return dg.SkipReason("the one before is not done yet")
    return dg.RunRequest()


def _table(reports: list[MaintenanceReport]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "table": report.table,
                    "versions": f"{report.versions_before} -> {report.versions_after}",
                    "fragments": f"{report.fragments_before} -> {report.fragments_after}",
                    "indices": ", ".join(report.indices),
                    "bytes_removed": report.bytes_removed,
                    "wall_s": round(report.wall_s, 3),
                }
            )
            for report in reports
        ]
    )
