"""A vision-language model behind any server that speaks OpenAI's chat completions with images,
vLLM's first.

Here questions become requests, many in flight, and replies become answers. What is asked, the
question knows; the fate of one request belongs to `chat`, how often is asked to `reading`.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from lakehouse.models.vision.chat import ChatEndpoint, Line, Reply, RequestFailedError
from lakehouse.models.vision.messages import messages
from lakehouse.models.vision.protocol import Answer, Question, Value
from lakehouse.models.vision.reading import (
    RAW_ANSWER_LIMIT,
    Said,
    answer_of,
    given_up,
    reason,
    sampling,
)
from lakehouse.models.vision.request_ids import ReplyIds
from lakehouse.settings import VisionServer

_INT32_MAX = 2**31 - 1

_T = TypeVar("_T")


class ChatModel:
    """A `VisionModel` that asks `base_url`, with at most `max_in_flight` requests at once, and
    fewer for as long as the server refuses them.

    `key` is the API key, if the server wants one. Raises UserError, when made, for a bad address or
    key.
    """

    def __init__(self, settings: VisionServer, key: str | None) -> None:
        self._settings = settings
        self._endpoint = ChatEndpoint(settings, key)
        self._reply_ids = ReplyIds()

    def ask(self, questions: Iterable[Question[Value]]) -> Iterator[Answer[Value]]:
        """See `VisionModel.ask`. Questions are taken in the caller's thread, at most
        `max_in_flight` ahead of what was yielded; requests run on while the caller is busy. Until
        the server has replied to one, it is asked one at a time: its first reply tells how to know
        the others.

        Raises UserError where no request can succeed, or none was replied to for `silence_s`, after
        yielding what was ready by then.
        """
        source = iter(questions)
        with _background_loop() as loop, self._connected(loop) as line:
            silence = _submit(line.silence.lasts(), loop)
            pending: set[Future[Answer[Value]]] = set()
            while True:
                at_once = self._settings.max_in_flight if self._reply_ids.has_any else 1
                room = max(0, at_once - len(pending))
                pending.update(
                    _submit(self._answer(line, question), loop) for question in islice(source, room)
                )
                if not pending:
                    return
                awaited: set[Future[Any]] = {*pending, silence}
                wait(awaited, return_when=FIRST_COMPLETED)
                answered = {future for future in pending if future.done()}
                pending -= answered
                yield from _results(answered)
                if silence.done():
                    silence.result()

    @contextmanager
    def _connected(self, loop: asyncio.AbstractEventLoop) -> Iterator[Line]:
        stack = AsyncExitStack()
        line = _submit(stack.enter_async_context(self._endpoint.connect()), loop).result()
        try:
            yield line
        finally:
            _submit(_cancel_others(), loop).result()
            _submit(stack.aclose(), loop).result()

    async def _answer(self, line: Line, question: Question[Value]) -> Answer[Value]:
        attempts: list[Said] = []
        answer: Answer[Value] | None = None
        try:
            async with asyncio.timeout(None) as deadline:
                while answer is None:
                    request = json.dumps(self._request(question, len(attempts))).encode()
                    attempts.append(self._said(await self._endpoint.ask(line, request, deadline)))
                    answer = answer_of(question, attempts, self._settings.max_tokens)
        except TimeoutError:
            limit_s = self._settings.deadline_s
            answer = given_up(question, attempts, f"no usable answer in deadline_s = {limit_s:g}")
        except RequestFailedError as error:
            answer = given_up(question, attempts, str(error))
        return self._without_key(answer, attempts)

    def _request(self, question: Question[Value], attempt: int) -> dict[str, Any]:
        sampled = sampling(attempt, self._settings.temperature)
        return {
            "model": self._settings.model,
            "messages": messages(question),
            "max_tokens": self._settings.max_tokens,
            "temperature": sampled.temperature,
            "seed": sampled.seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(question.schema)},
            },
        }

    def _said(self, reply: Reply) -> Said:
        try:
            completion = _Completion.model_validate_json(reply.body)
        except ValidationError as error:
            problem = f"the reply is no chat completion: {reason(error)}"
            return Said(reply.body.decode(errors="replace"), seconds=reply.seconds, problem=problem)
        reply_id = completion.id if isinstance(completion.id, str) else None
        if self._reply_ids.is_foreign(reply_id, reply.request_id, reply.body):
            # Its words and tokens are another row's, and are not kept with this one.
            return Said("", seconds=reply.seconds, problem="the reply belongs to another request")
        choice = completion.choices[0]
        usage = completion.usage or _Usage()
        return Said(
            choice.message.content or "",
            is_cut=choice.finish_reason == "length",
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            seconds=reply.seconds,
        )

    def _without_key(self, answer: Answer[Value], attempts: list[Said]) -> Answer[Value]:
        if answer.error is None:
            return answer
        # From what was said, whole: a key that the limit had cut in two would not be found.
        raw = self._endpoint.readable(attempts[-1].content, RAW_ANSWER_LIMIT) if attempts else None
        error = self._endpoint.readable(answer.error, len(answer.error))
        return replace(answer, error=error, raw_answer=raw)


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(default=None, ge=0, le=_INT32_MAX)
    completion_tokens: int | None = Field(default=None, ge=0, le=_INT32_MAX)


class _Completion(BaseModel):
    id: Any = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def _results(done: Iterable["Future[_T]"]) -> Iterator[_T]:
    """What succeeded, and only then the error of what failed."""
    for future in sorted(done, key=lambda future: future.exception() is not None):
        yield future.result()


@contextmanager
def _background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="vision", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _submit(coroutine: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop) -> "Future[_T]":
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
