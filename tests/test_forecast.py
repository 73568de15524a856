"""What is told before a run is what the run then does, whatever changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse.engine.forecast import StageForecast
from lakehouse.engine.retry import Retry
from lakehouse.settings import MeasuredCaptioner
from lakehouse.stages import clips, recordings, scores
from lakehouse.stages.recordings import recording_id
from lakehouse.storage.bucket import ObjectInfo
from lakehouse.storage.local import LocalBucket
from tests.chat_server import chat_server, inspects, one_by_one, says
from tests.forecasts import BROKEN, ROOMS, ingested_day, kept_word, look_ahead
from tests.lakes import LENIENT, Site, film, key_of

CHAIN = ("recordings", "clips", "scores", "captions:default", "captions:zh", "embeddings:default")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return ingested_day(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def day(pristine: Site, tmp_path: Path) -> Site:
    """The same, to change."""
    return pristine.copied_to(tmp_path)


def counted(told: dict[str, StageForecast]) -> dict[str, dict[str, int]]:
    """What each stage has to do or to wait for, and what it leaves."""
    return {
        name: counts
        for name, stage in told.items()
        if (
            counts := {
                of: count
                for of, count in [*stage.plan.counts().items(), ("pending", len(stage.pending))]
                if count and of != "current"
            }
        )
    }


def all_pending(count: int, *stages: str) -> dict[str, dict[str, int]]:
    return {stage: {"pending": count} for stage in stages}


FAILED = {"recordings": {"failed": 1}, "clips": {"failed": 1}}
"""What is told of the broken file, as long as nothing is asked."""


def of(name: str) -> str:
    return recording_id(key_of(name))


# Nothing changed


def test_of_a_lake_that_is_up_to_date_nothing_but_failures_is_told(day: Site) -> None:
    assert counted(kept_word(day)) == FAILED


def test_a_lake_that_does_not_exist_is_told_as_new_and_not_created(
    pristine: Site, tmp_path: Path
) -> None:
    unmade = pristine.changed(lake=str(tmp_path / "unmade"))
    told = {stage.stage: stage for stage in look_ahead(unmade).stages}
    assert not (tmp_path / "unmade").exists()
    assert counted(told) == {
        "recordings": {"new": 4},
        "clips": {"new": 4},
        **all_pending(4, *CHAIN[2:]),
    }
    assert counted(kept_word(unmade)) == counted(told)


# Objects


def test_a_new_file_is_new_until_its_clips_and_pending_from_there(day: Site) -> None:
    day.put("new.mp4", film(("hall", 3)))
    told = kept_word(day)
    assert told["recordings"].plan.new == told["clips"].plan.new == (of("new.mp4"),)
    assert {told[stage].pending for stage in CHAIN[2:]} == {(of("new.mp4"),)}


def test_a_new_file_that_is_no_footage_keeps_the_word_too(day: Site) -> None:
    day.put("new.mp4", b"not a film either")
    kept_word(day)


def test_a_replaced_file_is_stale_and_what_becomes_of_its_rows_pending(day: Site) -> None:
    day.put(ROOMS, film(("shed", 2)))
    assert counted(kept_word(day)) == {
        "recordings": {"stale": 1, "failed": 1},
        "clips": {"stale": 1, "failed": 1},
        **all_pending(1, *CHAIN[2:]),
    }


def test_a_file_that_now_holds_fewer_clips_keeps_the_word(day: Site) -> None:
    day.put(ROOMS, film(("yard", 3)))
    kept_word(day)


def test_a_repaired_file_is_stale_and_no_longer_failed(day: Site) -> None:
    day.put(BROKEN, film(("yard", 2)))
    assert kept_word(day)["clips"].plan.stale == (of(BROKEN),)


def test_a_removed_file_leaves_the_later_stages_nothing_to_do(day: Site) -> None:
    day.remove(ROOMS)
    assert counted(kept_word(day)) == {
        "recordings": {"orphaned": 1, "failed": 1},
        "clips": {"failed": 1},
    }


def moved(site: Site, name: str, new_name: str) -> None:
    file = Path(site.settings.bucket) / key_of(name)
    file.rename(file.with_name(new_name))


def test_a_file_that_comes_back_as_it_was_needs_a_probe_and_nothing_else(
    day: Site, tmp_path: Path
) -> None:
    file = Path(day.settings.bucket) / key_of(ROOMS)
    file.rename(tmp_path / ROOMS)
    kept_word(day)
    (tmp_path / ROOMS).rename(file)
    assert counted(kept_word(day)) == {**FAILED, "recordings": {"new": 1, "failed": 1}}


def test_a_broken_file_that_comes_back_may_be_read_this_time(day: Site, tmp_path: Path) -> None:
    file = Path(day.settings.bucket) / key_of(BROKEN)
    file.rename(tmp_path / BROKEN)
    kept_word(day)
    (tmp_path / BROKEN).rename(file)
    assert kept_word(day)["clips"].pending == (of(BROKEN),)


def test_a_file_that_comes_back_as_another_is_stale_where_clips_are_left(day: Site) -> None:
    day.remove(ROOMS)
    day.run()
    day.put(ROOMS, film(("shed", 2)))
    told = kept_word(day)
    assert told["recordings"].plan.new == told["clips"].plan.stale == (of(ROOMS),)


def test_a_renamed_file_may_be_reused_and_its_length_is_known(day: Site) -> None:
    moved(day, ROOMS, "renamed.mp4")
    told = kept_word(day)
    assert told["recordings"].plan.orphaned == (of(ROOMS),)
    assert told["clips"].reusable == told["clips"].plan.new == (of("renamed.mp4"),)
    assert told["clips"].work_footage.known_s == pytest.approx(5)
    assert told["clips"].work_footage.unprobed_bytes == 0


class Growing(LocalBucket):
    """A folder in which one file grows whenever it is listed."""

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        with (Path(self.url) / key_of("growing.mp4")).open("ab") as file:
            file.write(b"more")
        return super().list(prefix, start_after)


def test_a_file_that_is_still_being_written_waits(day: Site) -> None:
    growing = day.changed(settle_s=0.01)
    growing.put("growing.mp4", b"some")
    told = kept_word(growing, bucket=Growing(day.settings.bucket))
    assert counted(told)["recordings"] == {"waiting": 1, "failed": 1}
    assert not told["clips"].pending


# Settings and versions


def test_changed_clip_settings_make_clips_stale_and_the_rest_pending(day: Site) -> None:
    changed = day.changed(clips={"min_clip_s": 2.5, "max_clip_s": 5.0})
    assert counted(kept_word(changed)) == {
        "recordings": {"failed": 1},
        "clips": {"stale": 4},
        **all_pending(4, *CHAIN[2:]),
    }


def test_a_changed_captioner_makes_its_own_captions_stale(day: Site) -> None:
    chinese = MeasuredCaptioner(language="zh")
    changed = day.changed(captioners={"default": chinese, "zh": chinese})
    assert counted(kept_word(changed)) == {"captions:default": {"stale": 3}, **FAILED}


def test_lenient_thresholds_make_captions_new(day: Site) -> None:
    told = kept_word(day.changed(thresholds=LENIENT))
    assert counted(told) == {
        "captions:default": {"new": 1},
        "captions:zh": {"new": 1},
        **FAILED,
    }
    assert told["captions:zh"].work_footage.known_s == pytest.approx(2)


def test_strict_thresholds_change_nothing(day: Site) -> None:
    assert counted(kept_word(day.changed(thresholds={"max_darkness": 0.3}))) == FAILED


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        (recordings, {"recordings": {"stale": 4}, **all_pending(4, *CHAIN[1:])}),
        (clips, {**FAILED, "clips": {"stale": 4}, **all_pending(4, *CHAIN[2:])}),
        (
            scores,
            {**FAILED, "scores": {"stale": 4}, **all_pending(3, "captions:default", "captions:zh")},
        ),
    ],
)
def test_a_changed_stage_is_stale_and_what_hangs_on_it_pending(
    day: Site, monkeypatch: pytest.MonkeyPatch, module: Any, changes: dict[str, dict[str, int]]
) -> None:
    monkeypatch.setattr(module, "_CODE", 99)
    assert counted(kept_word(day)) == changes


# Failures


def test_what_failed_is_retried_on_request_and_may_have_clips_then(day: Site) -> None:
    assert counted(kept_word(day, Retry())) == {
        "recordings": {"retried": 1},
        **all_pending(1, *CHAIN[1:]),
    }


def test_what_failed_too_often_is_left_unless_it_is_asked_for(day: Site) -> None:
    tired = day.changed(limits={"attempts": 1})
    assert counted(kept_word(tired, Retry())) == {
        "recordings": {"given_up": 1},
        "clips": {"given_up": 1},
    }
    assert kept_word(tired, Retry(given_up=True))["recordings"].plan.retried == (of(BROKEN),)


def test_failed_captions_are_left_until_they_are_asked_for(day: Site) -> None:
    with chat_server(one_by_one(*[says("no JSON")] * 6, inspects())) as server:
        captioner = {
            "backend": "openai",
            "base_url": server.base_url,
            "model": "m",
            "max_retries": 0,
        }
        asking = day.changed(captioners={"vlm": captioner})
        assert counted(kept_word(asking)) == {"captions:vlm": {"new": 3}, **FAILED}
        assert counted(kept_word(asking))["captions:vlm"] == {"failed": 3}
        retry = Retry(stage="captions", key=key_of("roo*"))
        assert counted(kept_word(asking, retry))["captions:vlm"] == {"failed": 1, "retried": 2}
