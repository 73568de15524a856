"""What Dagster loads: assets, checks, jobs, sensors and resources, put together."""

import dagster as dg

from assets import checks, footage, jobs, judgement, sensors
from resources.lakehouse import LakehouseResource

definitions = dg.Definitions(
    assets=[
        footage.recordings,
        footage.clips_and_frames,
        judgement.scores,
        judgement.captions,
        judgement.embeddings,
    ],
    asset_checks=[checks.ledger_closes],
    jobs=[jobs.ingest_partition],
    sensors=[sensors.footage_sensor, sensors.reprocess_sensor],
    resources={"lakehouse": LakehouseResource()},
    # A step of its own process costs seconds; parallelism comes from runs.
    executor=dg.in_process_executor,
)
