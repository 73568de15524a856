"""Model scores: who is scored, what the views and verdicts make of it, and what changes cost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.settings import load_settings
from lakehouse.tables.schemas import CAPTIONS, SCORES, model_scores
from tests.chat_server import Answer, ChatServer, Request, Script, chat_server, inspects, says
from tests.lakes import Site, film, site

USEFUL = model_scores("useful")


def scores(*values: float) -> Script:
    """A model that judges so, in turn, and captions what it is asked to caption."""
    left = cycle(values)

    def answers(request: Request) -> Answer:
        asked = request.body["response_format"]["json_schema"]["schema"]["properties"]
        if "score" not in asked:
            return inspects()
        return says(json.dumps({"reason": "as seen", "score": next(left)}))

    return answers


@contextmanager
def judged(
    folder: Path, script: Script | None = None, **judge: Any
) -> Iterator[tuple[Site, ChatServer, dict[str, Any]]]:
    with chat_server(script or scores(9)) as server:
        asked = {"backend": "openai", "base_url": server.base_url, "model": "vlm", "max_retries": 0}
        scorer = {**asked, "question": "How useful is this clip for an inspection?", **judge}
        made = site(folder, scorers={"useful": scorer}, captioners={"vlm": asked})
        made.put("a.mp4", film(("yard", 2.0), ("hall", 2.0), ("cellar", 2.0)))
        yield made, server, scorer


def scored(of: Site) -> dict[str, Any]:
    return {row["clip_id"]: row for row in of.rows(USEFUL)}


def test_clips_in_which_something_can_be_seen_are_scored(tmp_path: Path) -> None:
    with judged(tmp_path) as (lake, _, _):
        lake.run()
        rows = scored(lake)
    assert len(rows) == 2  # of three clips; the cellar is dark
    assert all(row["score"] == 9 and row["tokens_in"] == 321 for row in rows.values())


def test_scores_stand_beside_what_was_measured_and_touch_none_of_it(tmp_path: Path) -> None:
    with judged(tmp_path) as (lake, _, _):
        plain = lake.changed(scorers={})
        plain.run()
        before = plain.rows(SCORES)
        lake.run()
        assert lake.rows(SCORES) == before
        shown = lake.sql("SELECT clip_id, sharpness_p50, useful, useful_error FROM scores")
    assert shown.height == 3
    assert shown.get_column("useful").null_count() == 1
    assert shown.get_column("sharpness_p50").null_count() == 0


def test_a_score_below_its_limit_rejects_with_a_reason_and_keeps_captions_away(
    tmp_path: Path,
) -> None:
    with judged(tmp_path, scores(9, 2), min_score=5) as (lake, _, _):
        lake.run()
        reasons = lake.sql("SELECT reasons FROM verdicts WHERE NOT passed ORDER BY reasons")
        assert reasons.get_column("reasons").to_list() == [["dark"], ["low_useful"]]
        assert len(lake.rows(CAPTIONS)) == 1


def test_another_limit_asks_nothing_again_and_lets_captions_through(tmp_path: Path) -> None:
    with judged(tmp_path, min_score=9.5) as (lake, server, scorer):
        lake.run()
        assert lake.rows(CAPTIONS) == []
        asked = len(server.requests)
        before = scored(lake)
        lenient = lake.changed(scorers={"useful": {**scorer, "min_score": 1}})
        lenient.run()
        assert scored(lenient) == before
        assert len(server.requests) == asked + 2  # the captions


def test_another_question_scores_all_again(tmp_path: Path) -> None:
    with judged(tmp_path) as (lake, _, scorer):
        lake.run()
        changed = lake.changed(scorers={"useful": {**scorer, "question": "Is a valve in view?"}})
        report = changed.run()["model_scores:useful"]
    assert len(report.plan.stale) == 2
    assert report.made == 2


def test_an_answer_that_is_no_score_is_the_error_of_its_row(tmp_path: Path) -> None:
    with judged(tmp_path, lambda _: says("very useful")) as (lake, _, _):
        report = lake.changed(captioners={}).run()["model_scores:useful"]
        rows = scored(lake)
    assert report.failed == 2
    assert all(row["score"] is None and row["error"] for row in rows.values())
    assert all(row["raw_answer"] == "very useful" for row in rows.values())


@pytest.mark.parametrize("name", ["Useful", "use-ful", "1st", "a b", 'a"b'])
def test_a_name_that_is_no_column_is_refused(name: str) -> None:
    judge = {"backend": "openai", "base_url": "http://h/v1", "model": "m", "question": "?"}
    with pytest.raises(UserError, match="scorers"):
        load_settings(scorers={name: judge})
