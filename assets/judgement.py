"""The assets made from clips without reading footage: scores, captions, embeddings."""

from collections.abc import Sequence

import dagster as dg

from assets.partitions import day_camera, partition_of
from assets.report import run_metadata, sheet_metadata, table_metadata
from assets.tags import retry_of
from assets.versions import ON_CHANGE, RETRIES, code_version
from lakehouse.query.views import embedding_tables
from lakehouse.settings import load_settings
from lakehouse.tables.schemas import CAPTIONS, SCORES, Table
from resources.lakehouse import LakehouseResource

_GROUP = "judgement"
GPU_POOL = "gpu"
_EMBEDDINGS = tuple(embedding_tables(load_settings()).values())


@dg.asset(
    deps=["clips", "frames"],
    partitions_def=day_camera,
    group_name=_GROUP,
    kinds={"lance", "numpy"},
    code_version=code_version("scores"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(SCORES),
    retry_policy=RETRIES,
)
def scores(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What was measured of each kept clip; the verdict is a query over it."""
    return _materialize("scores", [SCORES], context, lakehouse)


@dg.asset(
    deps=[scores, "frames"],
    partitions_def=day_camera,
    group_name=_GROUP,
    kinds={"lance"},
    code_version=code_version("captions"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(CAPTIONS),
    pool=GPU_POOL,
    retry_policy=RETRIES,
)
def captions(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A text about each clip that passes, by each named captioner."""
    return _materialize("captions", [CAPTIONS], context, lakehouse)


@dg.asset(
    deps=["clips", "frames"],
    partitions_def=day_camera,
    group_name=_GROUP,
    kinds={"lance"},
    code_version=code_version("embeddings"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(_EMBEDDINGS[0]) if _EMBEDDINGS else None,
    pool=GPU_POOL,
    retry_policy=RETRIES,
)
def embeddings(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A vector for each kept clip, by each named embedder."""
    return _materialize("embeddings", _EMBEDDINGS, context, lakehouse)


def _materialize(
    family: str,
    tables: Sequence[Table],
    context: dg.AssetExecutionContext,
    lakehouse: LakehouseResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    partition = partition_of(context)
    reports = lakehouse.run_family(family, partition, context.run_id, retry=retry_of(context))
    metadata = run_metadata(reports, lakehouse.lake, partition, tables)
    return dg.MaterializeResult(metadata={**metadata, **sheet_metadata(lakehouse.lake, partition)})
