"""What Dagster is told: partitions, materializations, the blocking check."""

import dagster as dg
import pytest

from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from tests.lakes import Site, film
from tests.orchestrated import materializations, run_chain


def test_definitions_load() -> None:
    from assets.definitions import definitions

    dg.Definitions.validate_loadable(definitions)


def test_one_run_materializes_the_whole_chain(here: Site, instance: dg.DagsterInstance) -> None:
    here.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    result = run_chain(instance)
    made = {event.asset_key.to_user_string() for event in materializations(result)}
    assert made == {
        "recordings",
        "clips",
        "frames",
        "scores",
        "model_scores",
        "captions",
        "embeddings",
        "caption_embeddings",
    }


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
    (row,) = check.metadata["unbalanced"].records
    assert (row.data["duration_s"], row.data["kept_s"]) == pytest.approx((4.0, 2.0))
    assert not result.success
    made = {event.asset_key.to_user_string() for event in materializations(result)}
    assert made == {"recordings", "clips", "frames"}
