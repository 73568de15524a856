"""How many requests a server is given at once: fewer once it refuses some, more as it answers.

The limit is halved when a request is refused and grows by one in the time of a round trip, as TCP
does it. While a request that was refused has not been made again, the limit doesn't grow, so that
it isn't refused a second time for that: a server that takes n at once refuses the same request
log2(limit / n) times at most, rounded up. Such a request goes before all others, or the limit would
hardly ever grow. What counts as a refusal, and what becomes of a request, belongs to `chat`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Allowance:
    """The limit alone: what raises and lowers it, without anybody who waits.

    `limit` lies between 1 and `most`, which it begins with.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._sent = 0
        self._halved_after = 0
        self._steadied = 0
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many may be at the server at once."""
        return int(self._allowed)

    def send(self) -> int:
        """One more is at the server; its number, for `refused`."""
        self.in_flight += 1
        self._sent += 1
        return self._sent

    def leave(self) -> None:
        """One less is at the server."""
        self.in_flight -= 1

    def answered(self) -> None:
        """A request was answered, and so there may be more."""
        if not self._steadied:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)

    def refused(self, number: int) -> None:
        """A request, which is still counted as in flight, was refused.

        The limit is halved, unless it has been since the request was sent: what one burst of
        refusals says of the limit, it says once.
        """
        if number > self._halved_after:
            # Where there were fewer than might have been, it is these that were too many.
            self._allowed = max(1.0, min(self._allowed, self.in_flight) / 2)
            self._halved_after = self._sent

    @contextmanager
    def steady(self) -> Iterator[None]:
        """The limit doesn't grow meanwhile."""
        self._steadied += 1
        try:
            yield
        finally:
            self._steadied -= 1


class Pace:
    """Turns at a server within an allowance: first come, first served, but what was refused goes
    before. For one event loop."""

    def __init__(self, most: int) -> None:
        self._allowance = Allowance(most)
        self._opens_at_s = 0.0
        self._refused_in_line = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def turn(self, *, was_refused: bool = False) -> AsyncIterator[int]:
        """One's turn at the server, once there is room and no pause; its number, for `refused`."""
        await (self._room_after_refusal() if was_refused else self._room())
        number = self._allowance.send()
        try:
            yield number
        finally:
            self._allowance.leave()
            self._wake()

    def answered(self) -> None:
        """The request whose turn it is was answered."""
        self._allowance.answered()

    def refused(self, number: int, pause_s: float = 0.0) -> None:
        """The request whose turn it is was refused: fewer from now on, and none in the pause."""
        self._allowance.refused(number)
        self._opens_at_s = max(self._opens_at_s, _now_s() + pause_s)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """For as long as a request that was refused has not been made again: the limit doesn't
        grow."""
        with self._allowance.steady():
            yield

    async def _room_after_refusal(self) -> None:
        self._refused_in_line += 1
        try:
            while not await self._is_open():
                await self._changed.wait()
        finally:
            self._refused_in_line -= 1
            self._wake()

    async def _room(self) -> None:
        while not await self._is_open() or self._refused_in_line:
            await self._changed.wait()

    async def _is_open(self) -> bool:
        """Whether there is room, once there is no pause."""
        while (pause_s := self._opens_at_s - _now_s()) > 0:
            await asyncio.sleep(pause_s)
        return self._allowance.in_flight < self._allowance.limit

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
