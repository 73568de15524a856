"""The roll-up of the chain: a report of each day over all its cameras.

It has runs of its own, so that nothing of it can hold up or fail an ingest. What it counts is
`lakehouse.query.daily_report`.
"""

import warnings
from datetime import date

import dagster as dg

from assets.columns import lineage_metadata, table_metadata
from assets.partitions import days
from assets.report import account_metadata, link_metadata, picture_metadata
from assets.versions import FRESH_DAILY, ON_ANY_CHANGE, OWNERS
from lakehouse.query.contact_sheet import day_sheet
from lakehouse.query.daily_report import version
from lakehouse.query.report_text import as_markdown
from lakehouse.settings import load_settings
from lakehouse.tables.schemas import DAILY_REPORTS
from resources.lakehouse import LakehouseResource

with warnings.catch_warnings():
    # A beta, pinned with Dagster's version: no other mapping takes one dimension of two.
    warnings.simplefilter("ignore", dg.BetaWarning)
    _OF_THE_DAY = dg.MultiToSingleDimensionPartitionMapping("day")
_LAST = ("embeddings", "caption_embeddings")


@dg.asset(
    deps=[dg.AssetDep(last, partition_mapping=_OF_THE_DAY) for last in _LAST],
    partitions_def=days,
    group_name="reports",
    owners=OWNERS,
    kinds={"lance", "duckdb"},
    code_version=version(load_settings()),
    automation_condition=ON_ANY_CHANGE,
    freshness_policy=FRESH_DAILY,
    metadata=table_metadata(DAILY_REPORTS),
    # Without retries of its own: `lakehouse ingest` waits for it, and the next one makes it anew.
)
def daily_report(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What became of the footage of a day, by camera and in all: passed, rejected and why, failed
    and with which errors; and what that took."""
    day = date.fromisoformat(context.partition_key)
    report = lakehouse.report_day(day)
    total = report.total
    sheet = day_sheet(lakehouse.lake, day, list(report.by_camera))
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(as_markdown(report)),
            **link_metadata(lakehouse.settings, f"days/{day}"),
            **picture_metadata(sheet, f"clips of {day}"),
            **account_metadata(total),
            "clips_passed": total.clips_passed,
            "captions": total.captions,
            "captions_failed": total.captions_failed,
            "tokens": total.tokens,
            "model_s": round(total.model_s, 3),
            "run_s": round(total.wall_s, 3),
            "dagster/partition_row_count": len(report.by_camera) + bool(report.by_camera),
            "dagster/uri": lakehouse.lake.uri(DAILY_REPORTS),
            **lineage_metadata(DAILY_REPORTS.name),
        }
    )
