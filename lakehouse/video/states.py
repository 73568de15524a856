"""Which state footage is in, sample by sample, and where it changes for good.

Only states over time belong here: what is measured of a sample is `signals`, cuts are `shots`,
and what becomes of a boundary is the tiler's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from lakehouse.settings import StateSettings
from lakehouse.video.signals import Signals

State = Literal["moving", "dark", "covered", "blurred", "still"]

_LONGEST_GAP_S = 1.0
"""Of a longer pause between two samples only the end may belong to the new state."""


@dataclass(frozen=True)
class StateChange:
    """From `pts` on, in the stream's time base, the footage is in `state`."""

    pts: int
    state: State


def state_of(signals: Signals, before: State, levels: StateSettings) -> State:
    """The state that one sample shows, if the sample before it showed `before`.

    Of several states that hold at once the first wins of dark, covered, blurred, still; where
    none holds, the footage moves. Each is left at another level than it is entered at. Without
    a motion (the first sample of a shot) there is no stand-still unless there was one.
    """
    for state, holds in _HOLDS.items():
        if holds(signals, levels, state == before):
            return state
    return "moving"


def _dark(signals: Signals, levels: StateSettings, within: bool) -> bool:
    return signals.darkness > (levels.dark_until if within else levels.dark_from)


def _covered(signals: Signals, levels: StateSettings, within: bool) -> bool:
    return signals.texture < (levels.covered_until if within else levels.covered_from)


def _blurred(signals: Signals, levels: StateSettings, within: bool) -> bool:
    return signals.sharpness < (levels.blurred_until if within else levels.blurred_from)


def _still(signals: Signals, levels: StateSettings, within: bool) -> bool:
    if signals.motion is None:
        return within
    return signals.motion < (levels.still_until if within else levels.still_from)


_HOLDS: dict[State, Callable[[Signals, StateSettings, bool], bool]] = {
    "dark": _dark,
    "covered": _covered,
    "blurred": _blurred,
    "still": _still,
}


@dataclass(frozen=True)
class _Run:
    """Samples in a row that show one state: where it begins, and the first of them."""

    state: State
    begins_pts: int
    first_pts: int


class StateTracker:
    """Follows the samples of a recording in their order and tells where its state changes.

    A state counts once its samples span `min_state_s`; a shorter one belongs to the state before
    it. The first state that counts after the start, or after `restart`, is the shot's own: its
    boundary is the cut, whatever flickered in between, so nothing is reported within
    `min_state_s` of a cut. A change lies midway between the last sample before the state and its
    first. What is pending at a cut or at the end is too short to count.
    """

    def __init__(self, settings: StateSettings, ticks_per_s: float) -> None:
        self._settings = settings
        self._min_state = settings.min_state_s * ticks_per_s
        self._longest_gap = _LONGEST_GAP_S * ticks_per_s
        self.restart()

    @property
    def lag_s(self) -> float:
        """Once a sample at t is added, every change earlier than t - `lag_s` is reported."""
        return self._settings.min_state_s + _LONGEST_GAP_S / 2

    @property
    def state(self) -> State | None:
        """The state that counts now; none until the shot's first does."""
        return self._state

    def restart(self) -> None:
        """A cut: the next sample is the first of another shot, of which nothing is known."""
        self._state: State | None = None
        self._run: _Run | None = None
        self._pts: tuple[int, ...] = ()

    def add(self, pts: int, signals: Signals) -> Iterator[StateChange]:
        """Take the next sample, its `pts` after the last one's; yields a change now certain."""
        run = self._run_with(pts, signals)
        self._run, self._pts = run, (*self._pts, pts)[-2:]
        if run.state == self._state or pts - run.first_pts < self._min_state:
            return
        shot_is_new, self._state = self._state is None, run.state
        if not shot_is_new:
            yield StateChange(run.begins_pts, run.state)

    def _run_with(self, pts: int, signals: Signals) -> _Run:
        run = self._run
        if run is None:
            return _Run(state_of(signals, "moving", self._settings), pts, pts)
        state = state_of(signals, run.state, self._settings)
        if state == run.state:
            return run
        if (run.state, state) == ("moving", "still"):
            # Motion is of the interval since the sample before: that one stood already.
            *earlier, first = self._pts
            return _Run(state, self._between(earlier[-1] if earlier else first, first), first)
        return _Run(state, self._between(self._pts[-1], pts), pts)

    def _between(self, last_pts: int, first_pts: int) -> int:
        return first_pts - round(min(first_pts - last_pts, self._longest_gap) / 2)
