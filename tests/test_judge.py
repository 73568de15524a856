"""A model as a judge: what it is asked, and that only a number on the scale is a score."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import UserError
from lakehouse.models.clip_view import ClipView
from lakehouse.models.scorers.judge import Judge, describe
from lakehouse.models.scorers.protocol import Score
from lakehouse.models.vision import waits
from lakehouse.models.vision.registry import load as load_model
from lakehouse.settings import OpenAIJudge, VllmJudge
from tests.chat_server import Answer, Request, chat_server, one_by_one, says
from tests.clip_views import clip
from tests.numbered_frames import number_of, numbered_clip

QUESTION = "How much does the clip help an inspector?"


@pytest.fixture(autouse=True)
def _no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 0.0)


def settings(base_url: str = "http://127.0.0.1:1/v1", **changes: Any) -> OpenAIJudge:
    asked = {} if "question_file" in changes else {"question": QUESTION}
    server = {"backend": "openai", "base_url": base_url, "model": "qwen-vl", "max_retries": 1}
    return OpenAIJudge.model_validate(server | asked | changes)


def scored(base_url: str, *clips: ClipView, **changes: Any) -> dict[str, Score]:
    asking = settings(base_url, **changes)
    return dict(Judge(asking, load_model(asking)).score(clips or (clip(),)))


def judges(score: Any, **fields: Any) -> Answer:
    return says(json.dumps({"reason": "A valve is in view.", "score": score} | fields))


def test_a_number_on_the_scale_is_the_score() -> None:
    with chat_server(one_by_one(judges(7.5))) as server:
        score = scored(server.base_url)["a"]
    assert score.values == {"score": 7.5}
    assert (score.tokens_in, score.tokens_out) == (321, 45)
    assert score.seconds
    assert score.error is None


def test_the_model_is_asked_the_question_with_its_scale() -> None:
    with chat_server(one_by_one(judges(-1))) as server:
        scored(server.base_url, question="Is {it} clean?", lowest=-1, highest=2.5)
    [request] = server.requests
    instruction = request.content[0]["text"]
    assert "Is {it} clean?" in instruction
    assert "from -1 to 2.5" in instruction
    assert not re.search(r"\{(question|lowest|highest)\}", instruction)
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reason", "score"] == schema["required"]
    assert (schema["properties"]["score"]["minimum"], schema["properties"]["score"]["maximum"]) == (
        -1,
        2.5,
    )
    assert "pattern" in schema["properties"]["reason"]


def test_a_question_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "question.md"
    file.write_text("Wie sauber ist der Boden?\n", encoding="utf-8")
    with chat_server(one_by_one(judges(1))) as server:
        scored(server.base_url, question_file=file)
    assert "Wie sauber ist der Boden?" in server.requests[0].content[0]["text"]


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_question_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "question.md"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"question_file {file}")):
        describe(settings(question_file=file))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (judges(10.1), "the answer can't be used: its score 10.1 is not between 0 and 10"),
        (judges(-0.1), "the answer can't be used: its score -0.1 is not between 0 and 10"),
        (judges(float("nan")), "the answer can't be used: score"),
        (judges(float("inf")), "the answer can't be used: score"),
        (judges("7"), "the answer can't be used: score"),
        (judges(True), "the answer can't be used: score"),
        (judges(None), "the answer can't be used: score"),
        (judges(7, certainty=1), "the answer can't be used: certainty"),
        (says('{"score": 7}'), "the answer can't be used: reason"),
        (says("7"), "the answer can't be used"),
    ],
)
def test_anything_else_is_asked_for_once_more_and_then_an_error(answer: Answer, error: str) -> None:
    with chat_server(one_by_one(answer)) as server:
        score = scored(server.base_url)["a"]
    assert (score.error or "").startswith(error)
    assert score.raw_answer
    assert score.values == {}
    assert len(server.requests) == 2


def test_both_ends_of_the_scale_are_on_it() -> None:
    with chat_server(one_by_one(judges(0), judges(10))) as server:
        scores = scored(server.base_url, clip("a"), clip("b"), max_in_flight=1)
    assert [score.values["score"] for score in scores.values()] == [0, 10]


def test_each_score_is_of_its_own_clip() -> None:
    def script(request: Request) -> Answer:
        return judges(number_of(request.frames[0]))

    with chat_server(script) as server:
        clips = [numbered_clip(number) for number in range(40)]
        scores = scored(server.base_url, *clips, highest=100)
    assert {clip_id: score.values["score"] for clip_id, score in scores.items()} == {
        str(number): number for number in range(40)
    }


def test_a_long_clip_scores_the_mean_of_its_windows_by_their_frames() -> None:
    with chat_server(lambda request: judges(len(request.frames))) as server:
        score = scored(server.base_url, numbered_clip(1, frames=5), frames_per_request=3)["1"]
    assert score.values["score"] == pytest.approx((2 * 2 + 3 * 3) / 5)
    assert score.tokens_in == 2 * 321


def test_a_clip_without_frames_is_an_error() -> None:
    with chat_server(one_by_one(judges(1))) as server:
        assert scored(server.base_url, clip(frames=())) == {
            "a": Score(error="the clip has no frames")
        }
    assert server.requests == []


@pytest.mark.parametrize(
    "change",
    [
        {"question": "Is it clean?"},
        {"highest": 100},
        {"lowest": -10},
        {"model": "other"},
        {"temperature": 0.5},
        {"frames_per_request": 2},
    ],
)
def test_what_changes_scores_changes_the_version(change: dict[str, Any]) -> None:
    assert describe(settings(**change)).version != describe(settings()).version


@pytest.mark.parametrize(
    "change",
    [{"min_score": 5}, {"max_in_flight": 1}, {"base_url": "http://elsewhere/v1"}],
)
def test_what_changes_no_score_keeps_the_version(change: dict[str, Any]) -> None:
    assert describe(settings(**change)) == describe(settings())


def test_a_model_is_described_by_its_name_and_not_by_where_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "qwen"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    engine = VllmJudge(backend="vllm", model=str(folder), question=QUESTION)
    assert describe(engine).model == "qwen"
    assert describe(engine).reads_frames
