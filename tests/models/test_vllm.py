"""vLLM in this process, with a tiny model of random weights: its answers are those of vLLM's own
server, and what it can't answer is an error in its place.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from lakehouse.errors import UserError
from lakehouse.models.captioners.inspection import ANSWER_SCHEMA, load_prompt, read_answer
from lakehouse.models.captioners.protocol import Caption
from lakehouse.models.clip_view import FrameView
from lakehouse.models.vision import vllm
from lakehouse.models.vision.openai import ChatModel
from lakehouse.models.vision.protocol import Answer, Question, VisionModel
from lakehouse.models.vision.vllm import engine_of
from tests.models import tiny_settings

QUESTIONS = 24


@pytest.fixture(scope="module", autouse=True)
def _engine_in_this_process() -> Iterator[None]:
    """Instead of one in a process of its own, which takes longer to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        yield


@pytest.fixture(scope="module")
def model(tiny_vlm: Path) -> VisionModel:
    return engine_of(tiny_settings.engine(tiny_vlm))


@pytest.fixture(scope="module")
def answers(model: VisionModel) -> dict[str, Answer[Caption]]:
    return {answer.key: answer for answer in model.ask(questions())}


def frame(number: int) -> bytes:
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", blocks.repeat(16, 0).repeat(16, 1))[1])


def question(number: int, instruction: str | None = None, jpeg: bytes = b"") -> Question[Caption]:
    """Frames and their count differ by number."""
    frames = [jpeg or frame(10 * number + index) for index in range(1 + number % 4)]
    return Question(
        str(number),
        instruction or load_prompt("en").text,
        tuple(FrameView(0.5 * index, one) for index, one in enumerate(frames)),
        ANSWER_SCHEMA,
        partial(read_answer, language="en"),
    )


def questions(count: int = QUESTIONS) -> Iterator[Question[Caption]]:
    return map(question, range(count))


def told(answer: Answer[Caption]) -> tuple[object, ...]:
    """All but the seconds."""
    counts = answer.tokens_in, answer.tokens_out
    return answer.key, answer.value, answer.error, answer.raw_answer, *counts


def test_every_question_is_answered_with_what_fits_its_schema(
    answers: dict[str, Answer[Caption]],
) -> None:
    assert answers.keys() == {str(number) for number in range(QUESTIONS)}
    assert all(answer.error is None and answer.value is not None for answer in answers.values())


def test_answers_differ_by_what_is_seen(answers: dict[str, Answer[Caption]]) -> None:
    assert len({answer.value for answer in answers.values()}) > QUESTIONS // 2


def test_tokens_and_seconds_are_told(answers: dict[str, Answer[Caption]]) -> None:
    assert all(answer.tokens_in and answer.tokens_out for answer in answers.values())
    assert all(answer.seconds for answer in answers.values())


def test_the_same_is_said_in_this_process_and_behind_a_server(
    answers: dict[str, Answer[Caption]], vllm_url: str
) -> None:
    served = ChatModel(tiny_settings.server(vllm_url), None).ask(questions())
    assert {told(answer) for answer in served} == {told(answer) for answer in answers.values()}


def test_what_is_cut_is_cut_alike_in_this_process_and_behind_a_server(
    tiny_vlm: Path, vllm_url: str
) -> None:
    short = 120
    ours = engine_of(tiny_settings.engine(tiny_vlm, max_tokens=short)).ask(questions())
    theirs = ChatModel(tiny_settings.server(vllm_url, max_tokens=short), None).ask(questions())
    found = {told(answer) for answer in ours}
    errors = {error for _, _, error, *_ in found}
    assert errors >= {None, f"the answer was cut at max_tokens = {short}"}
    assert found == {told(answer) for answer in theirs}


def test_questions_that_the_engine_refuses_are_errors_between_answers(
    model: VisionModel, answers: dict[str, Answer[Caption]]
) -> None:
    too_long = question(100, "valve " * tiny_settings.MAX_MODEL_LEN)
    broken = question(101, jpeg=b"\xff\xd8 no picture")
    found = {answer.key: answer for answer in model.ask([question(0), too_long, broken])}
    assert told(found["0"]) == told(answers["0"])
    for refused in (found["100"], found["101"]):
        assert (refused.error or "").startswith("the engine refuses the question: ")
        assert refused.tokens_out is None
    assert str(tiny_settings.MAX_MODEL_LEN) in (found["100"].error or "")


def test_settings_that_differ_in_what_is_asked_share_one_engine(
    tiny_vlm: Path, model: VisionModel
) -> None:
    other = engine_of(tiny_settings.engine(tiny_vlm, max_tokens=64, temperature=0.5))
    assert isinstance(model, vllm._Model)
    assert isinstance(other, vllm._Model)
    assert other.stepper is model.stepper


def test_a_caller_that_stops_leaves_the_engine_free_for_the_next(
    model: VisionModel, answers: dict[str, Answer[Caption]]
) -> None:
    asked = model.ask(questions(1000))
    next(asked)
    asked.close()  # type: ignore[attr-defined]
    [answer] = model.ask([question(3)])
    assert told(answer) == told(answers["3"])
    assert isinstance(model, vllm._Model)
    assert not model.stepper._in_flight


def test_an_argument_that_vllm_does_not_know_is_named(tiny_vlm: Path) -> None:
    settings = tiny_settings.engine(tiny_vlm, engine={"enforce_eagerly": True})
    with pytest.raises(UserError, match=r"enforce_eagerly.*correct engine") as caught:
        engine_of(settings)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vLLM can't load") as caught:
        engine_of(tiny_settings.engine(tmp_path))
    assert "\n" not in str(caught.value)


def test_importing_the_library_imports_no_model_library() -> None:
    code = """
import importlib, pkgutil, sys, lakehouse
for module in pkgutil.walk_packages(lakehouse.__path__, "lakehouse."):
    importlib.import_module(module.name)
print(sorted({"vllm", "torch", "transformers"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
