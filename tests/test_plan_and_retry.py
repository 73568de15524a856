"""`lakehouse plan`, `lakehouse retry`, and what Dagster shows of a plan."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.report import plan_tags
from lakehouse.errors import UserError
from lakehouse.tables.plan import Plan
from lakehouse.tables.schemas import CLIPS, RECORDINGS
from tests.commands import Answer, lakehouse
from tests.forecasts import BROKEN, ROOMS
from tests.lakes import PARTITION, Site, film, key_of
from tests.orchestrated import materializations, run_chain


def stages_of(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["stage"]: row for row in answer.json}


@pytest.fixture
def calm(here: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A bucket in which nobody is writing, so that nothing waits for it."""
    monkeypatch.setenv("LAKEHOUSE_SETTLE_S", "0")
    return here.changed(settle_s=0.0)


def test_a_plan_tells_each_partition_and_stage_and_creates_nothing(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    told = stages_of(lakehouse("plan", "--format", "json"))
    assert told["recordings"]["camera"] == PARTITION.camera
    assert (told["recordings"]["new"], told["clips"]["new"]) == (1, 1)
    assert (told["scores"]["pending"], told["scores"]["rows"]) == (1, None)
    assert not Path(calm.settings.lake).exists()


def test_a_plan_for_people_says_what_is_not_known(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    shown = lakehouse("plan").out
    assert "1 recordings, ? rows" in shown
    assert "unknown" in shown


def test_after_a_run_there_is_nothing_to_do_and_then_costs_are_known(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    calm.run()
    assert "nothing to do in 1 partitions" in lakehouse("plan").err
    calm.put("new.mp4", film(("hall", 3)))
    told = stages_of(lakehouse("plan", "--format", "json"))
    assert told["clips"]["wall_s"] > 0
    assert "~0:0" in lakehouse("plan").out


def test_a_plan_warns_where_the_bucket_looks_as_if_it_were_not_there(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    calm.run()
    calm.remove(ROOMS)
    answer = lakehouse("plan", "--format", "json")
    assert stages_of(answer)["recordings"]["orphaned"] == 1
    assert "no footage lies in" in answer.err


def test_a_plan_counts_the_recordings_that_will_be_removed(
    calm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (ROOMS, "later.mp4"):
        calm.put(name, film(("yard", 2)))
    calm.run()
    calm.remove(ROOMS)
    calm.run()
    monkeypatch.setenv("LAKEHOUSE_REMOVED_FOOTAGE", "remove")
    assert "1 recordings that are gone will be removed" in lakehouse("plan").err
    calm.remove("later.mp4")
    calm.put("other.mp4", b"not a film")
    assert "2 recordings that are gone will be removed" in lakehouse("plan").err


def test_a_plan_of_another_day_tells_nothing(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 2)))
    assert lakehouse("plan", "--day", "2026-02-03", "--format", "json").json == []


@pytest.mark.usefixtures("home")
def test_retry_tries_again_what_fits_and_says_how_much(calm: Site) -> None:
    calm.put(BROKEN, b"not a film")
    calm.put("torn.mp4", b"nor this")
    calm.run()
    answer = lakehouse("retry", "--key", key_of("bro*"))
    assert "tried again: 1 of recordings, 1 of clips" in answer.err
    rows = calm.rows(RECORDINGS, "recording_id", "key", "attempts")
    tried = {row["key"]: row["attempts"] for row in rows}
    assert tried == {key_of(BROKEN): 2, key_of("torn.mp4"): 1}
    answer = lakehouse("retry", "--stage", "clips", "--error", "NOT A VIDEO")
    assert "tried again: 2 of clips" in answer.err
    assert {row["attempts"] for row in calm.rows(CLIPS, "clip_id", "attempts")} == {2, 3}


@pytest.mark.usefixtures("home")
def test_retry_leaves_what_was_given_up_until_it_is_told(
    calm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_LIMITS__ATTEMPTS", "1")
    calm.put(BROKEN, b"not a film")
    calm.run()
    answer = lakehouse("retry")
    assert "left alone, having failed 1 times: 1 of recordings, 1 of clips" in answer.err
    assert "--given-up" in answer.err
    assert "tried again" not in answer.err
    assert "tried again: 1 of recordings, 1 of clips" in lakehouse("retry", "--given-up").err


def test_retry_with_nothing_to_retry_runs_nothing(calm: Site) -> None:
    calm.put(ROOMS, film(("yard", 2)))
    assert lakehouse("retry").err == "nothing failed that fits\n"
    assert not Path(calm.settings.lake).exists()


@pytest.mark.usefixtures("calm")
def test_retry_of_a_stage_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UserError, match=r"--stage caption is no stage; known are .*captions:zh"):
        lakehouse("retry", "--stage", "caption")


# In Dagster


def shown_plan(metadata: Any) -> dict[str, dict[str, Any]]:
    return {record.data["stage"]: record.data for record in metadata["plan"].records}


def test_a_run_first_tells_what_the_whole_chain_will_do(
    calm: Site, instance: dg.DagsterInstance
) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    events = run_chain(instance).all_events
    (observed,) = [e for e in events if e.event_type_value == "ASSET_OBSERVATION"]
    made = [e for e in events if e.event_type_value == "ASSET_MATERIALIZATION"]
    assert events.index(observed) < events.index(made[0])
    plan = shown_plan(observed.asset_observation_data.asset_observation.metadata)
    assert (plan["clips"]["new"], plan["captions:zh"]["pending recordings"]) == (1, 1)
    assert plan["clips"]["wall_s"] == "unknown"


def test_a_materialization_tells_what_its_plan_was(
    calm: Site, instance: dg.DagsterInstance
) -> None:
    calm.put(ROOMS, film(("yard", 3)))
    calm.put(BROKEN, b"not a film")
    run_chain(instance)
    result = run_chain(instance)
    made = materializations(result)
    plans = {of.asset_key.to_user_string(): shown_plan(of.metadata) for of in made}
    assert (plans["clips"]["clips"]["failed"], plans["clips"]["clips"]["current"]) == (1, 1)
    assert plans["captions"].keys() == {"captions:default", "captions:zh"}
    assert not [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]


def test_a_requested_run_says_in_a_tag_what_was_found() -> None:
    plan = Plan(new=("a", "b"), orphaned=("c",), current=("d",))
    assert plan_tags(plan) == {"lakehouse/plan": "2 new, 1 orphaned"}
