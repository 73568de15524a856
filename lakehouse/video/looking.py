"""What the decode pass takes from each frame before it lets go of it.

A look depends on the frame and the one before it only, so that parts of a recording can be looked
at in several places. What a recording's looks amount to is `segmenting`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lakehouse.video.content import Picture
from lakehouse.video.decode import Decoded
from lakehouse.video.packets import Damage
from lakehouse.video.parts import CannotSplit
from lakehouse.video.sampling import Grid, Sample, Sampler
from lakehouse.video.shots import Sight, Watcher, join

_BURST_FRAMES = 8
_BURST_BYTES = 16 * 2**20


@dataclass(slots=True)
class Look:
    """One frame: times in ticks, the coded `size` (none where the picture was left out), and how
    many packets were refused since the frame before."""

    pts: int
    duration: int
    size: tuple[int, int] | None
    sight: Sight
    sample: Sample | None = None
    packets_lost: int = 0


def looks_at(
    frames: Iterable[Decoded], watcher: Watcher, sampler: Sampler, damage: Damage, start_pts: int
) -> Iterator[Look]:
    """A look at each frame, in order. Their pts strictly increase: containers without a usable
    clock are given one tick more, from `start_pts` on."""
    waiting: deque[Look] = deque()
    picture: Picture | None = None
    pts: int | None = None
    known_lost = damage.packets
    for decoded, lost in _in_bursts(frames, damage):
        stated = start_pts if pts is None and decoded.pts is None else decoded.pts
        pts = stated if pts is None or (stated is not None and stated > pts) else pts + 1
        assert pts is not None
        frame = decoded.frame
        if frame is None:
            look = Look(pts, 0, None, Sight(picture=picture))
        else:
            sight = watcher.see(frame)
            picture = sight.picture
            look = Look(
                pts,
                decoded.duration,
                (frame.width, frame.height),
                sight,
                sampler.add(pts, frame),
                lost - known_lost,
            )
            known_lost = lost
        waiting.append(look)
        if len(waiting) > watcher.delay_frames:
            yield waiting.popleft()
    watcher.finish()
    yield from waiting


def _in_bursts(frames: Iterable[Decoded], damage: Damage) -> Iterator[tuple[Decoded, int]]:
    """The frames, a few decoded at a time, each with the packets refused until then.

    Decoder and looks evict each other from the processor's caches: taking turns frame by frame
    costs a look twice the time.
    """
    burst: list[tuple[Decoded, int]] = []
    size_bytes = 0
    for decoded in frames:
        burst.append((decoded, damage.packets))
        if decoded.frame:
            size_bytes += sum(plane.buffer_size for plane in decoded.frame.planes)
        if size_bytes >= _BURST_BYTES or len(burst) == _BURST_FRAMES:
            yield from burst
            burst, size_bytes = [], 0
    yield from burst


def joined(parts: Iterable[list[Look]], grid: Grid) -> Iterator[Look]:
    """The looks at all parts of a stream as if it had been one. Raises CannotSplit where their
    times overlap."""
    last: Look | None = None
    for part in parts:
        if not part or (last and part[0].pts <= last.pts):
            raise CannotSplit
        first = part[0]
        if last:
            join(last.sight, first.sight)
            if grid.cell(first.pts) == grid.cell(last.pts):
                first.sample = None
        last = part[-1]
        yield from part
