"""Ingests that are killed, and whether the benchmark that kills them would see what it costs."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.kills import kill_over_and_over, report
from benchmarks.lakes_compared import contents, differences
from benchmarks.place import place
from benchmarks.watcher import Row, Seen, look, violations, what_is_complete
from lakehouse.tables.commit import remove_children
from lakehouse.tables.schemas import CLIPS, SCORES
from tests.lakes import Site
from tests.queried import first_clip


def test_killed_ingests_come_to_what_an_undisturbed_one_makes() -> None:
    with place(on_s3=False) as here:
        found = kill_over_and_over(here, kills=2, recordings=4, seed=1)
    assert found.kills == 2
    assert found.hold, report(found)


class TestComparing:
    def test_a_lake_is_what_itself_is(self, lake: Site) -> None:
        found = contents(lake.settings)
        assert all(of.is_none and of.rows for of in differences(found, found))

    def test_a_lost_row_is_told(self, lake: Site, copy: Site) -> None:
        remove_children(copy.lake, SCORES, [first_clip(copy)])
        (scores,) = self._differing(copy, lake)
        assert (scores.table, scores.lost, scores.foreign) == ("scores", 1, 0)

    def test_a_row_too_many_is_told(self, lake: Site, copy: Site) -> None:
        remove_children(copy.lake, SCORES, [first_clip(copy)])
        (scores,) = self._differing(lake, copy)
        assert (scores.table, scores.lost, scores.foreign) == ("scores", 0, 1)

    def test_a_row_that_says_something_else_is_told(self, lake: Site, copy: Site) -> None:
        clip = f"clip_id = '{first_clip(copy)}'"
        copy.lake.dataset(CLIPS).update({"start_s": "0.5"}, where=clip)
        (clips,) = self._differing(copy, lake)
        assert (clips.table, clips.changed, clips.lost) == ("clips", 1, 0)

    def test_a_row_that_is_there_twice_is_told(self, lake: Site, copy: Site) -> None:
        rows = copy.lake.dataset(SCORES).to_table()
        copy.lake.dataset(SCORES).insert(rows.slice(0, 1))
        (scores,) = self._differing(copy, lake)
        assert (scores.table, scores.doubled, scores.changed) == ("scores", 1, 0)

    def test_which_run_wrote_a_row_does_not_count(self, lake: Site, copy: Site) -> None:
        copy.lake.dataset(SCORES).update({"run_id": "'another'"})
        assert not self._differing(copy, lake)

    def _differing(self, found: Site, expected: Site) -> list[object]:
        compared = differences(contents(found.settings), contents(expected.settings))
        return [of for of in compared if not of.is_none]


class TestWatching:
    def test_a_whole_lake_is_in_order(self, lake: Site) -> None:
        seen = look(lake.settings)
        assert seen.rows["embeddings"]
        assert not violations(seen, what_is_complete([seen]))

    def test_a_recording_without_any_rows_is_in_order(self, seen: Seen) -> None:
        nothing = {view: {} for view in seen.rows}
        assert not violations(replace(seen, rows=nothing), what_is_complete([seen]))

    @pytest.mark.parametrize("view", ["clips", "frames"])
    def test_some_of_the_rows_of_a_recording_are_told(self, seen: Seen, view: str) -> None:
        of, rows = max(seen.rows[view].items(), key=lambda item: len(item[1]))
        some = {**seen.rows, view: {**seen.rows[view], of: rows - {min(rows)}}}
        told = violations(replace(seen, rows=some), what_is_complete([seen]))
        assert any(f"1 of {len(rows)} {view}" in line for line in told)

    @pytest.mark.parametrize("view", ["frames", "scores", "captions", "embeddings"])
    def test_a_row_without_its_clip_is_told(self, seen: Seen, view: str) -> None:
        alone = {name: {} for name in seen.rows} | {view: seen.rows[view]}
        told = violations(replace(seen, rows=alone), what_is_complete([seen]))
        assert told
        assert all("whose clip is not there" in line for line in told)

    @pytest.mark.parametrize("view", ["clips", "frames", "scores", "captions", "embeddings"])
    def test_a_row_of_a_replaced_object_is_told(self, seen: Seen, view: str) -> None:
        of = next(iter(seen.rows[view]))
        replaced = (seen.objects - {of}) | {of._replace(etag="another")}
        told = violations(replace(seen, objects=replaced), what_is_complete([seen]))
        assert any(line.startswith(view) and "not the recording's" in line for line in told)

    def test_a_row_that_no_object_becomes_is_told(self, seen: Seen) -> None:
        of, rows = next(iter(seen.rows["captions"].items()))
        other = rows | {Row(min(rows).clip_id, "key", "another hash")}
        captions = {**seen.rows, "captions": {**seen.rows["captions"], of: other}}
        told = violations(replace(seen, rows=captions), what_is_complete([seen]))
        assert Counter("does not become" in line for line in told) == {True: 1}


@pytest.fixture
def seen(lake: Site) -> Seen:
    return look(lake.settings)
