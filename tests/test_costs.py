"""What a run takes is told from earlier runs, and from nothing else."""

from pathlib import Path

import pytest

from lakehouse.engine.costs import Cost, cost_of, history_of
from lakehouse.engine.local import run_stage
from lakehouse.tables.schemas import RECORDINGS
from tests.chat_server import chat_server, inspects, one_by_one
from tests.forecasts import ROOMS, ingested_day, look_ahead
from tests.lakes import PARTITION, Site, film, site


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return ingested_day(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def day(pristine: Site, tmp_path: Path) -> Site:
    """The same, to change."""
    return pristine.copied_to(tmp_path)


def costs(site: Site) -> dict[str, Cost]:
    history = history_of(site.stages())
    return {
        stage.stage: cost_of(stage, history, PARTITION.camera) for stage in look_ahead(site).stages
    }


def test_without_earlier_runs_nothing_is_claimed(tmp_path: Path) -> None:
    fresh = site(tmp_path, settle_s=0.0)
    fresh.put(ROOMS, film(("yard", 3)))
    assert costs(fresh)["clips"] == Cost(1, None, None, None, None, True, False)
    assert costs(fresh)["captions:zh"].rows is None


def test_what_is_up_to_date_takes_nothing(day: Site) -> None:
    assert set(costs(day).values()) == {Cost()}


def test_footage_that_was_never_probed_is_estimated_from_its_size(day: Site) -> None:
    day.put("new.mp4", film(("yard", 3), ("hall", 2)))
    rows = day.rows(RECORDINGS, "size_bytes", "duration_s", where="duration_s > 0")
    bytes_per_s = sum(row["size_bytes"] for row in rows) / sum(row["duration_s"] for row in rows)
    size_bytes = len(film(("yard", 3), ("hall", 2)))
    cost = costs(day)["clips"]
    assert cost.footage_s == pytest.approx(size_bytes / bytes_per_s)
    assert not cost.footage_is_known


def test_stale_recordings_take_the_time_that_their_footage_took(day: Site) -> None:
    (wall_s,) = day.sql("SELECT wall_s FROM runs WHERE stage = 'clips'").to_series()
    changed = day.changed(clips={"min_clip_s": 2.5, "max_clip_s": 5.0})
    cost = costs(changed)["clips"]
    assert cost.rows == 4
    assert cost.footage_s == pytest.approx(10)
    assert cost.wall_s == pytest.approx(wall_s)
    assert cost.footage_is_known


def test_what_is_pending_counts_as_many_rows_as_such_footage_had(day: Site) -> None:
    changed = costs(day.changed(clips={"min_clip_s": 2.5, "max_clip_s": 5.0}))
    assert changed["scores"].rows == pytest.approx(4)
    assert changed["captions:zh"].rows == pytest.approx(3)
    assert not changed["captions:zh"].rows_are_known


def test_tokens_are_those_of_earlier_captions_and_model_time_too(day: Site) -> None:
    with chat_server(one_by_one(inspects())) as server:
        captioner = {"backend": "openai", "base_url": server.base_url, "model": "m"}
        day.changed(captioners={"vlm": captioner}).run()
        other = day.changed(captioners={"vlm": captioner | {"max_tokens": 99}})
        runs = day.sql("SELECT made, tokens, model_s FROM runs WHERE stage = 'captions:vlm'")
        (made, tokens, model_s) = runs.row(0)
        assert made == 3
        assert tokens > 0
        cost = costs(other)["captions:vlm"]
        assert cost.tokens == pytest.approx(tokens)
        assert cost.model_s == pytest.approx(model_s)


def test_rows_that_were_copied_make_no_stage_look_quicker(day: Site) -> None:
    clips = day.stages()[1]
    before = history_of(day.stages()).rates("clips", clips.version)
    day.put("copy.mp4", film(("yard", 3), ("hall", 2)))
    reports = [run_stage(stage, PARTITION, "another-run") for stage in day.stages()]
    assert reports[1].reused == 1
    assert history_of(day.stages()).rates("clips", clips.version) == before
    day.put("copy-of-copy.mp4", film(("yard", 3), ("hall", 2)))
    day.put("new.mp4", film(("hall", 2), ("shed", 2)))
    reports = [run_stage(stage, PARTITION, "a-third-run") for stage in day.stages()]
    assert (reports[1].made, reports[1].reused) == (2, 1)
    after = history_of(day.stages()).rates("clips", clips.version)
    wall_s = day.sql("SELECT sum(wall_s) FROM runs WHERE stage = 'clips' AND made > reused").item()
    assert after.wall_s_per_row == pytest.approx(wall_s / 5)
