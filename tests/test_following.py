"""Captions at the heels of decoding: begun early, never twice, and never in the way."""

import threading
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.engine.following import Follower
from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.schemas import CAPTIONS, CLIPS
from tests.chat_server import Answer, Request, chat_server, inspects
from tests.lakes import PARTITION, Site, film
from tests.orchestrated import materializations, read_by_dagster, run_chain

WAIT_S = 30.0


def asks(base_url: str) -> dict[str, dict[str, object]]:
    backend = {"backend": "openai", "base_url": base_url, "model": "vlm", "max_retries": 0}
    return {"captioners.vlm": backend}


def two_rooms(here: Site) -> None:
    here.put("a.mp4", film(("yard", 2.0)))
    here.put("b.mp4", film(("hall", 2.0)))


def test_captions_of_a_recording_begin_while_the_next_is_being_decoded(
    here: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from resources.lakehouse import LakehouseResource, heard_by

    asked, decoded = threading.Event(), 0

    def answers(_: Request) -> Answer:
        asked.set()
        return inspects()

    def second_waits(stage: Stage, _: Made) -> None:
        nonlocal decoded
        decoded += stage.name == "clips"
        if stage.name == "clips" and decoded == 2:
            assert asked.wait(WAIT_S), "nothing was asked while the second was not yet done"

    two_rooms(here)
    with chat_server(answers) as server:
        monkeypatch.setenv("LAKEHOUSE_WORKERS", "1")
        read_by_dagster(here, monkeypatch, tmp_path, **asks(server.base_url))
        lakehouse = LakehouseResource()
        lakehouse.run_family("recordings", PARTITION, "run", retry=None)
        with heard_by(second_waits):
            lakehouse.run_clips(PARTITION, "run", retry=None, then_captions=True)
        for family in ("scores", "model_scores", "captions"):
            lakehouse.run_family(family, PARTITION, "run", retry=None)
    assert len(here.rows(CAPTIONS)) == 2


def test_no_clip_is_asked_about_twice_and_all_is_told_by_its_own_asset(
    here: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    two_rooms(here)
    with chat_server(lambda _: inspects()) as server:
        read_by_dagster(here, monkeypatch, tmp_path, **asks(server.base_url))
        result = run_chain(instance)
        assert len(server.requests) == len(here.rows(CLIPS)) == 2
    told = {made.asset_key.to_user_string(): made.metadata for made in materializations(result)}
    assert told["captions"]["rows_written"].value == 2
    assert told["captions"]["tokens"].value == 2 * (321 + 45)


def test_a_server_that_is_gone_fails_the_captions_and_not_the_clips(
    here: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    two_rooms(here)
    read_by_dagster(here, monkeypatch, tmp_path, **asks("http://127.0.0.1:1/v1"))
    result = run_chain(instance, raise_on_error=False)
    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    assert failed == {"captions"}
    assert len(here.rows(CLIPS)) == 2


def test_several_commits_during_one_sweep_make_for_one_more() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    sweeps = 0

    def sweep() -> list[object]:
        nonlocal sweeps
        sweeps += 1
        begun.release()
        assert go_on.acquire(timeout=WAIT_S)
        return []

    follower = Follower(sweep)  # type: ignore[arg-type]
    follower.start()
    follower.committed()
    assert begun.acquire(timeout=WAIT_S)
    for _ in range(5):
        follower.committed()
    go_on.release()
    assert begun.acquire(timeout=WAIT_S)
    follower.end()
    go_on.release()
    follower.join()
    assert sweeps == 2


def test_nothing_is_begun_after_the_end() -> None:
    follower = Follower(lambda: pytest.fail("it was the end"))
    follower.start()
    follower.end()
    follower.committed()
    follower.join()
    assert follower.reports == []
