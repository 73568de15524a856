"""What Dagster is told: partitions, materializations, the blocking check, the sensors."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from tests.lakes import PARTITION, Site, film
from tests.lakes import site as empty_site

KEY = dg.MultiPartitionKey({"day": PARTITION.day.isoformat(), "camera": PARTITION.camera})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cameras", [PARTITION.camera])
        yield instance


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """A site whose settings are those of the process, as Dagster reads them."""
    site = empty_site(tmp_path / "site")
    file = tmp_path / "lakehouse.toml"
    clips = "\n".join(
        f"{name} = {json.dumps(value)}"
        for name, value in site.settings.clips.model_dump(exclude_defaults=True).items()
    )
    file.write_text(
        f'bucket = "{site.settings.bucket}"\nlake = "{site.settings.lake}"\n[clips]\n{clips}\n'
    )
    monkeypatch.setenv("LAKEHOUSE_SETTINGS", str(file))
    return site


def run_chain(
    instance: dg.DagsterInstance, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    from assets.definitions import definitions

    return definitions.resolve_job_def("ingest_partition").execute_in_process(
        instance=instance, partition_key=KEY, raise_on_error=raise_on_error
    )


def sensor_tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    from assets.sensors import footage_sensor
    from resources.lakehouse import LakehouseResource

    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"lakehouse": LakehouseResource()}
    )
    result = footage_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_definitions_load() -> None:
    from assets.definitions import definitions

    dg.Definitions.validate_loadable(definitions)


def test_one_run_materializes_the_whole_chain(here: Site, instance: dg.DagsterInstance) -> None:
    here.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    result = run_chain(instance)
    made = {event.asset_key.to_user_string() for event in materializations(result)}
    assert made == {"recordings", "clips", "frames", "scores", "captions", "embeddings"}


def materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    return [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    ]


def test_a_materialization_shows_counts_speed_and_a_picture(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    here.put("broken.mp4", b"nothing")
    shown = {
        event.asset_key.to_user_string(): event.metadata
        for event in materializations(run_chain(instance))
    }["clips"]
    assert shown["failed"].value == 1
    assert shown["footage_s"].value == pytest.approx(4.0)
    assert shown["speed_x_real_time"].value > 0
    assert shown["dagster/partition_row_count"].value == 3
    assert "data:image/jpeg;base64," in shown["contact_sheet"].value


def test_the_second_run_commits_nothing(here: Site, instance: dg.DagsterInstance) -> None:
    here.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    run_chain(instance)
    before = {t.name: here.lake.dataset(t).version for t in (RECORDINGS, CLIPS, FRAMES)}
    run_chain(instance)
    assert {t.name: here.lake.dataset(t).version for t in (RECORDINGS, CLIPS, FRAMES)} == before


def test_a_partition_that_does_not_add_up_is_blocked(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    run_chain(instance)
    # The clip that is left looks current, so only the ledger can notice.
    here.lake.dataset(CLIPS).delete("start_s > 0")
    result = run_chain(instance, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "a.mp4" in (check.description or "")
    assert not result.success
    made = {event.asset_key.to_user_string() for event in materializations(result)}
    assert made == {"recordings", "clips", "frames"}


def test_the_sensor_adds_the_camera_and_requests_its_partition(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)), Partition(PARTITION.day, "rex-rear"))
    tick = sensor_tick(instance)
    (request,) = tick.run_requests or ()
    assert request.partition_key == "rex-rear|2026-01-02"
    (added,) = tick.dynamic_partitions_requests or ()
    assert list(added.partition_keys) == ["rex-rear"]


def test_the_sensor_requests_nothing_that_is_up_to_date(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    run_chain(instance)
    assert not sensor_tick(instance).run_requests


def test_a_late_file_asks_for_a_run_of_its_own_partition_under_a_new_key(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    here.put("a.mp4", film(("yard", 2.0)), Partition(PARTITION.day, "rex-rear"))
    first = sensor_tick(instance)
    run_chain(instance)
    here.put("late.mp4", film(("hall", 2.0)))
    second = sensor_tick(instance, first.cursor)
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
    assert len(sensor_tick(instance).run_requests or ()) == 1


def test_footage_moved_away_and_back_is_requested_again(
    here: Site, instance: dg.DagsterInstance
) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    away = here.put("moving.mp4", film(("hall", 2.0)))
    file = Path(here.settings.bucket) / away
    first = sensor_tick(instance)
    run_chain(instance)
    elsewhere = file.rename(Path(here.settings.bucket).parent / "elsewhere.mp4")
    run_chain(instance)
    elsewhere.rename(file)
    (again,) = sensor_tick(instance, first.cursor).run_requests or ()
    (before,) = first.run_requests or ()
    assert again.run_key != before.run_key
