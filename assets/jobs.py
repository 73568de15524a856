"""Jobs: the whole chain over one partition."""

import dagster as dg

from assets.partitions import day_camera

ingest_partition = dg.define_asset_job(
    "ingest_partition",
    selection=dg.AssetSelection.all(),
    partitions_def=day_camera,
    executor_def=dg.in_process_executor,
    description="Recordings, clips, frames, scores, captions and embeddings of one day and camera.",
)
