"""What happens in the sample: which dog walks where and when, and what goes wrong.

Pure planning from the options; nothing here draws or writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from math import pi
from typing import Generic, TypeVar

import numpy as np
from numpy.random import Generator

from lakehouse.sample.rooms import COOL, WARM, Room
from lakehouse.sample.stretch import Stretch, fade_for
from lakehouse.sample.truth import REASONS, STATE_REASONS, Condition, State
from lakehouse.sample.walk import GAITS, WALKING, Walk, pace_for

T = TypeVar("T")

_SHOT_S = 7.5
_FEWEST_SHOTS = 3
_SHARE_SPOILED = 0.4
_CHANGING_SHOT = 1.6
"""How much longer than the others a shot is that holds a stretch in another state."""
_STRETCH_S = (2.0, 6.0)
_STRETCH_MARGIN_S = 2.1
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
    stretch: Stretch | None

    def condition_of(self, camera: str) -> Condition:
        """What this camera recorded in the shot."""
        return self.condition if self.camera in (None, camera) else "good"

    def stretch_of(self, camera: str) -> Stretch | None:
        """The change of state that this camera recorded in the shot."""
        hit = self.stretch and self.stretch.camera in (None, camera)
        return self.stretch if hit else None


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


@dataclass
class _Deck(Generic[T]):
    """Every card has its turn before one comes again; the first of each hits all cameras, later
    ones a single camera, if their fault is one of cameras."""

    cards: Sequence[T]
    of_cameras: frozenset[T]
    cameras: Sequence[str]
    dealt: int = field(default=0, init=False)

    def deal(self) -> tuple[T, str | None]:
        card = self.cards[self.dealt % len(self.cards)]
        again = self.dealt >= len(self.cards) and card in self.of_cameras
        camera = self.cameras[self.dealt % len(self.cameras)] if again else None
        self.dealt += 1
        return card, camera


@dataclass(frozen=True)
class _Part:
    """What a shot is to hold, before it has its place in time."""

    condition: Condition = "good"
    state: State = "moving"
    camera: str | None = None


@dataclass(frozen=True)
class _Decks:
    faults: _Deck[Condition]
    gaits: _Deck[Condition]
    states: _Deck[State]


def patrols(
    seed: int,
    robots: Sequence[str],
    days: Sequence[date],
    cameras: Sequence[str],
    frame_count: int,
    fps: int,
) -> list[Patrol]:
    """All patrols, by robot, then day. Conditions and states each have their turn."""
    rng = np.random.default_rng(seed)
    decks = _Decks(
        _Deck(_shuffled(list(REASONS), rng), frozenset(REASONS) - {"still"}, cameras),
        _Deck(_shuffled(["trot", "inspect"], rng), frozenset(), cameras),
        _Deck(_shuffled(list(STATE_REASONS), rng), frozenset({"covered", "blurred"}), cameras),
    )
    planned = []
    for robot in robots:
        for day in days:
            parts = _parts(max(_FEWEST_SHOTS, round(frame_count / fps / _SHOT_S)), decks, rng)
            edges = _edges(parts, frame_count, rng)
            rooms = _rooms(len(parts), rng)
            shots = tuple(
                _shot(part, room, edges[i], edges[i + 1], fps, rng)
                for i, (part, room) in enumerate(zip(parts, rooms, strict=True))
            )
            planned.append(Patrol(robot, day, shots))
    return planned


def kept_frames(patrol: Patrol, variable: bool, rng: Generator) -> list[int]:
    """The frames that the recorder kept: all, or with single ones dropped.

    No two in a row are dropped, nor the first of a shot, nor the last two of the file, nor those
    of a change of state, whose steps would pass for cuts.
    """
    count = patrol.shots[-1].end
    if not variable:
        return list(range(count))
    needed = {shot.start for shot in patrol.shots} | {count - 2, count - 1}
    needed.update(*(shot.stretch.changing for shot in patrol.shots if shot.stretch))
    kept = []
    dropped_before = False
    for frame in range(count):
        may_drop = frame not in needed and not dropped_before
        dropped_before = may_drop and rng.random() < 0.2
        if not dropped_before:
            kept.append(frame)
    return kept


def _shuffled(cards: list[T], rng: Generator) -> list[T]:
    return [cards[i] for i in rng.permutation(len(cards))]


def _parts(count: int, decks: _Decks, rng: Generator) -> list[_Part]:
    """The first shot is plain and good; of those not spoiled half hold a change of state, and
    half of the rest are a trot on the spot or an inspection."""
    parts = [_Part()] * count
    spoiled = _spoiled(count, rng)
    for place in sorted(spoiled):
        condition, camera = decks.faults.deal()
        parts[place] = _Part(condition, camera=camera)
    free = [int(place) for place in rng.permutation(range(1, count)) if place not in spoiled]
    changing = (len(free) + 1) // 2
    standing = (len(free) - changing + 1) // 2
    for place in sorted(free[:changing]):
        state, camera = decks.states.deal()
        parts[place] = _Part(state=state, camera=camera)
    for place in sorted(free[changing : changing + standing]):
        condition, _ = decks.gaits.deal()
        parts[place] = _Part(condition)
    return parts


def _edges(parts: Sequence[_Part], frame_count: int, rng: Generator) -> list[int]:
    shares = rng.uniform(0.88, 1.12, len(parts))
    shares *= [1.0 if part.state == "moving" else _CHANGING_SHOT for part in parts]
    return [0, *(np.cumsum(shares) / shares.sum() * frame_count).round().astype(int).tolist()]


def _shot(part: _Part, room: Room, start: int, end: int, fps: int, rng: Generator) -> Shot:
    stretch = None if part.state == "moving" else _stretch(part, start, end, fps, rng)
    stop_s = None
    if stretch and stretch.state == "still":
        stop_s = ((stretch.start - start) / fps, (stretch.end - start) / fps)
    walk = Walk(
        room,
        start_m=float(rng.uniform(*_STARTS_M)),
        backwards=bool(rng.integers(2)),
        phase=float(rng.uniform(0, 2 * pi)),
        pace=pace_for(fps),
        gait=GAITS.get(part.condition, WALKING),
        stop_s=stop_s,
    )
    plain = part == _Part()
    burst = _burst(start, end, fps, rng) if plain else None
    camera = None if stretch else part.camera
    return Shot(start, end, walk, part.condition, camera, burst, stretch)


def _stretch(part: _Part, start: int, end: int, fps: int, rng: Generator) -> Stretch:
    shortest_s, longest_s = _STRETCH_S
    room_s = (end - start) / fps - 2 * _STRETCH_MARGIN_S
    length_s = rng.uniform(shortest_s, min(longest_s, room_s))
    first = start + round((_STRETCH_MARGIN_S + rng.uniform(0, room_s - length_s)) * fps)
    return Stretch(part.state, first, first + round(length_s * fps), part.camera, fade_for(fps))


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
    if rng.random() < 0.25:
        return None
    margin, length = round(_BURST_MARGIN_S * fps), max(1, round(_BURST_S * fps))
    first = int(rng.integers(start + margin, end - margin - length))
    return first, first + length
