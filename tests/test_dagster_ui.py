"""What the Dagster UI shows of assets and their partitions, and when a day's report is made."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakehouse.query.tables import all_tables
from lakehouse.settings import load_settings
from lakehouse.tables import schemas
from lakehouse.tables.schemas import DAILY_REPORTS, PROVENANCE
from tests.lakes import PARTITION, Site, film
from tests.orchestrated import materializations, run_chain
from tests.queried import REAR
from tests.web_sites import HERE, browsing

DAY = PARTITION.day.isoformat()
ASSETS = {
    "recordings",
    "clips",
    "frames",
    "scores",
    "model_scores",
    "captions",
    "embeddings",
    "caption_embeddings",
    "daily_report",
}


def specs() -> dict[str, dg.AssetSpec]:
    from assets.definitions import definitions

    found = definitions.resolve_all_asset_specs()
    return {spec.key.to_user_string(): spec for spec in found}


def shown(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Of each asset that was materialized, its metadata."""
    return {of.asset_key.to_user_string(): dict(of.metadata) for of in materializations(result)}


def run_report(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    from assets.definitions import definitions

    return definitions.resolve_job_def("report_day").execute_in_process(
        instance=instance, partition_key=DAY
    )


def test_every_asset_says_what_it_is_and_whose() -> None:
    assert specs().keys() == ASSETS
    for name, spec in specs().items():
        assert spec.description, name
        assert spec.owners == ["team:footage"], name
        assert spec.kinds, name


def test_every_column_of_every_asset_is_described() -> None:
    for name, spec in specs().items():
        columns = spec.metadata["dagster/column_schema"].columns
        assert columns, name
        assert all(column.description for column in columns), name


def test_owners_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from lakehouse.errors import UserError

    monkeypatch.setenv("LAKEHOUSE_OWNERS", '["nobody"]')
    with pytest.raises(UserError, match="owners"):
        load_settings()


def test_lineage_names_columns_that_there_are() -> None:
    from assets.columns import LINEAGE

    tables = [*all_tables(load_settings()), schemas.model_scores("judge")]
    tables.append(schemas.caption_embeddings("any", 1))
    columns = {table.name.partition("-")[0]: set(table.schema.names) for table in tables}
    for family, sources in LINEAGE.items():
        assert sources.keys() <= columns[family]
        for asset, column in (source for made_of in sources.values() for source in made_of):
            assert column in columns[asset]


def test_every_column_has_a_lineage_unless_a_run_or_the_settings_say_it() -> None:
    from assets.columns import LINEAGE

    said = {field.name for field in PROVENANCE}
    said |= {"variant", "language", "model", "prompt_version", "is_total", "runs", "wall_s"}
    said |= {"tokens", "model_s", "tokens_saved", "model_s_saved"}
    tables = {
        "clips": schemas.CLIPS,
        "frames": schemas.FRAMES,
        "scores": schemas.SCORES,
        "model_scores": schemas.model_scores("judge"),
        "captions": schemas.CAPTIONS,
        "embeddings": schemas.embeddings("any", 1),
        "caption_embeddings": schemas.caption_embeddings("any", 1),
        "daily_reports": DAILY_REPORTS,
    }
    for family, table in tables.items():
        missing = set(table.schema.names) - said - LINEAGE[family].keys()
        assert missing <= ({"reused_from"} if family == "caption_embeddings" else set()), family


@pytest.fixture
def ingested(here: Site, instance: dg.DagsterInstance) -> dict[str, dict[str, Any]]:
    here.put("a.mp4", film(("yard", 2.0), ("cellar", 2.0)))
    here.put("broken.mp4", b"nothing")
    return shown(run_chain(instance))


def test_a_partition_shows_its_ledger(ingested: dict[str, dict[str, Any]]) -> None:
    rows = {row.data["what"]: row.data["seconds"] for row in ingested["captions"]["ledger"].records}
    assert rows["passed"] == pytest.approx(2.0)
    assert rows["rejected: dark"] == rows["rejected"] == pytest.approx(2.0)
    assert rows["too short"] == rows["failed"] == 0.0


def test_what_was_rejected_stands_before_its_reasons(ingested: dict[str, dict[str, Any]]) -> None:
    rows = [row.data["what"] for row in ingested["captions"]["ledger"].records]
    assert rows == ["passed", "rejected", "rejected: dark", "too short", "failed"]


def test_a_partition_that_was_not_scored_yet_says_so(ingested: dict[str, dict[str, Any]]) -> None:
    rows = {row.data["what"]: row.data["share"] for row in ingested["clips"]["ledger"].records}
    assert rows["not looked at yet"] == "100.0%"


def test_a_column_says_what_it_is_made_of() -> None:
    columns = specs()["caption_embeddings"].metadata["dagster/column_schema"].columns
    (vector,) = (column for column in columns if column.name == "vector")
    assert vector.description.endswith(" *Made of captions (`text`).*")


def test_every_job_schedule_and_sensor_says_what_it_is_for() -> None:
    from assets.definitions import definitions

    repository = definitions.get_repository_def()
    named = [*repository.sensor_defs, *repository.schedule_defs]
    named += [repository.get_job(name) for name in ("ingest_partition", "report_day", "maintain")]
    assert all(one.description for one in named)


def test_columns_show_what_they_are_made_of(ingested: dict[str, dict[str, Any]]) -> None:
    lineage = ingested["caption_embeddings"]["dagster/column_lineage"].value.deps_by_column
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage["vector"]] == [
        ("captions", "text")
    ]
    assert "dagster/column_lineage" not in ingested["recordings"]


@pytest.mark.usefixtures("ingested")
def test_numbers_are_there_to_plot_even_where_a_run_did_nothing(
    instance: dg.DagsterInstance,
) -> None:
    again = shown(run_chain(instance))["captions"]
    assert again["footage_s"].value == pytest.approx(4.0)
    assert again["rejection_rate"].value == pytest.approx(0.5)
    assert again["failed"].value == again["tokens"].value == again["rows_with_error"].value == 0
    assert again["recordings_failed"].value == 1
    assert again["speed_x_real_time"].value > 0


def test_failures_are_those_of_the_partition_and_not_of_the_last_run(
    ingested: dict[str, dict[str, Any]], instance: dg.DagsterInstance
) -> None:
    again = shown(run_chain(instance))["clips"]
    assert (ingested["clips"]["failed"].value, again["failed"].value) == (1, 0)
    assert ingested["clips"]["rows_with_error"].value == again["rows_with_error"].value == 1


def test_a_plan_shows_only_what_was_found(ingested: dict[str, dict[str, Any]]) -> None:
    (row,) = ingested["recordings"]["plan"].records
    assert row.data == {"stage": "recordings", "new": 2}


def test_what_a_run_puts_into_the_event_log_is_small(ingested: dict[str, dict[str, Any]]) -> None:
    for name, metadata in ingested.items():
        written = dg.AssetMaterialization(name, metadata=metadata)
        assert len(dg.serialize_value(written)) < 100_000


def test_without_an_address_there_is_no_link(ingested: dict[str, dict[str, Any]]) -> None:
    assert "watch" not in ingested["clips"]


def test_a_partition_and_a_day_link_to_the_clip_browser(
    here: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAKEHOUSE_BROWSER_URL", f"{HERE}/")
    here.put("a.mp4", film(("yard", 2.0)))
    of_clips = shown(run_chain(instance))["clips"]["watch"].value
    of_day = shown(run_report(instance))["daily_report"]["watch"].value
    assert of_clips == f"{HERE}/?first_day={DAY}&last_day={DAY}&camera=rex-front"
    assert of_day == f"{HERE}/days/{DAY}"
    here.put("b.mp4", film(("hall", 2.0)), REAR)
    here.run(REAR)
    with browsing(here, tmp_path / "previews") as client:
        page = client.get(of_clips).text
        assert page.count('class="card"') == 1
        assert DAY in client.get(of_day).text


@pytest.mark.usefixtures("ingested")
def test_the_check_says_what_was_accounted_for(instance: dg.DagsterInstance) -> None:
    (check,) = run_chain(instance).get_asset_check_evaluations()
    assert check.passed
    assert check.description == (
        "Every second of 2 recordings is accounted for: 4.0 s kept, 0.0 s too short, 0.0 s failed."
    )
    assert check.metadata["kept_s"].value == pytest.approx(4.0)


@pytest.mark.usefixtures("ingested")
def test_the_report_of_a_day_is_an_asset_and_a_row(
    here: Site, instance: dg.DagsterInstance
) -> None:
    made = shown(run_report(instance))["daily_report"]
    assert "| rex-front | 2 | 0:04.0 |" in made["report"].value
    assert made["recordings_failed"].value == 1
    assert made["contact_sheet"].value.startswith("![clips of 2026-01-02](data:image/jpeg;base64,")
    assert [row["camera"] for row in here.rows(DAILY_REPORTS)] == ["", "rex-front"]


def test_a_day_without_footage_can_be_reported(here: Site, instance: dg.DagsterInstance) -> None:
    made = shown(run_report(instance))["daily_report"]
    assert made["report"].value == f"No footage of {DAY}."
    assert here.rows(DAILY_REPORTS) == []


def test_a_report_is_made_when_any_camera_of_the_day_changes(
    here: Site, instance: dg.DagsterInstance
) -> None:
    from assets.definitions import definitions

    instance.add_dynamic_partitions("cameras", ["rex-rear"])  # of which nothing is ever made
    here.put("a.mp4", film(("yard", 2.0)))
    cursor, requested = None, []
    for _ in range(2):
        evaluated = dg.evaluate_automation_conditions(
            definitions,
            instance,
            asset_selection=dg.AssetSelection.assets("daily_report"),
            cursor=cursor,
        )
        cursor = evaluated.cursor
        requested.append(set(evaluated.get_requested_partitions(dg.AssetKey("daily_report"))))
        run_chain(instance)
    assert requested == [set(), {DAY}]


def test_the_chain_never_waits_for_a_report() -> None:
    from assets.definitions import definitions

    graph = definitions.resolve_asset_graph()
    assert not graph.get(dg.AssetKey("daily_report")).child_keys
    selected = definitions.resolve_job_def("ingest_partition").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in selected} == ASSETS - {"daily_report"}


def test_nothing_of_dagsters_own_core_is_imported() -> None:
    root = Path(__file__).parent.parent
    for folder in ("assets", "resources"):
        for file in (root / folder).rglob("*.py"):
            assert "dagster._" not in file.read_text(encoding="utf-8"), file
