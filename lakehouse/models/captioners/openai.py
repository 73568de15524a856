"""Captions from any server that speaks OpenAI's chat completions with images, vLLM's first.

Here clips become requests, many in flight, and answers become captions. What is asked belongs to
`inspection`; the address, the key, and the fate of one request to `chat`.
"""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, Field, ValidationError

from lakehouse.models.captioners.chat import ChatEndpoint, Reply, RequestFailedError
from lakehouse.models.captioners.inspection import ANSWER_SCHEMA, load_prompt, read_answer
from lakehouse.models.captioners.protocol import Caption, CaptionerDescriptor, ClipView
from lakehouse.settings import OpenAICaptioner

_CODE_VERSION = 1  # raise it when captions change without a change of what `describe` hashes

_ATTEMPTS_TO_READ = 2
_RAW_ANSWER_LIMIT = 4000  # characters
_INT32_MAX = 2**31 - 1

_T = TypeVar("_T")
_Captioned = tuple[str, Caption]


def describe(settings: OpenAICaptioner) -> CaptionerDescriptor:
    """The descriptor. Where the server is, how long it may take and how much runs at once don't
    change a caption, so they are not part of the version. Raises UserError for a bad prompt file.
    """
    prompt = load_prompt(settings.language, settings.prompt_file)
    identity = [
        settings.model,
        settings.language,
        settings.max_tokens,
        settings.temperature,
        prompt.text,
        ANSWER_SCHEMA,
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return CaptionerDescriptor(
        language=settings.language,
        model=settings.model,
        version=f"openai-{_CODE_VERSION}-{digest[:12]}",
        prompt_version=prompt.version,
        uses_scores=False,
    )


class OpenAICaptions:
    """A `Captioner` that asks `base_url`, with at most `max_in_flight` requests at once.

    `key` is the API key, if the server wants one. Raises UserError, when made, for a bad address,
    key or prompt file.
    """

    def __init__(self, settings: OpenAICaptioner, key: str | None) -> None:
        self._settings = settings
        self._endpoint = ChatEndpoint(settings, key)
        self._prompt = load_prompt(settings.language, settings.prompt_file).text

    def caption(self, clips: Iterable[ClipView]) -> Iterator[_Captioned]:
        """See `Captioner.caption`. Clips are taken in the caller's thread, at most
        `max_in_flight` ahead of what was yielded; requests run on while the caller is busy.

        Raises UserError where no request can succeed, after yielding what was ready by then.
        """
        source = iter(clips)
        with _background_loop() as loop, self._connected(loop) as client:
            pending: set[Future[_Captioned]] = set()
            room = self._settings.max_in_flight
            while True:
                pending.update(
                    _submit(self._caption(client, clip), loop) for clip in islice(source, room)
                )
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from _results(done)
                room = len(done)

    @contextmanager
    def _connected(self, loop: asyncio.AbstractEventLoop) -> Iterator[httpx.AsyncClient]:
        stack = AsyncExitStack()
        client = _submit(stack.enter_async_context(self._endpoint.connect()), loop).result()
        try:
            yield client
        finally:
            _submit(_cancel_others(), loop).result()
            _submit(stack.aclose(), loop).result()

    async def _caption(self, client: httpx.AsyncClient, clip: ClipView) -> _Captioned:
        if not clip.frames:
            return clip.clip_id, Caption(error="the clip has no frames")
        request = json.dumps(self._request(clip)).encode()
        caption = Caption()
        for _ in range(_ATTEMPTS_TO_READ):
            try:
                reply = await self._endpoint.ask(client, request)
            except RequestFailedError as error:
                return clip.clip_id, Caption(error=str(error))
            caption = self._read(reply)
            if caption.error is None:
                break
        return clip.clip_id, caption

    def _request(self, clip: ClipView) -> dict[str, Any]:
        # The prompt comes first, so that a server with a prefix cache computes it once.
        content: list[dict[str, Any]] = [{"type": "text", "text": self._prompt}]
        for frame in clip.frames:
            url = "data:image/jpeg;base64," + base64.b64encode(frame.jpeg).decode()
            content.append({"type": "text", "text": f"{frame.time_s:.1f} s:"})
            content.append({"type": "image_url", "image_url": {"url": url}})
        return {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._settings.max_tokens,
            "temperature": self._settings.temperature,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "inspection", "strict": True, "schema": ANSWER_SCHEMA},
            },
        }

    def _read(self, reply: Reply) -> Caption:
        try:
            completion = _Completion.model_validate_json(reply.body)
        except ValidationError as error:
            raw = reply.body.decode(errors="replace")
            return self._unreadable(raw, f"the reply is no chat completion: {_first(error)}")
        choice = completion.choices[0]
        content = choice.message.content or ""
        try:
            caption = read_answer(content)
        except ValidationError as error:
            reason = f"the answer doesn't fit the schema: {_first(error)}"
            if choice.finish_reason == "length":
                reason = f"the answer was cut at max_tokens = {self._settings.max_tokens}"
            caption = self._unreadable(content, reason)
        usage = completion.usage or _Usage()
        return replace(
            caption,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            seconds=reply.seconds,
        )

    def _unreadable(self, raw: str, reason: str) -> Caption:
        return Caption(error=reason, raw_answer=self._endpoint.readable(raw, _RAW_ANSWER_LIMIT))


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(default=None, ge=0, le=_INT32_MAX)
    completion_tokens: int | None = Field(default=None, ge=0, le=_INT32_MAX)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def _first(error: ValidationError) -> str:
    # The message of a pydantic error may quote the answer; its kind and place are enough.
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _results(done: Iterable[Future[_Captioned]]) -> Iterator[_Captioned]:
    """What succeeded, and only then the error of what failed."""
    for future in sorted(done, key=lambda future: future.exception() is not None):
        yield future.result()


@contextmanager
def _background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="captions", daemon=True)
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
