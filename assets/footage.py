"""The assets that read footage: recordings, and clips with their frames."""

from collections.abc import Iterator

import dagster as dg

from assets.columns import lineage_metadata, table_metadata
from assets.partitions import day_camera, partition_of
from assets.report import forecast_metadata, partition_metadata, run_metadata
from assets.tags import retry_of
from assets.versions import FRESH_DAILY, ON_CHANGE, OWNERS, RETRIES, code_version
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from resources.lakehouse import LakehouseResource

_GROUP = "footage"


@dg.asset(
    partitions_def=day_camera,
    group_name=_GROUP,
    owners=OWNERS,
    kinds={"lance", "video"},
    freshness_policy=FRESH_DAILY,
    code_version=code_version("recordings"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(RECORDINGS),
    retry_policy=RETRIES,
)
def recordings(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row for each object of the bucket: codec, size, duration, frame rate, or the error.

    First of the chain, and so it tells what the whole run is going to do.
    """
    partition, retry = partition_of(context), retry_of(context)
    ahead = lakehouse.forecast(partition, retry)
    if not ahead.is_empty:
        plan = forecast_metadata(ahead, lakehouse.costs(ahead))
        key = context.partition_key
        context.log_event(dg.AssetObservation("recordings", partition=key, metadata=plan))
    reports = lakehouse.run_family("recordings", partition, context.run_id, retry=retry)
    now = partition_metadata(lakehouse, partition, reports, [RECORDINGS])
    done = run_metadata(reports, lakehouse.lake, partition, [RECORDINGS])
    return dg.MaterializeResult(metadata={**now, **done})


@dg.multi_asset(
    name="clips_and_frames",
    partitions_def=day_camera,
    specs=[
        dg.AssetSpec(
            "clips",
            deps=[recordings],
            description="Spans between two shot boundaries; the clips of a recording tile it.",
            group_name=_GROUP,
            owners=OWNERS,
            kinds={"lance", "video"},
            code_version=code_version("clips"),
            automation_condition=ON_CHANGE,
            metadata=table_metadata(CLIPS),
        ),
        dg.AssetSpec(
            "frames",
            deps=[recordings],
            description="A few JPEGs of each clip, with their measured signals.",
            group_name=_GROUP,
            owners=OWNERS,
            kinds={"lance", "video"},
            code_version=code_version("clips"),
            automation_condition=ON_CHANGE,
            metadata=table_metadata(FRAMES),
        ),
    ],
    retry_policy=RETRIES,
)
def clips_and_frames(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    """One decode pass over each new or changed recording."""
    partition = partition_of(context)
    chosen = context.run.asset_selection
    reports = lakehouse.run_clips(
        partition,
        context.run_id,
        retry=retry_of(context),
        then_captions=chosen is None or dg.AssetKey("captions") in chosen,
    )
    for table in (CLIPS, FRAMES):
        now = partition_metadata(lakehouse, partition, reports, [table])
        done = run_metadata(reports, lakehouse.lake, partition, [table])
        of_columns = lineage_metadata(table.name)
        yield dg.MaterializeResult(asset_key=table.name, metadata={**now, **done, **of_columns})
