import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lakehouse.video.ego_motion import residual_motion

Gray = NDArray[np.uint8]
WIDTH, HEIGHT = 128, 72
FINER = 3
pictures = hnp.arrays(np.uint8, (HEIGHT, WIDTH))


def scene(seed: int, detail: float = 4.0) -> Gray:
    """Blobs of several sizes, three times as wide and high as a view, in FINER x its pixels."""
    rng = np.random.default_rng(seed)
    shape = (3 * HEIGHT * FINER, 3 * WIDTH * FINER)
    tone = np.zeros(shape, np.float32)
    for size in (detail, 4 * detail, 16 * detail):
        blobs = rng.normal(size=[round(side / size / FINER) + 1 for side in shape])
        tone += cv2.resize(blobs.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 28 * tone, 0, 255).astype(np.uint8)


def view(scene: Gray, dx: float = 0, dy: float = 0, roll_deg: float = 0, zoom: float = 1) -> Gray:
    """The middle of a scene, moved by dx, dy coarse pixels, as a coarse picture."""
    height, width = scene.shape
    warp = cv2.getRotationMatrix2D((width / 2, height / 2), roll_deg, zoom)
    warp[:, 2] += (FINER * dx, FINER * dy)
    moved = cv2.warpAffine(scene, warp, (width, height), borderMode=cv2.BORDER_REFLECT)
    middle = moved[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    return cv2.resize(middle, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def raw_change(before: Gray, now: Gray) -> float:
    half = (WIDTH // 2, HEIGHT // 2)
    before, now = (cv2.resize(x, half, interpolation=cv2.INTER_AREA) for x in (before, now))
    return float(cv2.absdiff(before, now).mean())


def with_object(picture: Gray, x: int, level: int = 235) -> Gray:
    """The view with a bright thing before it, an eighth of it in size, that has some pattern."""
    seen = picture.copy()
    thing = seen[20:52, x : x + 36]
    thing[:] = level
    thing[::6] = 160
    return seen


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 50),
    st.floats(-0.2 * WIDTH, 0.2 * WIDTH),
    st.floats(-0.18 * HEIGHT, 0.18 * HEIGHT),
)
def test_of_a_camera_that_only_turns_little_remains(seed: int, dx: float, dy: float) -> None:
    wall = scene(seed)
    assert residual_motion(view(wall), view(wall, dx, dy)) < 3


@pytest.mark.parametrize(
    "gait",
    [
        {"dx": 6.0, "dy": 3.0, "roll_deg": 2.0},
        {"dy": -8.0, "roll_deg": -3.0},
        {"dx": -12.0, "zoom": 1.06},
        {"zoom": 0.93},
    ],
)
def test_a_gaits_shift_roll_and_zoom_are_taken_out(gait: dict[str, float]) -> None:
    wall = scene(1)
    before, now = view(wall), view(wall, **gait)
    assert raw_change(before, now) > 10
    assert residual_motion(before, now) < 0.1 * raw_change(before, now)


def test_a_lamp_that_flickers_is_no_motion() -> None:
    before = view(scene(2))
    now = (before * 0.85).astype(np.uint8)
    assert raw_change(before, now) > 10
    assert residual_motion(before, now) < 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 50), st.integers(0, WIDTH - 36), st.integers(0, WIDTH - 36))
def test_what_moves_before_a_standing_camera_stays(seed: int, x_before: int, x_now: int) -> None:
    wall = view(scene(seed))
    before, now = with_object(wall, x_before), with_object(wall, x_now)
    assert residual_motion(before, now) >= 0.75 * raw_change(before, now)


def test_what_moves_before_a_shaken_camera_stays_without_the_shaking() -> None:
    wall = scene(3)
    standing = raw_change(with_object(view(wall), 20), with_object(view(wall), 44))
    before, now = with_object(view(wall), 20), with_object(view(wall, 4, 2, 1), 44)
    assert raw_change(before, now) > 1.5 * standing
    assert 0.7 * standing < residual_motion(before, now) < 1.3 * standing


def test_a_trot_that_sees_nothing_new_changes_less_than_a_stand_that_sees_something() -> None:
    wall = scene(4)
    trot = view(wall, 2, 3, 1), view(wall, -3, -2, -1)
    stand = with_object(view(wall), 40), with_object(view(wall), 48)
    assert raw_change(*trot) > 2 * raw_change(*stand)
    assert residual_motion(*trot) < 0.5 * residual_motion(*stand)


@settings(deadline=None, max_examples=60)
@given(pictures, pictures)
def test_whatever_the_pictures_no_more_remains_than_there_was(before: Gray, now: Gray) -> None:
    residual = residual_motion(before, now)
    assert 0 <= residual <= raw_change(before, now) + 0.5


@pytest.mark.parametrize("level", [0, 90, 255])
def test_flat_pictures_have_no_motion_of_their_own(level: int) -> None:
    flat = np.full((HEIGHT, WIDTH), level, np.uint8)
    assert residual_motion(flat, flat) == 0


def test_another_scene_is_not_explained_by_any_motion() -> None:
    before, now = view(scene(5)), view(scene(6))
    assert residual_motion(before, now) > 0.7 * raw_change(before, now)


def test_a_light_that_goes_on_is_not_explained_by_any_motion() -> None:
    lit = view(scene(7))
    dark = (lit * 0.05).astype(np.uint8)
    assert residual_motion(dark, lit) > 0.6 * raw_change(dark, lit)
    assert residual_motion(lit, dark) > 0.6 * raw_change(lit, dark)


def test_noise_of_the_sensor_leaves_what_it_is() -> None:
    rng = np.random.default_rng(8)
    wall = view(scene(8)).astype(np.float32)
    before, now = (
        np.clip(wall + rng.normal(0, 3, wall.shape), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert residual_motion(before, now) == pytest.approx(raw_change(before, now), rel=0.4)
