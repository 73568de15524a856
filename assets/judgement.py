"""The assets made from clips without reading footage: scores, captions, embeddings.

Steps that may run a model in their own process take a place in the pool `gpu`.
"""

from collections.abc import Sequence

import dagster as dg

from assets.columns import lineage_metadata, table_metadata
from assets.partitions import day_camera, partition_of
from assets.report import partition_metadata, run_metadata
from assets.tags import retry_of
from assets.versions import ON_CHANGE, OWNERS, RETRIES, code_version
from lakehouse.query.tables import (
    caption_embedding_tables,
    embedding_tables,
    frame_embedding_tables,
    score_tables,
)
from lakehouse.settings import load_settings
from lakehouse.tables import schemas
from lakehouse.tables.schemas import CAPTIONS, SCORES, Table
from resources.lakehouse import LakehouseResource

_GROUP = "judgement"
GPU_POOL = "gpu"
_NONE = "none"
"""In a table's name, where no model is configured: its columns can be shown all the same."""
_TALKING = ("model_scores", "captions")
"""Families that may take tokens; where none were taken, that is said too, to be plotted."""
_SETTINGS = load_settings()
_MODEL_SCORES = tuple(score_tables(_SETTINGS).values())
_EMBEDDINGS = (
    *embedding_tables(_SETTINGS).values(),
    *frame_embedding_tables(_SETTINGS).values(),
)
_CAPTION_EMBEDDINGS = tuple(caption_embedding_tables(_SETTINGS).values())


@dg.asset(
    deps=["clips", "frames"],
    partitions_def=day_camera,
    group_name=_GROUP,
    owners=OWNERS,
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
    owners=OWNERS,
    kinds={"lance"},
    code_version=code_version("model_scores"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(_MODEL_SCORES[0] if _MODEL_SCORES else schemas.model_scores(_NONE)),
    pool=GPU_POOL,
    retry_policy=RETRIES,
)
def model_scores(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What models think of each clip in which something can be seen, by each named scorer."""
    return _materialize("model_scores", _MODEL_SCORES, context, lakehouse)


@dg.asset(
    deps=[scores, model_scores, "frames"],
    partitions_def=day_camera,
    group_name=_GROUP,
    owners=OWNERS,
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
    owners=OWNERS,
    kinds={"lance"},
    code_version=code_version("embeddings"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(_EMBEDDINGS[0] if _EMBEDDINGS else schemas.embeddings(_NONE, 1)),
    pool=GPU_POOL,
    retry_policy=RETRIES,
)
def embeddings(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A vector for each kept clip, by each named embedder."""
    return _materialize("embeddings", _EMBEDDINGS, context, lakehouse)


@dg.asset(
    deps=[captions],
    partitions_def=day_camera,
    group_name=_GROUP,
    owners=OWNERS,
    kinds={"lance"},
    code_version=code_version("caption_embeddings"),
    automation_condition=ON_CHANGE,
    metadata=table_metadata(
        _CAPTION_EMBEDDINGS[0] if _CAPTION_EMBEDDINGS else schemas.caption_embeddings(_NONE, 1)
    ),
    pool=GPU_POOL,
    retry_policy=RETRIES,
)
def caption_embeddings(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A vector for each caption's text, by each named embedder of captions."""
    return _materialize("caption_embeddings", _CAPTION_EMBEDDINGS, context, lakehouse)


def _materialize(
    family: str,
    tables: Sequence[Table],
    context: dg.AssetExecutionContext,
    lakehouse: LakehouseResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    partition = partition_of(context)
    reports = lakehouse.run_family(family, partition, context.run_id, retry=retry_of(context))
    now = partition_metadata(lakehouse, partition, reports, tables)
    return dg.MaterializeResult(
        metadata={
            **now,
            **({"tokens": now.get("tokens", 0)} if family in _TALKING else {}),
            **run_metadata(reports, lakehouse.lake, partition, tables),
            **lineage_metadata(family),
        }
    )
