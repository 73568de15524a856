from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from lakehouse.settings import StateSettings
from lakehouse.video.signals import Signals, coarse, measure, with_motion
from lakehouse.video.states import State, StateChange, StateTracker, state_of

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage" / "robot"
TICKS_PER_S = 1000
INTERVAL = 500
LEVELS = StateSettings()
STATES: tuple[State, ...] = get_args(State)

MOVING = Signals(
    sharpness=0.6,
    under_exposed=0.1,
    over_exposed=0.0,
    darkness=0.3,
    noise=1.0,
    motion=12.0,
    residual_motion=4.0,
    texture=35.0,
)
CLEARLY: dict[State, Signals] = {
    "moving": MOVING,
    "dark": replace(MOVING, darkness=0.95),
    "covered": replace(MOVING, texture=2.0),
    "blurred": replace(MOVING, sharpness=0.2),
    "still": replace(MOVING, motion=0.1),
}
LEVEL_OF: dict[State, str] = {
    "dark": "darkness",
    "covered": "texture",
    "blurred": "sharpness",
    "still": "motion",
}


def follow(
    samples: Iterable[tuple[int, Signals]], cuts: Iterable[int] = ()
) -> list[tuple[int, StateChange]]:
    """Each change with the pts of the sample that made it certain."""
    tracker, left = StateTracker(LEVELS, TICKS_PER_S), sorted(cuts)
    reported = []
    for pts, signals in samples:
        while left and pts >= left[0]:
            tracker.restart()
            left.pop(0)
        reported += [(pts, change) for change in tracker.add(pts, signals)]
    return reported


def footage(*stretches: tuple[State, float]) -> list[tuple[int, Signals]]:
    """A sample every half second of stretches in a state, with their length in seconds."""
    signals = [CLEARLY[state] for state, length_s in stretches for _ in range(int(2 * length_s))]
    return [(number * INTERVAL, sample) for number, sample in enumerate(signals)]


def changes(*stretches: tuple[State, float]) -> list[tuple[float, State]]:
    return [(c.pts / TICKS_PER_S, c.state) for _, c in follow(footage(*stretches))]


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_told(state: State) -> None:
    assert state_of(CLEARLY[state], "moving", LEVELS) == state


@pytest.mark.parametrize(("stronger", "weaker"), pairwise(("dark", "covered", "blurred", "still")))
def test_of_two_states_the_one_that_explains_the_other_wins(stronger: State, weaker: State) -> None:
    both = {LEVEL_OF[s]: getattr(CLEARLY[s], LEVEL_OF[s]) for s in (stronger, weaker)}
    assert state_of(replace(MOVING, **both), "moving", LEVELS) == stronger


@pytest.mark.parametrize("state", LEVEL_OF)
def test_between_its_two_levels_a_state_stays_and_does_not_begin(state: State) -> None:
    enter, leave = (getattr(LEVELS, f"{state}_{end}") for end in ("from", "until"))
    between = replace(MOVING, **{LEVEL_OF[state]: (enter + leave) / 2})
    assert state_of(between, state, LEVELS) == state
    assert state_of(between, "moving", LEVELS) == "moving"


@pytest.mark.parametrize("state", ["covered", "blurred", "still"])
def test_levels_without_hysteresis_are_refused(state: str) -> None:
    with pytest.raises(ValidationError, match=f"{state}_until must be at least {state}_from"):
        StateSettings.model_validate({f"{state}_until": 0.01})
    with pytest.raises(ValidationError, match="dark_until must be at most dark_from"):
        StateSettings(dark_until=0.9)


def test_a_sample_without_motion_is_still_only_after_a_still_one() -> None:
    alone = replace(MOVING, motion=None, residual_motion=None)
    assert state_of(alone, "moving", LEVELS) == "moving"
    assert state_of(alone, "still", LEVELS) == "still"


@pytest.mark.parametrize("state", ["dark", "covered", "blurred"])
def test_a_change_lies_midway_between_the_samples_around_it(state: State) -> None:
    assert changes(("moving", 4), (state, 3), ("moving", 4)) == [(3.75, state), (6.75, "moving")]


def test_a_stand_begins_before_the_first_interval_without_motion() -> None:
    """The motion of a sample is that since the one before, which then stood already."""
    assert changes(("moving", 4), ("still", 3), ("moving", 4)) == [
        (3.25, "still"),
        (6.75, "moving"),
    ]


def test_a_stand_after_the_dark_begins_with_the_light() -> None:
    light_on = replace(MOVING, motion=80.0)
    signals = [CLEARLY["dark"]] * 6 + [light_on] + [CLEARLY["still"]] * 6
    samples = [(number * INTERVAL, sample) for number, sample in enumerate(signals)]
    assert [change for _, change in follow(samples)] == [StateChange(2750, "still")]


@pytest.mark.parametrize("state", LEVEL_OF)
def test_a_moment_is_no_state(state: State) -> None:
    assert changes(("moving", 4), (state, 1), ("moving", 4)) == []


def test_a_moment_at_a_change_moves_no_boundary() -> None:
    assert changes(("moving", 4), ("blurred", 0.5), ("dark", 4)) == [(4.25, "dark")]


@pytest.mark.parametrize("state", LEVEL_OF)
def test_a_shots_first_state_is_its_own_and_no_change(state: State) -> None:
    assert changes((state, 4)) == []
    assert [s for _, s in changes((state, 4), ("moving", 4))] == ["moving"]


def test_what_flickers_at_the_start_of_a_shot_is_the_cuts() -> None:
    assert changes(("blurred", 1), ("dark", 1), ("moving", 4)) == []


def test_a_change_at_a_cut_is_reported_once_by_the_cut() -> None:
    samples = footage(("moving", 4), ("dark", 4))
    for cut_s in (3.3, 3.8, 4.0, 4.3):
        assert follow(samples, cuts=[int(cut_s * TICKS_PER_S)]) == []


def test_a_change_well_after_a_cut_is_a_change() -> None:
    reported = follow(footage(("moving", 4), ("dark", 4)), cuts=[2000])
    assert [change.state for _, change in reported] == ["dark"]


def test_a_cut_takes_no_hysteresis_along() -> None:
    dusk = replace(MOVING, darkness=(LEVELS.dark_from + LEVELS.dark_until) / 2)
    samples = [*footage(("dark", 4)), *((4000 + n * INTERVAL, dusk) for n in range(8))]
    tracker = StateTracker(LEVELS, TICKS_PER_S)
    for pts, signals in samples:
        if pts == 4000:
            assert tracker.state == "dark"
            tracker.restart()
            assert tracker.state is None
        assert list(tracker.add(pts, signals)) == []
    assert tracker.state == "moving"


def test_after_a_pause_in_the_recording_only_its_end_belongs_to_the_new_state() -> None:
    before, after = footage(("moving", 4)), footage(("dark", 4))
    samples = [*before, *((pts + 60_000, signals) for pts, signals in after)]
    assert [change for _, change in follow(samples)] == [StateChange(59_500, "dark")]


def test_a_blank_wall_near_the_level_chops_nothing() -> None:
    levels = [LEVELS.covered_from + 3 * (number % 2) - 0.5 for number in range(40)]
    samples = [
        (number * INTERVAL, replace(MOVING, texture=level))
        for number, level in enumerate([35.0] * 8 + levels + [35.0] * 8)
    ]
    assert [change.state for _, change in follow(samples)] == ["covered", "moving"]


readings = st.lists(
    st.tuples(st.integers(20, 3000), st.sampled_from(STATES)), min_size=1, max_size=80
)
cut_places = st.lists(st.integers(0, 60_000), max_size=3)


def timed(readings: Sequence[tuple[int, State]]) -> list[tuple[int, Signals]]:
    ends = np.cumsum([gap for gap, _ in readings]).tolist()
    return [(pts, CLEARLY[state]) for pts, (_, state) in zip(ends, readings, strict=True)]


@given(readings, cut_places)
def test_changes_come_in_order_and_each_changes_something(
    readings: list[tuple[int, State]], cuts: list[int]
) -> None:
    reported = [change for _, change in follow(timed(readings), cuts)]
    for last, change in pairwise(reported):
        assert last.pts < change.pts
        between = [cut for cut in cuts if last.pts < cut]
        assert last.state != change.state or between


@given(readings, cut_places)
def test_whatever_is_reported_later_lies_within_the_lag(
    readings: list[tuple[int, State]], cuts: list[int]
) -> None:
    samples = timed(readings)
    lag = StateTracker(LEVELS, TICKS_PER_S).lag_s * TICKS_PER_S
    places = [pts for pts, _ in samples]
    for reported_at, change in follow(samples, cuts):
        earlier = [pts for pts in places if pts < reported_at]
        assert change.pts >= earlier[-1] - lag - 1


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(1, 2)), max_size=40))
def test_states_shorter_than_the_least_are_never_reported(
    stretches: list[tuple[State, int]],
) -> None:
    runs = [next(group) for _, group in groupby(stretches, key=lambda stretch: stretch[0])]
    samples = footage(("moving", 4), *((state, count / 2) for state, count in runs))
    # A stand spans one sample more than it has intervals without motion: here still too few.
    assert [c for _, c in follow(samples) if c.state != "moving"] == []


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(4, 12)), min_size=1, max_size=12))
def test_states_that_last_are_all_reported(stretches: list[tuple[State, int]]) -> None:
    runs = [next(group) for _, group in groupby(stretches, key=lambda stretch: stretch[0])]
    reported = changes(*((state, count / 2) for state, count in runs))
    assert [state for _, state in reported] == [state for state, _ in runs[1:]]


def test_pictures_of_a_walk_its_faults_and_a_stand_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    wall = cv2.GaussianBlur(rng.normal(0, 1, (400, 1400)).astype(np.float32), (0, 0), 2)
    wall += 3 * cv2.GaussianBlur(rng.normal(0, 1, wall.shape).astype(np.float32), (0, 0), 12)
    wall = np.clip(120 + 35 * wall / wall.std(), 0, 255)
    tracker, before = StateTracker(LEVELS, TICKS_PER_S), None
    found = []
    for number in range(48):
        stretch: State = ("moving", "dark", "moving", "covered", "blurred", "still")[number // 8]
        x = 12 * min(number, 40)
        picture = wall[20:380, x : x + 640]
        if stretch == "dark":
            picture = picture * 0.05
        elif stretch == "covered":
            picture = 105 + 0.02 * cv2.GaussianBlur(picture, (0, 0), 20)
        elif stretch == "blurred":
            picture = cv2.GaussianBlur(picture, (0, 0), 9)
        seen = picture + rng.normal(0, 0.6, picture.shape)
        luma = np.clip(seen, 0, 255).round().astype(np.uint8)
        signals, now = measure(luma), coarse(luma)
        if before is not None:
            signals = with_motion(signals, before, now)
        before = now
        found += [(c.pts / TICKS_PER_S, c.state) for c in tracker.add(number * INTERVAL, signals)]
    assert [state for _, state in found] == ["dark", "moving", "covered", "blurred", "still"]
    assert [at_s for at_s, _ in found] == pytest.approx([4, 8, 12, 16, 20], abs=0.5)


@pytest.mark.skipif(not FOOTAGE.exists(), reason="no real footage here")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cear_onboard_rgb_dark_to_light_DERIVED.mp4", ["moving"]),
        ("cear_onboard_mocap_trot_rgb_DERIVED.mp4", []),
        ("mbra_quad_3.mp4", []),
    ],
)
def test_real_dogs_are_followed_without_chopping(name: str, expected: list[State]) -> None:
    tracker = StateTracker(LEVELS, TICKS_PER_S)
    before: NDArray[np.uint8] | None = None
    found: list[State] = []
    with av.open(str(FOOTAGE / name)) as container:
        for frame in container.decode(video=0):
            pts = round((frame.time or 0) * TICKS_PER_S)
            if pts % INTERVAL:
                continue
            luma = frame.reformat(640, 360, format="gray").to_ndarray()
            signals, now = measure(luma), coarse(luma)
            if before is not None:
                signals = with_motion(signals, before, now)
            before = now
            found += [change.state for change in tracker.add(pts, signals)]
    assert found == expected
