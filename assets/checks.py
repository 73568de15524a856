"""Checks that a partition must pass before anything is made from it."""

import warnings

import dagster as dg
import polars as pl
import polars.selectors as cs

from assets.partitions import day_camera, partition_of
from lakehouse.query.ledger import open_accounts, spent
from lakehouse.query.views import connect
from lakehouse.tables.patience import patiently
from resources.lakehouse import LakehouseResource

_SHOWN = 20  # recordings: the event log is no place for more


def _ledger_closes(
    context: dg.AssetCheckExecutionContext, lakehouse: LakehouseResource
) -> dg.AssetCheckResult:
    """Kept, too short and failed seconds add up to each recording's duration, within a frame."""
    partition = partition_of(context)

    def accounts() -> tuple[pl.DataFrame, pl.DataFrame]:
        with connect(lakehouse.lake, lakehouse.settings) as connection:
            return open_accounts(connection, partition), spent(connection, partition)

    unbalanced, by_fate = patiently(accounts)
    recordings, kept_s, too_short_s, failed_s = by_fate.row(0)
    plotted = {
        "recordings": recordings,
        "recordings_unbalanced": unbalanced.height,
        "kept_s": round(kept_s, 3),
        "too_short_s": round(too_short_s, 3),
        "failed_s": round(failed_s, 3),
    }
    if unbalanced.is_empty():
        return dg.AssetCheckResult(
            passed=True,
            description=(
                f"Every second of {recordings} recordings is accounted for: {kept_s:.1f} s kept, "
                f"{too_short_s:.1f} s too short, {failed_s:.1f} s failed."
            ),
            metadata=plotted,
        )
    first = unbalanced.row(0, named=True)
    spent_s = first["kept_s"] + first["too_short_s"] + first["failed_s"]
    return dg.AssetCheckResult(
        passed=False,
        description=(
            f"{unbalanced.height} recordings of {partition} do not add up; the first is "
            f"{first['key']}: {first['duration_s']:.3f} s long, {spent_s:.3f} s accounted for. "
            "Nothing more is made of this partition. Delete the rows of these recordings in clips: "
            "the next ingest decodes them anew."
        ),
        metadata={"unbalanced": _table(unbalanced.head(_SHOWN)), **plotted},
    )


def _table(accounts: pl.DataFrame) -> dg.TableMetadataValue:
    rows = accounts.with_columns(cs.float().round(3)).to_dicts()
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows])


with warnings.catch_warnings():
    # Partitioned checks are a preview, pinned with Dagster's version: one camera's pass must not
    # release another camera.
    warnings.simplefilter("ignore", dg.PreviewWarning)
    ledger_closes = dg.asset_check(
        asset="clips", name="ledger_closes", blocking=True, partitions_def=day_camera
    )(_ledger_closes)
