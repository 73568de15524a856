"""A day with all kinds of footage, and looking ahead at it."""

from dataclasses import fields
from pathlib import Path

from lakehouse.engine.forecast import Forecast, StageForecast, forecast
from lakehouse.engine.retry import Retry
from lakehouse.storage.bucket import Bucket
from lakehouse.tables.lake import open_lake
from lakehouse.tables.plan import Plan
from tests.lakes import PARTITION, Site, film, site

ROOMS, ATTIC, DARK, BROKEN = "rooms.mp4", "attic.mp4", "dark.mp4", "broken.mp4"
_ID_LENGTH = 16


def ingested_day(folder: Path) -> Site:
    """Two clips that pass, another, a dark one, and what is no footage."""
    made = site(folder, settle_s=0.0)
    made.put(ROOMS, film(("yard", 3), ("hall", 2)))
    made.put(ATTIC, film(("shed", 3)))
    made.put(DARK, film(("cellar", 2)))
    made.put(BROKEN, b"not a film")
    made.run()
    return made


def look_ahead(site: Site, retry: Retry | None = None, bucket: Bucket | None = None) -> Forecast:
    """The forecast of the site's one partition, without creating its lake."""
    lake = open_lake(site.settings)
    return forecast(site.settings, bucket or site.bucket, lake, PARTITION, retry=retry)


def kept_word(
    site: Site, retry: Retry | None = None, bucket: Bucket | None = None
) -> dict[str, StageForecast]:
    """Look ahead, then run. What the run finds to do must be what was told; of pending recordings
    nothing was told. Returns what was."""
    before = site.versions()
    told = look_ahead(site, retry, bucket)
    assert site.versions() == before
    reports = site.run(retry=retry, stages=site.stages(bucket))
    for stage in told.stages:
        assert stage.plan == _without(reports[stage.stage].plan, stage.pending), stage.stage
    assert told.is_empty == (site.versions() == before)
    assert look_ahead(site, bucket=bucket).is_empty
    return {stage.stage: stage for stage in told.stages}


def _without(plan: Plan, recordings: tuple[str, ...]) -> Plan:
    """The plan but for the parents that belong to these recordings."""
    return Plan(
        **{
            of.name: tuple(
                parent for parent in getattr(plan, of.name) if parent[:_ID_LENGTH] not in recordings
            )
            for of in fields(Plan)
        }
    )
