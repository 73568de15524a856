"""One request to an OpenAI-compatible chat endpoint: its retries, its limits, and what each failure
means to the run.

What a request asks and how an answer is read is not known here.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count

import httpx

from lakehouse.errors import UserError
from lakehouse.settings import OpenAICaptioner

_BACKOFF_BASE_S = 0.5
_BACKOFF_LIMIT_S = 30.0
_RETRY_AFTER_LIMIT_S = 300.0
_CONNECT_LIMIT_S = 10.0
_ANSWER_LIMIT_BYTES = 1 << 20
_EXCERPT_LIMIT = 300  # characters
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class RequestFailedError(Exception):
    """This request failed for good, which says nothing about the next one."""


@dataclass(frozen=True)
class Reply:
    """What the server answered, with its body up to a limit; `seconds` from request to answer."""

    status: int
    body: bytes
    complete: bool
    retry_after: str | None
    seconds: float


class ChatEndpoint:
    """`base_url` of the settings with its key and its retries.

    Raises UserError, when made, for an address or a key that no request can carry. No message
    ever holds the key.
    """

    def __init__(self, settings: OpenAICaptioner, key: str | None) -> None:
        self._settings = settings
        self._url = _checked_address(settings)
        self._key = _checked_key(key, settings)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for `ask`, which follows no redirect and is closed at the end."""
        # A compressed answer could outgrow the limit on its size in one step.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout_s = self._settings.timeout_s
        async with httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=min(_CONNECT_LIMIT_S, timeout_s / 2)),
            limits=httpx.Limits(max_connections=self._settings.max_in_flight),
            follow_redirects=False,
        ) as client:
            yield client

    async def ask(self, client: httpx.AsyncClient, request: bytes) -> Reply:
        """The reply of status 2xx to one JSON request.

        Rate limits (429), server errors, timeouts and broken connections are retried
        `max_retries` times, after the server's Retry-After or else an exponential back-off.
        Raises UserError where no request can succeed: the server can't be reached, redirects,
        refuses the key or doesn't know the model. Raises RequestFailedError otherwise.
        """
        for attempt in count():
            last = attempt == self._settings.max_retries
            retry_after = None
            try:
                reply = await self._post(client, request)
            except (httpx.RequestError, TimeoutError) as error:
                if last:
                    raise self._given_up(error) from error
            else:
                if last or not _is_passing(reply.status):
                    return self._accepted(reply)
                retry_after = reply.retry_after
            await asyncio.sleep(_delay_s(attempt, retry_after))
        raise AssertionError("count() never ends")

    async def _post(self, client: httpx.AsyncClient, request: bytes) -> Reply:
        began = time.perf_counter()
        # httpx would limit each read only, and a server that trickles hold its place for ever.
        async with (
            asyncio.timeout(self._settings.timeout_s),
            client.stream("POST", self._url, content=request) as response,
        ):
            body, complete = bytearray(), True
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _ANSWER_LIMIT_BYTES:
                    complete = False
                    break
            return Reply(
                status=response.status_code,
                body=bytes(body),
                complete=complete,
                retry_after=response.headers.get("Retry-After"),
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


def _checked_address(settings: OpenAICaptioner) -> httpx.URL:
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


def _checked_key(key: str | None, settings: OpenAICaptioner) -> str | None:
    stripped = (key or "").strip()
    if not all("!" <= character <= "~" for character in stripped):
        raise UserError(
            f"the key in {settings.api_key_variable} holds characters that no header can carry; "
            "set it again"
        )
    return stripped or None


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _delay_s(attempt: int, retry_after: str | None) -> float:
    asked_s = _retry_after_s(retry_after) if retry_after else None
    if asked_s is not None:
        return min(max(asked_s, 0.0), _RETRY_AFTER_LIMIT_S)
    return min(_BACKOFF_BASE_S * 2.0**attempt, _BACKOFF_LIMIT_S) * random.uniform(0.5, 1.0)


def _retry_after_s(value: str) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return seconds if math.isfinite(seconds) else None


def _seconds_until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_EXCERPT_LIMIT] or type(error).__name__
