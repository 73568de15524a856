"""What happens in the sample: which dog walks where and when, and what goes wrong.

Pure planning from the options; nothing here draws or writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from math import pi

import numpy as np
from numpy.random import Generator

from lakehouse.sample.rooms import COOL, WARM, Room
from lakehouse.sample.truth import REASONS, Condition
from lakehouse.sample.walk import Walk, pace_for

_SHOT_S = 7.0
_FEWEST_SHOTS = 3
_SHARE_SPOILED = 0.4
_STARTS_M = (1.5, 5.5)
_BURST_S = 0.25
_BURST_MARGIN_S = 1.5
_START = time(9, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Shot:
    """A stretch without a cut, in frames of the steady rate; the recorder paused before it."""

    start: int
    end: int
    walk: Walk
    condition: Condition
    camera: str | None
    """The one camera that the condition hits; none for all."""
    burst: tuple[int, int] | None
    """Frames out of focus for a moment, the end exclusive."""

    def condition_of(self, camera: str) -> Condition:
        """What this camera recorded in the shot."""
        return self.condition if self.camera in (None, camera) else "good"


@dataclass(frozen=True)
class Patrol:
    """One dog's walk of one day, seen by all its cameras."""

    robot: str
    day: date
    shots: tuple[Shot, ...]

    @property
    def start(self) -> datetime:
        """When the recording starts."""
        return datetime.combine(self.day, _START)


def patrols(
    seed: int,
    robots: Sequence[str],
    days: Sequence[date],
    cameras: Sequence[str],
    frame_count: int,
    fps: int,
) -> list[Patrol]:
    """All patrols, by robot, then day. Every condition has its turn before one comes again.

    The first of each hits all cameras, later ones a single camera.
    """
    rng = np.random.default_rng(seed)
    deck = [list(REASONS)[i] for i in rng.permutation(len(REASONS))]
    dealt = 0
    planned = []
    for robot in robots:
        for day in days:
            edges = _edges(frame_count, fps, rng)
            rooms = _rooms(len(edges) - 1, rng)
            spoiled = _spoiled(len(rooms), rng)
            shots = []
            for i, room in enumerate(rooms):
                condition: Condition = "good"
                camera = None
                if i in spoiled:
                    condition = deck[dealt % len(deck)]
                    if dealt >= len(deck) and condition != "still":
                        camera = cameras[dealt % len(cameras)]
                    dealt += 1
                walk = Walk(
                    room,
                    start_m=float(rng.uniform(*_STARTS_M)),
                    backwards=bool(rng.integers(2)),
                    phase=float(rng.uniform(0, 2 * pi)),
                    pace=pace_for(fps),
                    standing=condition == "still",
                )
                burst = _burst(edges[i], edges[i + 1], fps, rng) if condition == "good" else None
                shots.append(Shot(edges[i], edges[i + 1], walk, condition, camera, burst))
            planned.append(Patrol(robot, day, tuple(shots)))
    return planned


def kept_frames(patrol: Patrol, variable: bool, rng: Generator) -> list[int]:
    """The frames that the recorder kept: all, or with single ones dropped.

    No two in a row are dropped, nor the first of a shot, nor the last two of the file.
    """
    count = patrol.shots[-1].end
    if not variable:
        return list(range(count))
    starts = {shot.start for shot in patrol.shots}
    kept = []
    dropped_before = False
    for frame in range(count):
        may_drop = frame not in starts and frame < count - 2 and not dropped_before
        dropped_before = may_drop and rng.random() < 0.2
        if not dropped_before:
            kept.append(frame)
    return kept


def _edges(frame_count: int, fps: int, rng: Generator) -> list[int]:
    count = max(_FEWEST_SHOTS, round(frame_count / fps / _SHOT_S))
    shares = rng.uniform(0.88, 1.12, count)
    return [0, *(np.cumsum(shares) / shares.sum() * frame_count).round().astype(int).tolist()]


def _rooms(count: int, rng: Generator) -> list[Room]:
    """Rooms of the two families in turn, each of a family seen before one comes again."""
    families = [WARM, COOL] if rng.integers(2) else [COOL, WARM]
    orders = [rng.permutation(len(family)) for family in families]
    return [families[i % 2][orders[i % 2][i // 2 % len(families[i % 2])]] for i in range(count)]


def _spoiled(count: int, rng: Generator) -> set[int]:
    """Which shots something is wrong with: never the first, never two in a row."""
    wanted = int(_SHARE_SPOILED * count)
    places = np.sort(rng.choice(count - wanted, wanted, replace=False))
    return {1 + int(place) + earlier for earlier, place in enumerate(places)}


def _burst(start: int, end: int, fps: int, rng: Generator) -> tuple[int, int] | None:
    if rng.random() < 0.5:
        return None
    margin, length = round(_BURST_MARGIN_S * fps), max(1, round(_BURST_S * fps))
    first = int(rng.integers(start + margin, end - margin - length))
    return first, first + length
