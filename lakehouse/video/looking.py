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
    lost = damage.packets
    for decoded in frames:
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
                damage.packets - lost,
            )
            lost = damage.packets
        waiting.append(look)
        if len(waiting) > watcher.delay_frames:
            yield waiting.popleft()
    watcher.finish()
    yield from waiting


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
