"""What the captioner that asks a server promises: each caption with its clip, each failure in its
place, and the key in no message.
"""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lakehouse.errors import UserError
from lakehouse.models.captioners.inspection import ANSWER_SCHEMA, load_prompt
from lakehouse.models.captioners.protocol import Caption, SeenObject
from lakehouse.models.captioners.registry import load
from lakehouse.models.clip_view import ClipView
from lakehouse.models.vision import waits
from tests.chat_server import INSPECTION, Answer, Request, chat_server, inspects, one_by_one, says
from tests.clip_views import clip, jpeg
from tests.clip_views import openai_settings as settings

KEY = "sk-test-which-no-message-may-hold"
RETRY_NOW = {"Retry-After": "0"}


@pytest.fixture(autouse=True)
def _no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 0.0)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(base_url: str, *clips: ClipView, **changes: Any) -> dict[str, Caption]:
    return dict(load(settings(base_url, **changes)).caption(clips or (clip(),)))


def width_of_first_frame(request: Request) -> int:
    picture = cv2.imdecode(np.frombuffer(request.frames[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return int(picture.shape[1])


def test_every_field_of_an_answer_arrives() -> None:
    with chat_server(one_by_one(inspects())) as server:
        caption = ask(server.base_url)["a"]
    assert replace(caption, seconds=None) == Caption(
        text="A narrow corridor with an open valve.",
        environment="corridor with pipes",
        objects=(SeenObject("valve", "left, near", "open"),),
        signs=("rust on a pipe",),
        light="bright",
        floor="dry concrete",
        space="narrow",
        dynamics=("a person walks past",),
        risks=("cable across the way",),
        tokens_in=321,
        tokens_out=45,
    )
    assert caption.seconds is not None
    assert caption.seconds > 0


def test_what_the_model_left_empty_stays_empty() -> None:
    objects = [
        {"name": "lamp", "position": "", "state": ""},
        dict.fromkeys(INSPECTION["objects"][0], ""),
    ]
    with chat_server(one_by_one(inspects(environment=" ", signs=[""], objects=objects))) as server:
        caption = ask(server.base_url)["a"]
    assert caption.environment is None
    assert caption.signs == ()
    assert caption.objects == (SeenObject("lamp"),)


def test_a_request_carries_the_prompt_the_frames_and_the_schema() -> None:
    frames = (jpeg(64), jpeg(80))
    with chat_server(one_by_one(inspects(text="狭窄的走廊。"))) as server:
        ask(server.base_url, clip(frames=frames), language="zh", max_tokens=77)
    [request] = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.frames == list(frames)
    texts = [part["text"] for part in request.content if part["type"] == "text"]
    assert texts == [load_prompt("zh").text, "0.0 s:", "0.5 s:"]
    assert request.body["model"] == "qwen-vl"
    assert request.body["max_tokens"] == 77
    assert request.body["temperature"] == 0
    asked_format = request.body["response_format"]["json_schema"]
    assert asked_format["name"] == "answer"
    assert asked_format["strict"] is True
    assert asked_format["schema"] == ANSWER_SCHEMA


def test_a_prompt_file_replaces_the_prompt(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Describe the valves.", encoding="utf-8")
    with chat_server(one_by_one(inspects())) as server:
        ask(server.base_url, prompt_file=prompt)
    assert server.requests[0].content[0]["text"] == "Describe the valves."


def test_the_key_comes_from_the_environment_and_only_if_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY")
    with chat_server(one_by_one(inspects())) as server:
        ask(server.base_url, api_key_variable="OTHER_KEY")
        ask(server.base_url)
    assert [request.headers.get("Authorization") for request in server.requests] == [
        f"Bearer {KEY}",
        None,
    ]


def test_requests_are_in_flight_together_and_captions_stay_with_their_clips() -> None:
    in_flight = 8
    # Each answer waits until as many requests as the settings allow stand at the server at once.
    together = threading.Barrier(in_flight, timeout=20)

    def script(request: Request) -> Answer:
        if len(server.requests) > 1:  # the first is asked alone
            together.wait()
        return inspects(text=f"width {width_of_first_frame(request)}")

    widths = {f"clip-{index}": 16 + 8 * index for index in range(1 + 3 * in_flight)}
    clips = [clip(clip_id, (jpeg(width),)) for clip_id, width in widths.items()]
    with chat_server(script) as server:
        captions = ask(server.base_url, *clips, max_in_flight=in_flight)
    assert {clip_id: caption.text for clip_id, caption in captions.items()} == {
        clip_id: f"width {width}" for clip_id, width in widths.items()
    }


def test_clips_are_taken_only_a_little_ahead_of_the_captions() -> None:
    taken = 0

    def clips() -> Iterator[ClipView]:
        nonlocal taken
        for index in range(50):
            taken += 1
            yield clip(f"clip-{index}")

    with chat_server(one_by_one(inspects())) as server:
        captions = load(settings(server.base_url, max_in_flight=3)).caption(clips())
        assert taken == 0
        for yielded, _ in enumerate(captions, start=1):
            assert taken <= yielded - 1 + 3
    assert taken == 50


@pytest.mark.parametrize(
    "refusal",
    [Answer(429, headers=RETRY_NOW), Answer(500), Answer(503), Answer(200, b"{", length=9)],
)
def test_a_passing_failure_is_retried(refusal: Answer) -> None:
    with chat_server(one_by_one(refusal, inspects())) as server:
        assert ask(server.base_url)["a"].error is None
    assert len(server.requests) == 2


def test_retry_after_goes_before_the_own_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_BACKOFF_BASE_S", 1e6)
    past = Answer(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    with chat_server(one_by_one(Answer(429, headers=RETRY_NOW), past, inspects())) as server:
        assert ask(server.base_url)["a"].error is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_that_outlives_its_retries_is_the_error_of_its_caption(status: int) -> None:
    def script(request: Request) -> Answer:
        bad = width_of_first_frame(request) == 80
        return Answer(status, b"out of \n order") if bad else inspects()

    with chat_server(script) as server:
        captions = ask(server.base_url, clip("bad", (jpeg(80),)), clip("good"))
    assert captions["bad"] == Caption(error=f"the server answered {status}: out of order")
    assert captions["good"].error is None
    assert len(server.requests) == 1 + (1 + 2)


def test_a_server_that_does_not_answer_in_time_is_the_error_of_its_caption() -> None:
    over = threading.Event()

    def script(_: Request) -> Answer:
        over.wait(20)
        return inspects()

    with chat_server(script) as server:
        caption = ask(server.base_url, timeout_s=0.5, max_retries=1)["a"]
        over.set()
    assert caption == Caption(error="no answer within timeout_s = 0.5")


def test_a_refused_request_is_the_error_of_its_caption_and_not_retried() -> None:
    with chat_server(one_by_one(Answer(400, b'{"error": "too many images"}'))) as server:
        assert ask(server.base_url)["a"].error == (
            'the server answered 400: {"error": "too many images"}'
        )
    assert len(server.requests) == 1


HALF = json.dumps(INSPECTION)[:60]
SURROGATE = rb'{"choices": [{"message": {"content": "\ud800"}}]}'
LACKING = json.dumps({key: INSPECTION[key] for key in INSPECTION if key != "risks"})


@pytest.mark.parametrize(
    ("answer", "error", "raw"),
    [
        (
            says("I see a valve."),
            "the answer can't be used: Invalid JSON",
            "I see a valve.",
        ),
        (says(HALF), "the answer can't be used: Invalid JSON", HALF),
        (says(HALF, "length"), "the answer was cut at max_tokens = 1024", HALF),
        (says(LACKING), "the answer can't be used: risks: Field required", LACKING),
        (says(None), "the answer can't be used", ""),
        (says('{"text": "\\ud800"}'), "the answer can't be used", '{"text": "\\ud800"}'),
        (Answer(body=b"<html>"), "the reply is no chat completion", "<html>"),
        (Answer(body=b'{"choices": []}'), "the reply is no chat completion", '{"choices": []}'),
        (Answer(body=SURROGATE), "the reply is no chat completion", SURROGATE.decode()),
        (Answer(body=b"\xff\xfe"), "the reply is no chat completion", "��"),
    ],
)
def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_then_kept(
    answer: Answer, error: str, raw: str
) -> None:
    with chat_server(one_by_one(answer)) as server:
        caption = ask(server.base_url)["a"]
    assert (caption.error or "").startswith(error)
    assert caption.raw_answer == raw
    assert caption.text is None
    assert len(server.requests) == 2


def test_garbage_once_is_forgiven() -> None:
    with chat_server(one_by_one(says("garbage"), inspects())) as server:
        caption = ask(server.base_url)["a"]
    assert caption.error is None
    assert caption.raw_answer is None


def test_the_second_question_is_put_warmer_and_repeatably() -> None:
    with chat_server(one_by_one(says("garbage"), inspects())) as server:
        ask(server.base_url)
    sampled = [(request.body["temperature"], request.body["seed"]) for request in server.requests]
    assert sampled == [(0.0, 0), (0.3, 1)]


def test_tokens_are_those_of_both_answers() -> None:
    with chat_server(one_by_one(says("garbage"), inspects())) as server:
        caption = ask(server.base_url)["a"]
    assert (caption.tokens_in, caption.tokens_out) == (2 * 321, 2 * 45)


def test_a_raw_answer_is_kept_up_to_a_limit_and_without_the_key() -> None:
    with chat_server(one_by_one(says(f"{KEY} is the key" + "x" * 100_000))) as server:
        raw = ask(server.base_url)["a"].raw_answer or ""
    assert raw.startswith("*** is the key")
    assert len(raw) == 4000


def test_a_key_that_the_limit_would_cut_in_two_is_not_kept_by_half() -> None:
    with chat_server(one_by_one(says("x" * 3990 + KEY))) as server:
        raw = ask(server.base_url)["a"].raw_answer or ""
    assert KEY[:5] not in raw


def test_a_key_that_the_answer_names_as_a_field_is_in_no_error() -> None:
    with chat_server(one_by_one(inspects(**{KEY: 1}))) as server:
        assert (ask(server.base_url)["a"].error or "").startswith("the answer can't be used: ***")


def test_an_answer_that_is_compressed_unasked_is_not_unpacked() -> None:
    bomb = Answer(body=gzip.compress(b" " * (1 << 24)), headers={"Content-Encoding": "gzip"})
    with chat_server(one_by_one(bomb)) as server:
        error = ask(server.base_url)["a"].error or ""
    assert error.startswith("the reply is no chat completion")
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_an_answer_without_end_is_the_error_of_its_caption() -> None:
    with chat_server(one_by_one(Answer(body=b" " * (1 << 21)))) as server:
        assert ask(server.base_url)["a"].error == "the answer is longer than 1048576 bytes"


def test_a_clip_without_frames_is_not_asked_about() -> None:
    with chat_server(one_by_one(inspects())) as server:
        assert ask(server.base_url, clip(frames=())) == {
            "a": Caption(error="the clip has no frames")
        }
    assert server.requests == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_run_and_names_the_variable_only(status: int) -> None:
    with (
        chat_server(one_by_one(Answer(status, f"bad key {KEY}".encode()))) as server,
        pytest.raises(UserError, match="OPENAI_API_KEY") as caught,
    ):
        ask(server.base_url)
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


def test_an_unknown_model_ends_the_run() -> None:
    with (
        chat_server(one_by_one(Answer(404))) as server,
        pytest.raises(UserError, match="no model qwen-vl"),
    ):
        ask(server.base_url)


def test_a_redirect_is_never_followed() -> None:
    with chat_server(one_by_one(inspects())) as elsewhere:
        redirect = Answer(307, headers={"Location": f"{elsewhere.base_url}/chat/completions"})
        with (
            chat_server(one_by_one(redirect)) as server,
            pytest.raises(UserError, match="final address"),
        ):
            ask(server.base_url)
    assert elsewhere.requests == []


def test_a_server_that_is_not_there_ends_the_run_and_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(UserError, match=re.escape(f"{base_url} can't be reached")):
        ask(base_url)


def test_captions_that_were_ready_are_kept_when_the_run_ends() -> None:
    clips = [clip(clip_id) for clip_id in "abcd"]
    ready = []
    with chat_server(one_by_one(inspects(), inspects(), Answer(401))) as server:
        captions = load(settings(server.base_url, max_in_flight=1)).caption(clips)
        ready += [next(captions)[0], next(captions)[0]]
        with pytest.raises(UserError):
            next(captions)
    assert ready == ["a", "b"]


def test_a_caller_that_stops_leaves_no_request_and_no_thread_behind() -> None:
    over = threading.Event()

    def script(request: Request) -> Answer:
        if width_of_first_frame(request) == 80:
            over.wait(20)
        return inspects()

    with chat_server(script) as server:
        captions = load(settings(server.base_url)).caption(
            [clip("first"), clip("slow", (jpeg(80),)), clip("fast")]
        )
        assert [next(captions)[0] for _ in range(2)] == ["first", "fast"]
        captions.close()  # type: ignore[attr-defined]
        assert "vision" not in {thread.name for thread in threading.enumerate()}
        over.set()


@pytest.mark.parametrize("base_url", ["127.0.0.1:8000", "ftp://host/v1", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(UserError, match="base_url of model qwen-vl is no address"):
        load(settings(base_url))


def test_an_address_that_holds_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        load(settings("http://user:secret@host/v1"))
    assert "secret" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "line\nbreak")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        load(settings())
    assert "break" not in str(caught.value)
