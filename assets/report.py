"""What the UI shows: of a run its plan, before and after it; of a materialization counts, speed,
and how its partition stands: the ledger, numbers to plot over partitions, a picture, and a link."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller
from urllib.parse import urlencode

import dagster as dg

from lakehouse.engine.costs import Cost
from lakehouse.engine.forecast import Forecast
from lakehouse.engine.local import StageReport
from lakehouse.query.daily_report import Account
from lakehouse.query.standing import spent_on
from lakehouse.settings import Settings
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan
from lakehouse.tables.schemas import Table
from resources.lakehouse import LakehouseResource

_PLAN_TAG = "lakehouse/plan"
_A_TENTH_S = 0.1
_COSTS = ("rows", "footage_s", "wall_s", "tokens", "model_s")

Metadata = Mapping[str, dg.MetadataValue | float | int | str]


def run_metadata(
    reports: Sequence[StageReport], lake: Lake, partition: Partition, tables: Sequence[Table]
) -> Metadata:
    """What a run did in a partition: added up over the stages of a family, which may have none."""
    return {
        "rows_written": sum(
            report.rows_written.get(table.name, 0) for report in reports for table in tables
        ),
        "skipped": sum(report.skipped for report in reports),
        "failed": sum(report.failed for report in reports),
        "removed": sum(report.removed for report in reports),
        "plan": _plan_of(reports),
        "dagster/partition_row_count": _count(lake, tables, partition.predicate),
        "dagster/uri": ", ".join(lake.uri(table) for table in tables),
    }


def partition_metadata(
    lakehouse: LakehouseResource,
    partition: Partition,
    reports: Sequence[StageReport],
    tables: Sequence[Table],
) -> Metadata:
    """How the partition stands now, whatever the run did: numbers that are there every time, so
    that the UI can plot them. What was spent is that of all runs so far."""
    of = lakehouse.standing(partition)
    spent = spent_on(lakehouse.lake, partition, [report.stage for report in reports])
    return {
        **link_metadata(lakehouse.settings, f"?{urlencode(_clips_of(partition))}"),
        **picture_metadata(of.sheet, f"clips of {partition}"),
        **account_metadata(of.account),
        **_error_metadata(lakehouse.lake, partition, tables),
        **_spent_metadata(spent),
    }


def account_metadata(of: Account) -> Metadata:
    """The ledger of some footage as a small table, and its main numbers."""
    shares = [
        ("passed", of.passed_s),
        ("rejected", of.rejected_s),
        *((f"rejected: {reason}", seconds) for reason, seconds in of.rejected),
        ("too short", of.too_short_s),
        ("failed", of.failed_s),
    ]
    waiting_s = of.footage_s - of.passed_s - of.rejected_s - of.too_short_s - of.failed_s
    if waiting_s > _A_TENTH_S:
        shares.append(("not looked at yet", waiting_s))
    metadata: dict[str, dg.MetadataValue | float | int] = {
        "ledger": _table(
            {
                "what": what,
                "seconds": round(seconds, 1),
                "share": f"{seconds / of.footage_s:.1%}" if of.footage_s else "",
            }
            for what, seconds in shares
        ),
        "recordings": of.recordings,
        "recordings_failed": of.recordings_failed,
        "footage_s": round(of.footage_s, 3),
        "failed_s": round(of.failed_s, 3),
    }
    if of.rejection_rate is not None:
        metadata["rejection_rate"] = round(of.rejection_rate, 4)
    return metadata


def picture_metadata(jpeg: bytes | None, text: str) -> Metadata:
    """A contact sheet, small enough to live in the event log; none where there is no picture."""
    if jpeg is None:
        return {}
    # These would end Markdown's text, and a camera may be called as it likes.
    shown = text.translate(str.maketrans("[]\\", "()/"))
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return {"contact_sheet": dg.MetadataValue.md(f"![{shown}]({source})")}


def link_metadata(settings: Settings, path: str) -> Metadata:
    """A link into the clip browser, where the settings say at which address it is."""
    if settings.browser_url is None:
        return {}
    return {"watch": dg.MetadataValue.url(f"{settings.browser_url.rstrip('/')}/{path}")}


def plan_tags(plan: Plan) -> Mapping[str, str]:
    """The tags of a run that is requested because of this plan: what it found, in a few words."""
    found = {name: count for name, count in plan.counts().items() if name != "current"}
    return {_PLAN_TAG: ", ".join(f"{count} {name}" for name, count in found.items() if count)}


def forecast_metadata(forecast: Forecast, costs: Sequence[Cost]) -> Metadata:
    """What a run is about to do, stage by stage, and what it takes at most by earlier runs."""
    return {
        "plan": _counted(
            [
                {
                    "stage": stage.stage,
                    **stage.plan.counts(),
                    "pending recordings": len(stage.pending),
                    "reusable": len(stage.reusable),
                    **{name: _or_unknown(getattr(cost, name)) for name in _COSTS},
                }
                for stage, cost in zip(forecast.stages, costs, strict=True)
            ]
        )
    }


def _count(lake: Lake, tables: Sequence[Table], where: str) -> int:
    return sum(lake.on(table, methodcaller("count_rows", filter=where)) for table in tables)


def _clips_of(partition: Partition) -> Mapping[str, str]:
    """What the clip browser calls the clips of a partition."""
    day = partition.day.isoformat()
    return {"first_day": day, "last_day": day, "camera": partition.camera}


def _error_metadata(lake: Lake, partition: Partition, tables: Sequence[Table]) -> Metadata:
    failing = [table for table in tables if "error" in table.schema.names]
    where = f"({partition.predicate}) AND error IS NOT NULL"
    return {"rows_with_error": _count(lake, failing, where)} if failing else {}


def _spent_metadata(spent: Mapping[str, float]) -> Metadata:
    metadata: dict[str, float] = {}
    if spent["footage_s"]:
        speed = spent["footage_s"] / max(spent["wall_s"], 1e-9)
        metadata["speed_x_real_time"] = round(speed, 2)
    of_models = ("tokens", "model_s", "tokens_saved", "model_s_saved")
    return metadata | {name: round(spent[name], 3) for name in of_models if spent[name]}


def _plan_of(reports: Sequence[StageReport]) -> dg.TableMetadataValue:
    """What the stages found to do, what of it was copied, and what is left to the next run."""
    return _counted(
        [
            {
                "stage": report.stage,
                **report.plan.counts(),
                "reused": report.reused,
                "left": report.left,
            }
            for report in reports
        ]
    )


def _counted(rows: Sequence[Mapping[str, str | int]]) -> dg.TableMetadataValue:
    """A table without the columns that are 0 in all rows: most are, and it would not fit."""
    said = {name for row in rows for name, value in row.items() if value != 0}
    return _table({name: value for name, value in row.items() if name in said} for row in rows)


def _table(rows: Iterable[Mapping[str, str | int | float]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(row) for row in rows]
    # Of records Dagster finds the columns itself; with none it must be told.
    columns = None if records else dg.TableSchema([dg.TableColumn("stage")])
    return dg.MetadataValue.table(records, columns)


def _or_unknown(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.1f}"
