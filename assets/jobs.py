"""Jobs: the whole chain over one partition, and the report of a day."""

import dagster as dg

from assets.partitions import day_camera, days

ingest_partition = dg.define_asset_job(
    "ingest_partition",
    # A report is of a whole day, and must never hold up footage.
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("daily_report"),
    partitions_def=day_camera,
    executor_def=dg.in_process_executor,
    description="Recordings, clips, frames, scores, captions and embeddings of one day and camera.",
)

report_day = dg.define_asset_job(
    "report_day",
    selection=dg.AssetSelection.assets("daily_report"),
    partitions_def=days,
    executor_def=dg.in_process_executor,
    description="What became of the footage of a day, and what that took.",
)
