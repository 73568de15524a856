"""One camera's take of a patrol: its frames as recorded, and the truth about them.

What happens in the patrol is `script`; where the take is written is `footage`.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from lakehouse.sample.gate import Gate
from lakehouse.sample.lens import Lens
from lakehouse.sample.render import Pose, Renderer
from lakehouse.sample.rooms import COOL, WARM, Room
from lakehouse.sample.script import Patrol, Shot, kept_frames
from lakehouse.sample.surface import Image, Quad
from lakehouse.sample.truth import (
    REASONS,
    STATE_REASONS,
    STATES,
    Event,
    FileTruth,
    ShotTruth,
    State,
    StateSpan,
)
from lakehouse.sample.world import build


@dataclass(frozen=True)
class Take:
    """What one file holds. `number` counts the takes of a sample; size is width and height."""

    patrol: Patrol
    camera: str
    codec: Literal["h264", "hevc"]
    variable: bool
    number: int
    seed: int
    size: tuple[int, int]
    fps: int

    def key(self, name: str) -> str:
        """Where a file of this take lies in the bucket."""
        return f"{self.patrol.robot}/{self.camera}/{self.patrol.day.isoformat()}/{name}"

    def kept(self) -> list[int]:
        """The frames that the recorder kept, counted at the steady rate."""
        rng = np.random.default_rng([self.seed, self.number])
        return kept_frames(self.patrol, self.variable, rng)


def frames(take: Take) -> Iterator[tuple[int, Image]]:
    """Each frame with its place in time, in units of 1/fps."""
    lens = Lens(*take.size, take.seed + take.number)
    kept = take.kept()
    for shot in take.patrol.shots:
        condition, stretch = shot.condition_of(take.camera), shot.stretch_of(take.camera)
        of_shot = kept[bisect_left(kept, shot.start) : bisect_left(kept, shot.end)]
        for frame, drawn in _drawn(take, shot, of_shot):
            image = lens.see(drawn, condition, frame)
            if shot.burst and shot.burst[0] <= frame < shot.burst[1]:
                image = lens.blurred(image)
            if stretch and (depth := stretch.depth(frame)):
                image = lens.spoilt(image, stretch.state, depth, frame, frame / take.fps)
            yield frame, image


def _drawn(take: Take, shot: Shot, of_shot: list[int]) -> Iterator[tuple[int, Image]]:
    """What is before the lens. Only what has changed is drawn anew."""
    quads = _quads(shot.walk.room, take.seed)
    renderer = Renderer(quads, *take.size)
    gate: Gate | None = None
    if shot.condition == "inspect":
        gate = Gate(shot.walk.room, shot.walk.pose(0, take.camera), take.seed)
    pose: Pose | None = None
    for frame in of_shot:
        time_s = (frame - shot.start) / take.fps
        before, pose = pose, shot.walk.pose(time_s, take.camera)
        if gate:
            renderer = Renderer(quads + gate.at(time_s * shot.walk.pace), *take.size)
        if gate or pose != before:
            drawn = renderer.draw(pose)
        yield frame, drawn


@lru_cache(maxsize=len(WARM) + len(COOL))
def _quads(room: Room, seed: int) -> list[Quad]:
    return build(room, seed)


def truth_of(take: Take, name: str) -> FileTruth:
    """The truth about a whole file of this take."""
    clock = _Clock(take)
    shots = tuple(_truth_of_shot(shot, take.camera, clock) for shot in take.patrol.shots)
    return FileTruth(
        take.key(name),
        take.patrol.robot,
        take.camera,
        take.patrol.day,
        take.codec,
        take.variable,
        broken=False,
        frame_count=shots[-1].end_frame,
        duration_s=shots[-1].end_s,
        shots=shots,
    )


class _Clock:
    """From spans at the steady rate to those of the frames that were kept."""

    def __init__(self, take: Take) -> None:
        self._kept, self._fps = take.kept(), take.fps
        self._end = take.patrol.shots[-1].end

    def span(self, start: int, end: int) -> tuple[int, int, float, float]:
        """First frame and end, as decoded, and their seconds."""
        first, last = bisect_left(self._kept, start), bisect_left(self._kept, end)
        return first, last, self._seconds(first), self._seconds(last)

    def _seconds(self, position: int) -> float:
        return (self._kept[position] if position < len(self._kept) else self._end) / self._fps


def _truth_of_shot(shot: Shot, camera: str, clock: _Clock) -> ShotTruth:
    condition = shot.condition_of(camera)
    rejected_for = REASONS.get(condition)
    events = (Event("blur_burst", *clock.span(*shot.burst)),) if shot.burst else ()
    states = tuple(
        StateSpan(state, *clock.span(first, end), STATE_REASONS.get(state, rejected_for))
        for state, first, end in _states(shot, camera)
    )
    span = clock.span(shot.start, shot.end)
    return ShotTruth(*span, shot.walk.room.name, condition, rejected_for, events, states)


def _states(shot: Shot, camera: str) -> list[tuple[State, int, int]]:
    state, stretch = STATES.get(shot.condition_of(camera), "moving"), shot.stretch_of(camera)
    if stretch is None:
        return [(state, shot.start, shot.end)]
    edges = (shot.start, stretch.start, stretch.end, shot.end)
    return [
        (named, first, end)
        for named, (first, end) in zip((state, stretch.state, state), pairwise(edges), strict=True)
    ]
