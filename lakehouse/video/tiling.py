"""How a stream of frames and cuts becomes spans that tile it.

Only frame numbers and pts are known here: no pictures, no statuses.
"""

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

    No span is longer than `max_ticks` by more than a frame, and dividing a shot never yields a
    span shorter than `min_ticks` (given `max_ticks >= 2 * min_ticks`): the last two parts of a
    long shot share its rest evenly. `lag_frames` is how late a cut may be reported; a cut that is
    reported later than that, inside a span that is already out, is ignored.
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
        settled = self._pts[-1 - self._lag_frames] if len(self._pts) > self._lag_frames else None
        if settled is not None and settled - self._pts[0] >= self._max_ticks + self._min_ticks:
            yield self._take(self._frames_within(self._max_ticks))

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
        ticks = self._pts[length] - self._pts[0]
        while ticks > self._max_ticks + self._min_ticks:
            count = self._frames_within(self._max_ticks)
            yield self._take(count)
            length -= count
            ticks = self._pts[length] - self._pts[0]
        if ticks > self._max_ticks and length > 1:
            count = min(self._frames_within(ticks // 2), length - 1)
            yield self._take(count)
            length -= count
        yield self._take(length)

    def _frames_within(self, ticks: int) -> int:
        end = self._pts[0] + ticks
        return max(1, next(n for n, pts in enumerate(self._pts) if pts >= end))

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
