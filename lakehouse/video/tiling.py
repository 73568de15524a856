"""How a stream of frames and cuts becomes spans that tile it.

Only frame numbers and pts are known here: no pictures, no statuses.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Span:
    """Frames `[start_frame, end_frame)` at `[start_pts, end_pts)`; `boundary` tells why it starts:
    `start` of the recording, a `cut`, or the `length` of a divided shot."""

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int
    boundary: str


class Tiler:
    """Turns frames and cuts into spans as soon as they are final, in order.

    No span is longer than `max_ticks` by more than one of its frames (given
    `max_ticks >= 2 * min_ticks`), and dividing a shot never yields a span shorter than
    `min_ticks`: the last two parts of a long shot share its rest evenly. `lag_frames` is how late
    a cut may be reported; a cut that is reported later than that, inside a span that is already
    out, is ignored.
    """

    def __init__(self, *, min_ticks: int, max_ticks: int, lag_frames: int) -> None:
        self._min_ticks = min_ticks
        self._max_ticks = max_ticks
        self._lag_frames = lag_frames
        self._first = 0
        self._boundary = "start"
        self._pts: list[int] = []

    def add_frame(self, pts: int) -> Iterator[Span]:
        """Take the next frame; pts strictly increase."""
        self._pts.append(pts)
        settled = len(self._pts) - 1 - self._lag_frames
        if settled > 0 and self._ticks(settled) > self._max_ticks + self._min_ticks:
            count = self._part(settled)
            if count < settled:
                yield self._take(count)

    def cut(self, frame: int) -> Iterator[Span]:
        """End the open shot before this frame number."""
        length = frame - self._first
        if 0 < length < len(self._pts):
            yield from self._divide(length)
            self._boundary = "cut"

    def finish(self, end_pts: int) -> Iterator[Span]:
        """End the last shot; `end_pts` is the end of the last frame."""
        if self._pts:
            self._pts.append(max(end_pts, self._pts[-1] + 1))
            yield from self._divide(len(self._pts) - 1)
            self._pts = []

    def _divide(self, length: int) -> Iterator[Span]:
        while length:
            count = self._part(length)
            yield self._take(count)
            length -= count

    def _part(self, length: int) -> int:
        """How many of the first `length` frames make the next span: all if nothing divides them."""
        ticks = self._ticks(length)
        if ticks <= self._max_ticks:
            return length
        aim = self._max_ticks if ticks > self._max_ticks + self._min_ticks else ticks // 2
        before = bisect_right(self._pts, self._pts[0] + aim) - 1
        for count in (before, before + 1):
            parts = (self._ticks(count), ticks - self._ticks(count))
            if 0 < count < length and min(parts) >= self._min_ticks:
                return count
        return length

    def _ticks(self, count: int) -> int:
        return self._pts[count] - self._pts[0]

    def _take(self, count: int) -> Span:
        span = Span(
            self._first, self._first + count, self._pts[0], self._pts[count], self._boundary
        )
        del self._pts[:count]
        self._first += count
        self._boundary = "length"
        return span


def tiles(spans: list[Span]) -> bool:
    """Whether each span starts where the one before it ends."""
    return all(
        (before.end_frame, before.end_pts) == (after.start_frame, after.start_pts)
        for before, after in pairwise(spans)
    )
