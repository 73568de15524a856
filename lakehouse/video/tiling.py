"""How a stream of frames and boundaries becomes spans that tile it.

Only frame numbers, pts and how quiet each frame is are known here: no pictures, no statuses.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Span:
    """Frames `[start_frame, end_frame)` at `[start_pts, end_pts)`.

    `boundary` tells why it starts: `start` of the recording, a `cut`, another picture `size`, the
    `length` of a divided shot, `damage`, or the state that begins with it (see `states`). A span
    without frames lies where frames were lost.
    """

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int
    boundary: str

    @property
    def is_lost(self) -> bool:
        """Whether nothing of it could be decoded."""
        return self.start_frame == self.end_frame


class Tiler:
    """Turns frames and boundaries into spans as soon as they are final, in order.

    No span is longer than `max_ticks` by more than one of its frames (given
    `max_ticks >= 2 * min_ticks`), and dividing a shot never yields a span shorter than
    `min_ticks`: the last two parts of a long shot share its rest. A shot is divided at the
    quietest frame of the last quarter before `max_ticks`, or around the middle of its rest.
    `lag_frames` and `lag_ticks` are how late a boundary may be reported; one that is reported
    later than that, inside a span that is already out, is ignored.
    """

    def __init__(
        self, *, min_ticks: int, max_ticks: int, lag_frames: int = 0, lag_ticks: int = 0
    ) -> None:
        self._min_ticks = min_ticks
        self._max_ticks = max_ticks
        self._lag_frames = lag_frames
        self._lag_ticks = lag_ticks
        self._first = 0
        self._boundary = "start"
        self._pts: list[int] = []
        self._stir: list[float] = []

    def add_frame(self, pts: int, stir: float = 0.0) -> Iterator[Span]:
        """Take the next frame; pts strictly increase. `stir` is how much moves: 0 is quiet."""
        self._pts.append(pts)
        self._stir.append(stir)
        if pts - self._pts[0] - self._lag_ticks <= self._max_ticks + self._min_ticks:
            return
        settled = min(
            len(self._pts) - 1 - self._lag_frames,
            bisect_right(self._pts, pts - self._lag_ticks) - 1,
        )
        if settled > 0 and self._ticks(settled) > self._max_ticks + self._min_ticks:
            count = self._part(settled)
            if count < settled:
                yield self._take(count, "length")

    def cut(self, frame: int, boundary: str = "cut") -> Iterator[Span]:
        """End the open shot before this frame number."""
        length = frame - self._first
        if 0 < length < len(self._pts):
            yield from self._divide(length, boundary)

    def cut_at(self, pts: int, boundary: str) -> Iterator[Span]:
        """End the open shot before the first frame at or after `pts`."""
        yield from self.cut(self._first + bisect_left(self._pts, pts), boundary)

    def lose(self, end_pts: int, next_pts: int) -> Iterator[Span]:
        """End the last shot at `end_pts`; what lies between that and `next_pts` is lost."""
        end_pts = max(end_pts, self._pts[-1] + 1) if self._pts else end_pts
        yield from self.finish(end_pts)
        yield Span(self._first, self._first, end_pts, next_pts, "damage")
        self._boundary = "damage"

    def finish(self, end_pts: int) -> Iterator[Span]:
        """End the last shot; `end_pts` is the end of the last frame."""
        if self._pts:
            self._pts.append(max(end_pts, self._pts[-1] + 1))
            yield from self._divide(len(self._pts) - 1, "length")
            self._pts, self._stir = [], []

    def _divide(self, length: int, boundary: str) -> Iterator[Span]:
        while length:
            count = self._part(length)
            length -= count
            yield self._take(count, "length" if length else boundary)

    def _part(self, length: int) -> int:
        """How many of the first `length` frames make the next span: all if nothing divides them."""
        ticks = self._ticks(length)
        if ticks <= self._max_ticks:
            return length
        if ticks <= self._max_ticks + self._min_ticks:  # the last division
            aim, play = ticks // 2, self._max_ticks // 8
            shortest, longest = max(aim - play, ticks - self._max_ticks), aim + play
        else:
            aim = self._max_ticks
            shortest, longest = aim - self._max_ticks // 4, aim
        start = self._pts[0]
        low = bisect_left(self._pts, start + max(shortest, self._min_ticks), 1, length)
        high = bisect_right(self._pts, start + min(longest, ticks - self._min_ticks), low, length)
        if low < high:
            return min(
                range(low, high), key=lambda n: (self._stir[n], abs(self._pts[n] - start - aim))
            )
        return self._nearest(length, aim)

    def _nearest(self, length: int, aim: int) -> int:
        """The count around `aim` that leaves both parts long enough, all where none does."""
        before = bisect_right(self._pts, self._pts[0] + aim) - 1
        ticks = self._ticks(length)
        for count in (before, before + 1):
            if 0 < count < length:
                parts = (self._ticks(count), ticks - self._ticks(count))
                if min(parts) >= self._min_ticks:
                    return count
        return length

    def _ticks(self, count: int) -> int:
        return self._pts[count] - self._pts[0]

    def _take(self, count: int, boundary_after: str) -> Span:
        span = Span(
            self._first, self._first + count, self._pts[0], self._pts[count], self._boundary
        )
        del self._pts[:count]
        del self._stir[:count]
        self._first += count
        self._boundary = boundary_after
        return span


def tiles(spans: list[Span]) -> bool:
    """Whether each span starts where the one before it ends."""
    return all(
        (before.end_frame, before.end_pts) == (after.start_frame, after.start_pts)
        for before, after in pairwise(spans)
    )
