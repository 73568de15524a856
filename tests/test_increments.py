"""The chain a second time: only what changed is made again, and a killed run costs what it lost."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lakehouse.engine import local, writer
from lakehouse.engine.local import StageReport
from lakehouse.engine.retry import Retry
from lakehouse.errors import UserError
from lakehouse.settings import MeasuredCaptioner
from lakehouse.stages import scores
from lakehouse.stages.recordings import recording_id
from lakehouse.stages.stage import Made, Stage
from lakehouse.tables.schemas import CAPTIONS, CLIPS, FRAMES, RECORDINGS, SCORES, Table, embeddings
from tests.chat_server import Answer, Request, chat_server, inspects, one_by_one, says
from tests.lakes import LENIENT, ShutBucket, Site, film, key_of, site

EMBEDDINGS = embeddings("default", 240)
TABLES = (RECORDINGS, CLIPS, FRAMES, SCORES, CAPTIONS, EMBEDDINGS)
ROOMS, ATTIC, DARK = "rooms.mp4", "attic.mp4", "dark.mp4"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two clips that pass, another, a dark one, and what is no footage."""
    made = site(tmp_path_factory.mktemp("pristine"))
    made.put(ROOMS, film(("yard", 3), ("hall", 2)))
    made.put(ATTIC, film(("shed", 3)))
    made.put(DARK, film(("cellar", 2)))
    made.put("broken.mp4", b"not a film")
    made.run()
    return made


@pytest.fixture
def day(pristine: Site, tmp_path: Path) -> Site:
    """The same, to change."""
    return pristine.copied_to(tmp_path)


def changed_tables(site: Site, before: dict[str, int]) -> set[str]:
    """The tables with a commit since `before`."""
    return {name for name, version in site.versions().items() if version != before[name]}


def written(reports: dict[str, StageReport]) -> dict[str, int]:
    """The rows that each stage wrote, where it wrote any."""
    return {name: report.written for name, report in reports.items() if report.written}


def recordings_in(site: Site, table: Table) -> set[str]:
    return {row["recording_id"] for row in site.rows(table, "recording_id")}


def rewritten(site: Site, table: Table, before: dict[str, int]) -> set[str]:
    """Keys of the rows that were written since `before`, new ones included."""
    return {key for key, version in site.row_versions(table).items() if before.get(key) != version}


def shut(site: Site) -> tuple[Stage, ...]:
    """The chain over a bucket that fails the test if footage is read from it."""
    return site.stages(ShutBucket(site.settings.bucket))


def of(name: str) -> str:
    return recording_id(key_of(name))


# Nothing changed


def test_a_second_run_writes_nothing_and_reads_no_footage(day: Site) -> None:
    before = day.versions()
    reports = day.run(stages=shut(day))
    assert written(reports) == {}
    assert changed_tables(day, before) == set()
    assert sum(report.footage_s for report in reports.values()) == 0


def test_a_report_counts_what_was_done_and_what_was_not(day: Site) -> None:
    day.put("new.mp4", b"not a film either")
    day.remove(ATTIC)
    report = day.run()["recordings"]
    assert (report.written, report.failed, report.removed, report.skipped) == (1, 1, 1, 3)


def test_what_failed_is_tried_again_only_on_request(day: Site) -> None:
    before = {table.name: day.row_versions(table) for table in TABLES}
    reports = day.run(retry=Retry())
    assert written(reports) == {"recordings": 1, "clips": 1}
    for table in TABLES:
        again = rewritten(day, table, before[table.name])
        assert {key[:16] for key in again} <= {of("broken.mp4")}


# Objects come, change and go


def test_a_new_object_touches_only_its_own_rows(day: Site) -> None:
    before = {table.name: day.row_versions(table) for table in TABLES}
    day.put("new.mp4", film(("hall", 3)))
    day.run()
    for table in TABLES:
        assert {key[:16] for key in rewritten(day, table, before[table.name])} == {of("new.mp4")}
        assert before[table.name].keys() <= day.row_versions(table).keys()


def test_a_replaced_object_leaves_no_child_of_the_old_one(day: Site) -> None:
    before = {table.name: day.row_versions(table) for table in TABLES}
    day.put(ROOMS, film(("shed", 2)))
    day.run()
    fresh = {table.name: rewritten(day, table, before[table.name]) for table in TABLES}
    for table in TABLES:
        rows = day.rows(table, table.key, "recording_id")
        own = {row[table.key] for row in rows if row["recording_id"] == of(ROOMS)}
        assert own == fresh[table.name]
    assert [len(fresh[table.name]) for table in TABLES] == [1, 1, 2, 1, 2, 1]


def test_an_object_replaced_by_what_is_no_footage_is_one_failed_clip(day: Site) -> None:
    day.put(ROOMS, b"not a film")
    day.run()
    (clip,) = day.rows(CLIPS, "status", where=f"recording_id = '{of(ROOMS)}'")
    assert clip["status"] == "failed"
    for table in (FRAMES, SCORES, CAPTIONS, EMBEDDINGS):
        assert of(ROOMS) not in recordings_in(day, table)


def test_an_object_that_is_repaired_is_made_without_being_asked_for(day: Site) -> None:
    day.put("broken.mp4", film(("yard", 2)))
    day.run()
    for table in TABLES:
        assert of("broken.mp4") in recordings_in(day, table)


def test_an_object_put_again_with_the_same_content_is_neither_decoded_nor_captioned_again(
    day: Site,
) -> None:
    before = day.contents()
    day.put(ROOMS, film(("yard", 3), ("hall", 2)))
    reports = day.run()
    reused = {name: report.reused for name, report in reports.items() if report.reused}
    assert reused == {
        "clips": 1,
        "captions:default": 2,
        "captions:zh": 2,
        "embeddings:default": 2,
    }
    assert day.contents()["captions"] == before["captions"]


# Settings change


def test_a_lenient_threshold_only_captions_what_passes_now(day: Site) -> None:
    before, rows = day.versions(), day.row_versions(CAPTIONS)
    lenient = day.changed(thresholds=LENIENT)
    reports = lenient.run(stages=shut(lenient))
    assert written(reports) == {"captions:default": 1, "captions:zh": 1}
    assert changed_tables(day, before) == {"captions"}
    assert {key[:16] for key in rewritten(day, CAPTIONS, rows)} == {of(DARK)}


def test_a_threshold_that_moves_to_and_fro_costs_nothing(day: Site) -> None:
    before, captions = day.versions(), day.rows(CAPTIONS)
    strict = day.changed(thresholds={"max_darkness": 0.3})
    assert written(strict.run()) == {}
    assert strict.sql("SELECT count(*) FROM verdicts WHERE passed").item() == 2
    assert day.rows(CAPTIONS) == captions
    assert written(day.run()) == {}
    assert changed_tables(day, before) == set()


def test_a_caption_that_is_no_longer_true_goes_even_if_its_clip_fails_today(day: Site) -> None:
    strict = day.changed(thresholds={"max_darkness": 0.3})
    day.put(ROOMS, film(("hall", 3)))
    strict.run()
    assert of(ROOMS) not in recordings_in(day, CAPTIONS)


def test_changed_caption_settings_make_captions_of_that_variant_only(day: Site) -> None:
    before, rows = day.versions(), day.row_versions(CAPTIONS)
    chinese = MeasuredCaptioner(language="zh")
    changed = day.changed(captioners={"default": chinese, "zh": chinese})
    reports = changed.run(stages=shut(changed))
    assert written(reports) == {"captions:default": 3}
    assert changed_tables(day, before) == {"captions"}
    assert {key.partition(":")[2] for key in rewritten(day, CAPTIONS, rows)} == {"default"}
    assert {row["language"] for row in day.rows(CAPTIONS)} == {"zh"}


def test_changed_clip_settings_cut_every_recording_again(day: Site) -> None:
    reports = day.changed(clips={"min_clip_s": 2.0, "max_clip_s": 4.5}).run()
    assert "recordings" not in written(reports)
    assert reports["clips"].footage_s == sum(
        row["duration_s"] or 0 for row in day.rows(RECORDINGS, "duration_s")
    )


def test_a_clip_that_is_too_short_by_new_settings_loses_what_was_made_of_it(day: Site) -> None:
    day.changed(clips={"min_clip_s": 2.5, "max_clip_s": 5.0}).run()
    statuses = {row["clip_id"]: row["status"] for row in day.rows(CLIPS, "clip_id", "status")}
    kept = {name for name, status in statuses.items() if status == "kept"}
    assert sorted(statuses.values()) == ["failed", "kept", "kept", "too_short", "too_short"]
    for table in (SCORES, CAPTIONS, EMBEDDINGS):
        assert {row["clip_id"] for row in day.rows(table, "clip_id")} == kept


def test_clips_that_new_settings_cut_alike_are_not_scored_again(day: Site) -> None:
    before = day.versions()
    day.changed(clips={"max_clip_s": 5.0}).run()
    assert changed_tables(day, before) == {"clips", "frames"}


def test_a_new_version_of_scores_that_alters_no_value_stops_there(
    day: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = day.versions()
    monkeypatch.setattr(scores, "_CODE", scores._CODE + 1)
    assert written(day.run(stages=shut(day))) == {"scores": 4}
    assert changed_tables(day, before) == {"scores"}


# A captioner with a server


def captioned(site: Site, base_url: str, variant: str = "vlm", **settings: Any) -> Site:
    """The site with one captioner that asks a server, beside `zh`."""
    captioner = {"backend": "openai", "base_url": base_url, "model": "m", "max_retries": 0}
    return site.changed(
        captioners={variant: captioner | settings, "zh": {"backend": "measured", "language": "zh"}}
    )


def test_a_failed_caption_is_not_asked_for_again_unless_on_request(day: Site) -> None:
    gibberish = says("no JSON")
    with chat_server(one_by_one(inspects(), *[gibberish] * 4, inspects())) as server:
        asking = captioned(day, server.base_url, max_in_flight=1)
        assert asking.run()["captions:vlm"].failed == 2
        asked = len(server.requests)
        report = asking.run()["captions:vlm"]
        assert (report.written, report.skipped, len(server.requests)) == (0, 3, asked)
        report = asking.run(retry=Retry())["captions:vlm"]
        assert (report.written, report.failed, len(server.requests)) == (2, 0, asked + 2)
    texts = day.rows(CAPTIONS, "text", "error", where="variant = 'vlm'")
    assert all(row["text"] and row["error"] is None for row in texts)


def test_a_failed_caption_keeps_the_answer_that_caused_it(day: Site) -> None:
    with chat_server(one_by_one(says("no JSON"))) as server:
        captioned(day, server.base_url).run()
    for row in day.rows(CAPTIONS, "text", "error", "raw_answer", where="variant = 'vlm'"):
        assert row["text"] is None
        assert row["error"]
        assert row["raw_answer"] == "no JSON"


def test_a_changed_prompt_makes_captions_of_its_variant_only(day: Site, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("What stands in the way?")
    with chat_server(one_by_one(inspects())) as server:
        asking = captioned(day, server.base_url, prompt_file=prompt)
        asking.run()
        before, rows = asking.versions(), asking.row_versions(CAPTIONS)
        prompt.write_text("What lies on the floor?")
        assert written(asking.run(stages=shut(asking))) == {"captions:vlm": 3}
        assert changed_tables(asking, before) == {"captions"}
        assert {k.partition(":")[2] for k in rewritten(asking, CAPTIONS, rows)} == {"vlm"}
        assert "What lies on the floor?" in str(server.requests[-1].content)


def test_a_clip_that_shows_something_else_is_captioned_again(day: Site) -> None:
    with chat_server(one_by_one(inspects())) as server:
        asking = captioned(day, server.base_url)
        asking.run()
        day.put(ATTIC, film(("hall", 3)))
        assert asking.run()["captions:vlm"].skipped == 2
        frames = day.rows(FRAMES, "frame_id", "jpeg", where=f"recording_id = '{of(ATTIC)}'")
        assert server.requests[-1].frames == [frame["jpeg"] for frame in frames]


def test_where_the_server_is_and_how_much_it_is_asked_changes_no_caption(day: Site) -> None:
    with chat_server(one_by_one(inspects())) as server, chat_server(one_by_one()) as moved:
        captioned(day, server.base_url).run()
        again = captioned(day, moved.base_url, max_in_flight=3, timeout_s=9.0)
        assert written(again.run()) == {}
        assert moved.requests == []


def test_what_a_server_answered_before_it_was_gone_is_kept(day: Site) -> None:
    answers = one_by_one(inspects(), inspects(), Answer(status=401))
    with chat_server(answers) as server:
        asking = captioned(day, server.base_url, max_in_flight=1)
        with pytest.raises(UserError):
            asking.run()
    assert len(day.rows(CAPTIONS, "clip_id", where="variant = 'vlm'")) == 2


def test_each_caption_is_asked_for_with_the_clips_own_frames(day: Site) -> None:
    jpegs: list[list[bytes]] = []

    def look(request: Request) -> Answer:
        jpegs.append(request.frames)
        return inspects()

    with chat_server(look) as server:
        captioned(day, server.base_url).run()
    passing = day.sql("SELECT clip_id FROM verdicts WHERE passed").get_column("clip_id")
    stored = [
        [row["jpeg"] for row in day.rows(FRAMES, "frame_id", "jpeg", where=f"clip_id = '{clip}'")]
        for clip in passing
    ]
    assert sorted(jpegs) == sorted(stored)


# While it runs


def test_a_listener_hears_of_each_parent_before_it_is_committed(day: Site) -> None:
    heard: dict[str, list[int]] = {}

    def listen(stage: Stage, _: Made) -> None:
        heard.setdefault(stage.name, []).append(day.lake.dataset(stage.table).version)

    for name in ("a.mp4", "b.mp4", "c.mp4"):
        day.put(name, film(("yard", 2)))
    before = day.versions()
    day.run(on_made=listen)
    assert heard["recordings"] == [before["recordings"]] * 3
    assert heard["clips"] == [before["clips"] + done for done in range(3)]


def run_and_be_killed(site: Site, table: str, commits: int) -> None:
    """Run the chain with a commit for each parent, and die before a table's next one."""
    done = {"commits": 0}
    replace, add = writer.replace_children, writer.add_children

    def or_die(into: Table) -> None:
        if into.name == table:
            if done["commits"] == commits:
                os.kill(os.getpid(), signal.SIGKILL)
            done["commits"] += 1

    def replace_or_die(lake: Any, into: Table, parents: Sequence[str], rows: Any) -> int:
        or_die(into)
        return replace(lake, into, parents, rows)

    def add_or_die(lake: Any, into: Table, rows: Any) -> int:
        or_die(into)
        return add(lake, into, rows)

    local._COMMIT_ROWS = 1
    writer.replace_children, writer.add_children = replace_or_die, add_or_die
    site.run()


@pytest.mark.parametrize(
    ("table", "commits"),
    [("recordings", 2), ("frames", 1), ("clips", 1), ("captions", 4), (EMBEDDINGS.name, 1)],
)
def test_a_killed_run_and_another_make_what_one_run_makes(
    pristine: Site, tmp_path: Path, table: str, commits: int
) -> None:
    unmade = pristine.copied_to(tmp_path).changed(lake=str(tmp_path / "fresh"))
    spawn = multiprocessing.get_context("spawn")  # Lance does not survive a fork
    process = spawn.Process(target=run_and_be_killed, args=(unmade, table, commits))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert unmade.contents() != pristine.contents()
    unmade.run()
    assert unmade.contents() == pristine.contents()


def test_a_killed_run_keeps_the_commits_it_made(pristine: Site, tmp_path: Path) -> None:
    unmade = pristine.copied_to(tmp_path).changed(lake=str(tmp_path / "fresh"))
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=run_and_be_killed, args=(unmade, "clips", 2))
    process.start()
    process.join()
    finished = {row["recording_id"] for row in unmade.rows(CLIPS, "recording_id")}
    assert len(finished) == 2
    reports = unmade.run()
    assert reports["recordings"].written == 0
    assert reports["clips"].skipped == 2
