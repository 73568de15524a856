"""What the events sensor asks for, over a bucket on S3, its queue and a spool."""

import time
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.events.spool import Spool
from lakehouse.storage.s3 import S3Bucket
from lakehouse.tables.partition import Partition
from tests.lakes import PARTITION, Site, film, key_of
from tests.lakes import site as empty_site
from tests.orchestrated import (
    events_tick,
    footage_tick,
    ingest,
    read_by_dagster,
    requested,
    run_keys,
)
from tests.told import notification, queue_of

FRONT_KEY = f"{PARTITION.camera}|{PARTITION.day}"
REAR = Partition(PARTITION.day, "rex-rear")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def site(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    s3_url: str,
    s3_settings: S3Settings,
    spool: Spool,
) -> Site:
    site = empty_site(tmp_path / "site").changed(bucket=s3_url, s3=s3_settings)
    groups = {
        "s3": {"endpoint": s3_settings.endpoint},
        "events": {
            "queue_url": queue_of(S3Bucket(s3_url, s3_settings), s3_settings),
            "spool": str(spool.folder),
        },
    }
    read_by_dagster(site, monkeypatch, tmp_path, **groups)
    return site


def test_an_object_asks_for_the_run_of_its_partition_within_seconds(
    site: Site, instance: dg.DagsterInstance
) -> None:
    started = time.monotonic()
    site.put("a b+ü.mp4", film(("yard", 2.0)), REAR)
    told = events_tick(instance)
    assert time.monotonic() - started < 5
    assert requested(told) == ["rex-rear|2026-01-02"]
    (added,) = told.dynamic_partitions_requests or ()
    assert list(added.partition_keys) == ["rex-rear"]


def test_what_one_sensor_asked_for_the_other_does_not_ask_for_again(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.put("a.mp4", film(("yard", 2.0)))
    told = events_tick(instance)
    (run_key,) = run_keys(told)
    assert run_keys(footage_tick(instance)) == [run_key]
    failing.execute_in_process(
        instance=instance, tags={"dagster/run_key": str(run_key)}, raise_on_error=False
    )
    assert requested(footage_tick(instance)) == []
    assert requested(events_tick(instance)) == []


def test_events_that_come_twice_and_in_the_wrong_order_ask_for_one_run(
    site: Site, spool: Spool, instance: dg.DagsterInstance
) -> None:
    site.put("a.mp4", film(("yard", 2.0)))
    for kind in ("ObjectRemoved:Delete", "ObjectCreated:Put", "ObjectCreated:Put"):
        spool.add(pushed(site, "a.mp4", kind))
    first = events_tick(instance)
    spool.add(pushed(site, "a.mp4"))
    late = events_tick(instance, first.cursor)
    assert requested(first) == [FRONT_KEY]
    assert run_keys(late) == run_keys(first)


def test_an_event_about_what_is_ingested_asks_for_nothing(
    site: Site, spool: Spool, instance: dg.DagsterInstance
) -> None:
    site.put("a.mp4", film(("yard", 2.0)))
    first = events_tick(instance)
    ingest(site)
    for kind in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        spool.add(pushed(site, "a.mp4", kind))
    assert requested(events_tick(instance, first.cursor)) == []


def test_removed_footage_asks_for_a_run(site: Site, instance: dg.DagsterInstance) -> None:
    site.put("a.mp4", film(("yard", 2.0)))
    site.put("b.mp4", film(("hall", 2.0)))
    first = events_tick(instance)
    ingest(site)
    assert isinstance(site.bucket, S3Bucket)
    site.bucket.remove(key_of("b.mp4"))
    assert requested(events_tick(instance, first.cursor)) == [FRONT_KEY]


def test_an_event_is_kept_until_the_tick_after_the_one_that_asked_for_its_run(
    site: Site, spool: Spool, instance: dg.DagsterInstance
) -> None:
    site.put("a.mp4", film(("yard", 2.0)))
    spool.add(pushed(site, "a.mp4"))
    lost_in_a_crash = events_tick(instance)
    again = events_tick(instance)
    assert run_keys(again) == run_keys(lost_in_a_crash) != []
    assert len(spool.take()) == 1
    events_tick(instance, again.cursor)
    assert spool.take() == []


def test_a_message_that_is_no_notification_is_dropped_with_a_warning(
    site: Site,
    spool: Spool,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spool.folder.mkdir()
    (spool.folder / "broken.json").write_bytes(b'{"Records": [{}]}')
    site.put("a.mp4", film(("yard", 2.0)))
    told = events_tick(instance)
    assert requested(told) == [FRONT_KEY]
    assert "broken.json: Records.0.eventName: Field required" in capfd.readouterr().err
    events_tick(instance, told.cursor)
    assert spool.take() == []


def test_keys_of_no_partition_are_counted_and_other_buckets_are_not(
    site: Site,
    spool: Spool,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    site.bucket.put("stray.mp4", b"")
    spool.add(notification("another", key_of("a.mp4")))
    spool.add(pushed(site, "a.mp4.part"))
    assert requested(events_tick(instance)) == []
    assert "1 objects do not fit the key pattern" in capfd.readouterr().err


def test_without_a_source_of_events_the_sensor_skips(
    here: Site, instance: dg.DagsterInstance
) -> None:
    from assets.sensors.events import events_sensor
    from resources.lakehouse import LakehouseResource

    del here
    context = dg.build_sensor_context(
        instance=instance, resources={"lakehouse": LakehouseResource()}
    )
    assert isinstance(events_sensor(context), dg.SkipReason)


def test_a_folder_that_is_said_to_tell_of_itself_is_a_mistake(
    here: Site,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_by_dagster(here, monkeypatch, tmp_path, events={"spool": "spool"})
    with pytest.raises(UserError, match="is a folder, of which no event tells"):
        events_tick(instance)


def pushed(site: Site, name: str, kind: str = "ObjectCreated:Put") -> bytes:
    """What the site's bucket would push."""
    bucket, _, prefix = site.settings.bucket.removeprefix("s3://").partition("/")
    return notification(bucket, f"{prefix}/{key_of(name)}", kind)


@dg.op
def fail() -> None:
    raise dg.Failure


@dg.job
def failing() -> None:
    fail()
