"""A site as Dagster sees it: its settings are those of the process, and an instance forgets it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakehouse.tables.partition import Partition
from tests.lakes import PARTITION, Site
from tests.lakes import site as empty_site

KEY = dg.MultiPartitionKey({"day": PARTITION.day.isoformat(), "camera": PARTITION.camera})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cameras", [PARTITION.camera])
        yield instance


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """An empty site whose settings are those of the process, as Dagster reads them."""
    site = empty_site(tmp_path / "site")
    read_by_dagster(site, monkeypatch, tmp_path)
    return site


def read_by_dagster(
    site: Site, monkeypatch: pytest.MonkeyPatch, folder: Path, **groups: dict[str, Any]
) -> None:
    """Make the site's settings, and further groups, those of the process."""
    file = folder / "lakehouse.toml"
    groups = {"clips": site.settings.clips.model_dump(exclude_defaults=True), **groups}
    file.write_text(
        f'bucket = "{site.settings.bucket}"\nlake = "{site.settings.lake}"\n'
        f"settle_s = {site.settings.settle_s}\n"
        + "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in of.items())
            for name, of in groups.items()
        )
    )
    monkeypatch.setenv("LAKEHOUSE_SETTINGS", str(file))


def run_chain(
    instance: dg.DagsterInstance, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    from assets.definitions import definitions

    return definitions.resolve_job_def("ingest_partition").execute_in_process(
        instance=instance, partition_key=KEY, raise_on_error=raise_on_error
    )


def materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    return [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    ]


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    from resources.lakehouse import LakehouseResource

    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"lakehouse": LakehouseResource()}
    )
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def footage_tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    from assets.sensors.footage import footage_sensor

    return tick(footage_sensor, instance, cursor)


def events_tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    from assets.sensors.events import events_sensor

    return tick(events_sensor, instance, cursor)


def requested(result: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in result.run_requests or ()]


def run_keys(result: dg.SensorResult) -> list[str | None]:
    return [request.run_key for request in result.run_requests or ()]


def ingest(site: Site, partition: Partition = PARTITION) -> None:
    """As far as sensors look: the recordings."""
    site.run(partition, stages=site.stages()[:1])
