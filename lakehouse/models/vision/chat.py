"""One request to an OpenAI-compatible chat endpoint: its retries, its limits, and what each failure
means to the run.

What a request asks and how an answer is read is not known here. How many are at the server at once
belongs to `pace`, how long they wait to `waits`, when a server counts as dead to `silence`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count

import httpx

from lakehouse.errors import UserError
from lakehouse.models.vision.pace import Pace
from lakehouse.models.vision.request_ids import new_request_id
from lakehouse.models.vision.silence import Silence
from lakehouse.models.vision.waits import asked_wait_s, back_off_s
from lakehouse.settings import VisionServer

_CONNECT_LIMIT_S = 10.0
_ANSWER_LIMIT_BYTES = 1 << 20
_EXCERPT_LIMIT = 300  # characters
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_TOO_MUCH_AT_ONCE = (429, 503)


class RequestFailedError(Exception):
    """This request failed for good, which says nothing about the next one."""


@dataclass(frozen=True)
class Reply:
    """What the server answered to the request with this id, with its body up to a limit; `seconds`
    from request to answer, `asked_wait_s` how long the server wants to be left alone."""

    request_id: str
    status: int
    body: bytes
    complete: bool
    asked_wait_s: float | None
    seconds: float


@dataclass(frozen=True)
class Line:
    """An open line to the server, which requests share."""

    client: httpx.AsyncClient
    pace: Pace
    silence: Silence


class ChatEndpoint:
    """`base_url` of the settings with its key and its retries.

    Raises UserError, when made, for an address or a key that no request can carry. No message
    ever holds the key.
    """

    def __init__(self, settings: VisionServer, key: str | None) -> None:
        self._settings = settings
        self._url = _checked_address(settings)
        self._key = _checked_key(key, settings)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Line]:
        """A line for `ask`, which follows no redirect and is closed at the end."""
        headers = {
            "Content-Type": "application/json",
            # A compressed answer could outgrow the limit on its size in one step.
            "Accept-Encoding": "identity",
            # Whatever comes after a reply, late or twice, would be taken for the reply to the next
            # request on the same connection.
            "Connection": "close",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        settings = self._settings
        async with httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=min(_CONNECT_LIMIT_S, settings.timeout_s / 2)),
            limits=httpx.Limits(
                max_connections=settings.max_in_flight, max_keepalive_connections=0
            ),
            follow_redirects=False,
        ) as client:
            yield Line(
                client,
                Pace(settings.max_in_flight),
                Silence(settings.base_url, settings.silence_s),
            )

    async def ask(self, line: Line, request: bytes, deadline: asyncio.Timeout) -> Reply:
        """The reply of status 2xx to one JSON request.

        Rate limits (429), server errors, timeouts and broken connections are retried
        `max_retries` times, after the server's Retry-After or else an exponential back-off.
        A deadline that isn't set yet is, for `deadline_s` from when the request is first sent:
        what waits for its turn has not been refused anything yet.
        Raises UserError where no request can succeed: the server can't be reached, redirects,
        refuses the key or doesn't know the model. Raises RequestFailedError otherwise.
        """
        with line.silence.asking(), ExitStack() as while_refused:
            was_refused = False
            for attempt in count():
                last = attempt == self._settings.max_retries
                delay_s = back_off_s(attempt)
                try:
                    reply = await self._in_turn(line, request, deadline, was_refused)
                except (httpx.RequestError, TimeoutError) as error:
                    if last:
                        raise self._given_up(error) from error
                    was_refused = False
                else:
                    if last or not _is_passing(reply.status):
                        return self._accepted(reply)
                    was_refused = reply.status in _TOO_MUCH_AT_ONCE
                    if reply.asked_wait_s is not None:
                        delay_s = reply.asked_wait_s
                    line.silence.heard(left_alone_s=delay_s)
                while_refused.close()
                if was_refused:
                    while_refused.enter_context(line.pace.steady())
                await asyncio.sleep(delay_s)
        raise AssertionError("count() never ends")

    async def _in_turn(
        self, line: Line, request: bytes, deadline: asyncio.Timeout, was_refused: bool
    ) -> Reply:
        async with line.pace.turn(was_refused=was_refused) as number:
            if deadline.when() is None:
                now_s = asyncio.get_running_loop().time()
                deadline.reschedule(now_s + self._settings.deadline_s)
            reply = await self._post(line.client, request)
            pause_s = 0.0
            if reply.status in _TOO_MUCH_AT_ONCE:
                pause_s = reply.asked_wait_s or 0.0
                line.pace.refused(number, pause_s)
            elif 200 <= reply.status < 300:
                line.pace.answered()
            line.silence.heard(left_alone_s=pause_s)
            return reply

    async def _post(self, client: httpx.AsyncClient, request: bytes) -> Reply:
        request_id = new_request_id()
        began = time.perf_counter()
        # httpx would limit each read only, and a server that trickles hold its place for ever.
        async with (
            asyncio.timeout(self._settings.timeout_s),
            client.stream(
                "POST", self._url, content=request, headers={"X-Request-Id": request_id}
            ) as response,
        ):
            body, complete = bytearray(), True
            # Raw: what was compressed unasked is not unpacked either.
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _ANSWER_LIMIT_BYTES:
                    complete = False
                    break
            return Reply(
                request_id=request_id,
                status=response.status_code,
                body=bytes(body),
                complete=complete,
                asked_wait_s=asked_wait_s(response.headers.get("Retry-After")),
                seconds=time.perf_counter() - began,
            )

    def _accepted(self, reply: Reply) -> Reply:
        base_url, status = self._settings.base_url, reply.status
        if status in (401, 403):
            raise UserError(
                f"{base_url} refuses the key ({status}); "
                f"set {self._settings.api_key_variable} to a key that it accepts"
            )
        if status == 404:
            raise UserError(
                f"{base_url} has no model {self._settings.model}, or is no such endpoint (404); "
                "correct model or base_url"
            )
        if 300 <= status < 400:
            raise UserError(
                f"{base_url} redirects ({status}), which is not followed; "
                "set base_url to the final address"
            )
        if not 200 <= status < 300:
            raise RequestFailedError(f"the server answered {status}: {self._excerpt(reply.body)}")
        if not reply.complete:
            raise RequestFailedError(f"the answer is longer than {_ANSWER_LIMIT_BYTES} bytes")
        return reply

    def _given_up(self, error: Exception) -> Exception:
        if isinstance(error, _UNREACHABLE):
            return UserError(
                f"{self._settings.base_url} can't be reached ({_reason(error)}); "
                "start the server or correct base_url, then run again: what is done is kept"
            )
        if isinstance(error, TimeoutError):
            return RequestFailedError(f"no answer within timeout_s = {self._settings.timeout_s:g}")
        return RequestFailedError(f"no answer from the server: {_reason(error)}")

    def _excerpt(self, body: bytes) -> str:
        return self.readable(" ".join(body.decode(errors="replace").split()), _EXCERPT_LIMIT)

    def readable(self, answer: str, limit: int) -> str:
        """At most `limit` characters of a server's words, without the key should they hold it."""
        return (answer.replace(self._key, "***") if self._key else answer)[:limit]


def _checked_address(settings: VisionServer) -> httpx.URL:
    # The value itself is not shown: what is wrong with it may be a password in it.
    remedy = "write it like http://127.0.0.1:8000/v1"
    try:
        url = httpx.URL(settings.base_url.rstrip("/") + "/chat/completions")
    except httpx.InvalidURL:
        raise UserError(f"base_url of model {settings.model} is no address; {remedy}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"base_url of model {settings.model} is no address; {remedy}")
    if url.userinfo or url.query or url.fragment:
        raise UserError(
            f"base_url of model {settings.model} holds more than an address; {remedy}, "
            f"and put the key into the environment variable {settings.api_key_variable}"
        )
    return url


def _checked_key(key: str | None, settings: VisionServer) -> str | None:
    stripped = (key or "").strip()
    if not all("!" <= character <= "~" for character in stripped):
        raise UserError(
            f"the key in {settings.api_key_variable} holds characters that no header can carry; "
            "set it again"
        )
    return stripped or None


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_EXCERPT_LIMIT] or type(error).__name__
