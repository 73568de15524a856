"""A server that is asked and says nothing at all, which is no matter of one request.

What one request may take belongs to `chat`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse.errors import UserError


class Silence:
    """Since when `base_url` has said nothing though it was asked. For one event loop."""

    def __init__(self, base_url: str, limit_s: float) -> None:
        self._base_url = base_url
        self._limit_s = limit_s
        self._asking = 0
        self._since_s = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A request is at the server, or is being retried. While there is none, nobody listens."""
        if not self._asking:
            self._since_s = _now_s()
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def heard(self, left_alone_s: float = 0.0) -> None:
        """The server has replied, whatever it said, and is then left alone for so long."""
        self._since_s = max(self._since_s, _now_s() + left_alone_s)

    async def lasts(self) -> None:
        """Raises UserError once there was no reply for `limit_s`; never returns."""
        while True:
            left_s = self._since_s + self._limit_s - _now_s() if self._asking else self._limit_s
            if left_s <= 0:
                raise UserError(
                    f"{self._base_url} has answered nothing for {self._limit_s:g} s; look at the "
                    "server, or raise silence_s if it needs longer; what is done is kept, run again"
                )
            await asyncio.sleep(left_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
