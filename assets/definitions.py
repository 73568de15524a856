"""What Dagster loads: assets, checks, jobs, schedules, sensors and resources, put together."""

import dagster as dg

from assets import checks, daily, footage, jobs, judgement, maintenance
from assets.sensors.events import events_sensor
from assets.sensors.footage import footage_sensor
from assets.sensors.reprocessing import reprocess_sensor
from resources.lakehouse import LakehouseResource

definitions = dg.Definitions(
    assets=[
        footage.recordings,
        footage.clips_and_frames,
        judgement.scores,
        judgement.model_scores,
        judgement.captions,
        judgement.embeddings,
        judgement.caption_embeddings,
        daily.daily_report,
    ],
    asset_checks=[checks.ledger_closes],
    jobs=[jobs.ingest_partition, jobs.report_day, maintenance.maintain],
    schedules=[maintenance.hourly_maintenance],
    sensors=[footage_sensor, events_sensor, reprocess_sensor],
    resources={"lakehouse": LakehouseResource()},
    # A step of its own process costs seconds; parallelism comes from runs.
    executor=dg.in_process_executor,
)
