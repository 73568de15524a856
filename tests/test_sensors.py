"""What the footage sensor asks for: of new, changed and removed footage, by listing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.tables.partition import Partition
from tests.lakes import PARTITION, Site, film, key_of
from tests.orchestrated import footage_tick, ingest, requested, run_chain

FRONT_KEY = f"{PARTITION.camera}|{PARTITION.day}"
REAR = Partition(PARTITION.day, "rex-rear")


def test_the_sensor_adds_the_camera_and_requests_its_partition(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)), REAR)
    tick = footage_tick(instance)
    (request,) = tick.run_requests or ()
    assert request.partition_key == "rex-rear|2026-01-02"
    (added,) = tick.dynamic_partitions_requests or ()
    assert list(added.partition_keys) == ["rex-rear"]


def test_the_sensor_requests_nothing_that_is_up_to_date(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    ingest(here)
    assert not footage_tick(instance).run_requests


def test_a_late_file_asks_for_a_run_of_its_own_partition_under_a_new_key(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    here.put("a.mp4", film(("yard", 2.0)), REAR)
    first = footage_tick(instance)
    run_chain(instance)
    here.put("late.mp4", film(("hall", 2.0)))
    second = footage_tick(instance, first.cursor)
    keys = {r.partition_key: r.run_key for r in first.run_requests or ()}
    late = {r.partition_key: r.run_key for r in second.run_requests or ()}
    assert late["rex-front|2026-01-02"] != keys["rex-front|2026-01-02"]
    # Nothing has run for the other camera yet: it asks again, under the same key.
    assert late["rex-rear|2026-01-02"] == keys["rex-rear|2026-01-02"]


def test_keys_of_no_partition_do_not_stop_the_sensor(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.bucket.put("stray.mp4", b"")
    here.put("a.mp4", film(("yard", 2.0)))
    assert len(footage_tick(instance).run_requests or ()) == 1


def test_footage_moved_away_and_back_is_requested_again(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    away = here.put("moving.mp4", film(("hall", 2.0)))
    file = Path(here.settings.bucket) / away
    first = footage_tick(instance)
    run_chain(instance)
    elsewhere = file.rename(Path(here.settings.bucket).parent / "elsewhere.mp4")
    run_chain(instance)
    elsewhere.rename(file)
    (again,) = footage_tick(instance, first.cursor).run_requests or ()
    (before,) = first.run_requests or ()
    assert again.run_key != before.run_key


def test_removed_footage_is_found_beside_old_footage(
    here: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    here.put("b.mp4", film(("hall", 2.0)))
    ingest(here)
    settled = footage_tick(instance)
    assert requested(settled) == []
    here.remove("b.mp4")
    let_all_be_old(monkeypatch)
    assert requested(footage_tick(instance, settled.cursor)) == [FRONT_KEY]


def test_a_partition_that_was_emptied_is_found(here: Site, instance: dg.DagsterInstance) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    here.put("a.mp4", film(("yard", 2.0)), REAR)
    ingest(here)
    here.remove("a.mp4")
    assert FRONT_KEY in requested(footage_tick(instance))


def test_a_bucket_that_shows_nothing_is_not_taken_for_removed_footage(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    ingest(here)
    here.remove("a.mp4")
    assert requested(footage_tick(instance)) == []


def test_without_time_for_all_partitions_each_tick_looks_at_the_next_ones(
    here: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = [f"rex-{name}" for name in ("a", "b", "c")]
    for camera in cameras:
        partition = Partition(PARTITION.day, camera)
        here.put("kept.mp4", film(("yard", 2.0)), partition)
        here.put("lost.mp4", film(("yard", 2.0)), partition)
        ingest(here, partition)
        (Path(here.settings.bucket) / key_of("lost.mp4", partition)).unlink()
    let_all_be_old(monkeypatch)
    cursor = json.dumps({"since": datetime.now(UTC).isoformat()})
    monkeypatch.setattr("assets.sensors.footage._REVISIT_S", 0.0)
    ticks = []
    for _ in range(4):
        ticks.append(footage_tick(instance, cursor))
        cursor = ticks[-1].cursor or ""
    assert list(map(requested, ticks)) == [
        [f"{camera}|2026-01-02"] for camera in [*cameras, cameras[0]]
    ]


def let_all_be_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if hours had passed: no footage is new enough to be looked at for its own sake."""
    monkeypatch.setattr("assets.sensors.footage._OVERLAP", timedelta(hours=-1))
