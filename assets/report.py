"""What the UI shows: of a run before and after it, its plan; of a materialization counts, speed,
schema and a picture."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller

import dagster as dg

from lakehouse.engine.costs import Cost
from lakehouse.engine.forecast import Forecast
from lakehouse.engine.local import StageReport
from lakehouse.query.contact_sheet import contact_sheet
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Plan
from lakehouse.tables.schemas import Table

_PLAN_TAG = "lakehouse/plan"
_COSTS = ("rows", "footage_s", "wall_s", "tokens", "model_s")

Metadata = Mapping[str, dg.MetadataValue | dg.TableSchema | float | int | str]


def table_metadata(table: Table) -> Metadata:
    """The schema of a table, as the UI draws it."""
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            constraints=dg.TableColumnConstraints(
                nullable=field.nullable, unique=field.name == table.key
            ),
        )
        for field in table.schema
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def run_metadata(
    reports: Sequence[StageReport], lake: Lake, partition: Partition, tables: Sequence[Table]
) -> Metadata:
    """What a run did in a partition: added up over the stages of a family, which may have none."""
    footage_s = sum(report.footage_s for report in reports)
    wall_s = sum(report.wall_s for report in reports)
    metadata: dict[str, dg.MetadataValue | dg.TableSchema | float | int | str] = {
        "rows_written": sum(
            report.rows_written.get(table.name, 0) for report in reports for table in tables
        ),
        "skipped": sum(report.skipped for report in reports),
        "failed": sum(report.failed for report in reports),
        "removed": sum(report.removed for report in reports),
        "plan": _plan_of(reports),
        "dagster/partition_row_count": sum(
            lake.on(table, methodcaller("count_rows", filter=partition.predicate))
            for table in tables
        ),
        "dagster/uri": ", ".join(lake.uri(table) for table in tables),
    }
    if footage_s:
        metadata["footage_s"] = round(footage_s, 3)
        metadata["speed_x_real_time"] = round(footage_s / max(wall_s, 1e-9), 2)
    units = sum((Counter(report.units) for report in reports), Counter())
    metadata |= {unit: amount for unit, amount in units.items() if amount}
    return metadata


def plan_tags(plan: Plan) -> Mapping[str, str]:
    """The tags of a run that is requested because of this plan: what it found, in a few words."""
    found = {name: count for name, count in plan.counts().items() if name != "current"}
    return {_PLAN_TAG: ", ".join(f"{count} {name}" for name, count in found.items() if count)}


def forecast_metadata(forecast: Forecast, costs: Sequence[Cost]) -> Metadata:
    """What a run is about to do, stage by stage, and what it takes at most by earlier runs."""
    return {
        "plan": _table(
            {
                "stage": stage.stage,
                **stage.plan.counts(),
                "pending recordings": len(stage.pending),
                "reusable": len(stage.reusable),
                **{name: _or_unknown(getattr(cost, name)) for name in _COSTS},
            }
            for stage, cost in zip(forecast.stages, costs, strict=True)
        )
    }


def _plan_of(reports: Sequence[StageReport]) -> dg.TableMetadataValue:
    """What the stages found to do, what of it was copied, and what is left to the next run."""
    return _table(
        {
            "stage": report.stage,
            **report.plan.counts(),
            "reused": report.reused,
            "left": report.left,
        }
        for report in reports
    )


def _table(rows: Iterable[Mapping[str, str | int]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(row) for row in rows]
    # Of records Dagster finds the columns itself; with none it must be told.
    columns = None if records else dg.TableSchema([dg.TableColumn("stage")])
    return dg.MetadataValue.table(records, columns)


def _or_unknown(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.1f}"


def sheet_metadata(lake: Lake, partition: Partition) -> Metadata:
    """The partition's contact sheet, small enough to live in the event log."""
    jpeg = contact_sheet(lake, partition)
    if jpeg is None:
        return {}
    picture = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return {"contact_sheet": dg.MetadataValue.md(f"![clips of {partition}]({picture})")}
