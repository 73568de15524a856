"""The assets that read footage: recordings, and clips with their frames."""

from collections.abc import Iterator

import dagster as dg

from assets.partitions import day_camera, partition_of
from assets.report import run_metadata, sheet_metadata, table_metadata
from assets.tags import retries_failed
from assets.versions import ON_CHANGE, RETRIES, code_version
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from resources.lakehouse import LakehouseResource

_GROUP = "footage"


@dg.asset(
    partitions_def=day_camera,
    group_name=_GROUP,
    kinds={"lance", "video"},
    code_version=code_version("recordings"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(RECORDINGS),
    retry_policy=RETRIES,
)
def recordings(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row for each object of the bucket: codec, size, duration, frame rate, or the error."""
    partition = partition_of(context)
    reports = lakehouse.run_family(
        "recordings", partition, context.run_id, retry_failed=retries_failed(context)
    )
    return dg.MaterializeResult(
        metadata=run_metadata(reports, lakehouse.lake, partition, [RECORDINGS])
    )


@dg.multi_asset(
    name="clips_and_frames",
    partitions_def=day_camera,
    specs=[
        dg.AssetSpec(
            "clips",
            deps=[recordings],
            description="Spans between two shot boundaries; the clips of a recording tile it.",
            group_name=_GROUP,
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
    reports = lakehouse.run_family(
        "clips", partition, context.run_id, retry_failed=retries_failed(context)
    )
    sheet = sheet_metadata(lakehouse.lake, partition)
    for table in (CLIPS, FRAMES):
        metadata = run_metadata(reports, lakehouse.lake, partition, [table])
        yield dg.MaterializeResult(asset_key=table.name, metadata={**metadata, **sheet})
