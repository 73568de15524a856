from dataclasses import asdict, replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lakehouse.video import signals
from lakehouse.video.signals import SIGNALS, Gray, Signals, measure, with_motion

BLACK = np.zeros((360, 640), np.uint8)
WHITE = np.full((360, 640), 255, np.uint8)


def textured(seed: int = 1) -> Gray:
    """Detail of many sizes, as in a real picture, between luma 40 and 215."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.normal(size=(360 // size, 640 // size)), (640, 360)) * size**0.5
        for size in (2, 4, 8, 16, 40)
    ]
    return cv2.normalize(np.sum(layers, axis=0), None, 40, 215, cv2.NORM_MINMAX).astype(np.uint8)


def smooth() -> Gray:
    """Light that falls off across a wall."""
    return np.linspace(70, 180, 640).astype(np.uint8)[None].repeat(360, 0)


def scaled(picture: Gray, contrast: float, brightness: float) -> Gray:
    return np.clip(picture * contrast + brightness, 0, 255).round().astype(np.uint8)


def noisy(picture: Gray, sigma: float, seed: int = 1) -> Gray:
    added = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + added, 0, 255).round().astype(np.uint8)


pictures = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=50)
)


def measured_after(before: Gray, picture: Gray) -> Signals:
    return with_motion(measure(picture), signals.coarse(before), signals.coarse(picture))


@given(pictures, pictures)
def test_every_signal_stays_in_its_range_for_any_picture(before: Gray, picture: Gray) -> None:
    measured = measured_after(before, picture)
    for share in ("sharpness", "under_exposed", "over_exposed", "darkness"):
        assert 0 <= getattr(measured, share) <= 1 + 1e-6, share
    for levels in ("noise", "motion", "residual_motion", "texture"):
        assert getattr(measured, levels) >= 0, levels
    assert measured.motion is not None
    assert measured.motion <= 255
    assert measured.residual_motion is not None
    assert measured.residual_motion <= 255
    assert measured.texture <= 127.5


def test_the_signals_are_the_columns_of_a_sample() -> None:
    assert tuple(asdict(measure(BLACK))) == SIGNALS


@given(pictures, st.integers(1, 40))
def test_lines_that_lie_apart_measure_the_same(picture: Gray, gap: int) -> None:
    plane = np.full((picture.shape[0], picture.shape[1] + gap), 77, np.uint8)
    plane[:, : picture.shape[1]] = picture
    view = plane[:, : picture.shape[1]]
    assert measure(view) == measure(picture)
    assert (signals.coarse(view) == signals.coarse(picture)).all()


@given(pictures)
def test_the_coarse_picture_is_128_by_72_whatever_the_size(picture: Gray) -> None:
    assert signals.coarse(picture).shape == (72, 128)


def test_sharpness_falls_with_every_further_blur() -> None:
    sharp = textured()
    blurred = [signals.sharpness(cv2.GaussianBlur(sharp, None, sigma)) for sigma in (1, 2, 4, 8)]
    measured = [signals.sharpness(sharp), *blurred]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 2 * measured[-1]


@pytest.mark.parametrize("length", [9, 21])
def test_motion_blur_in_either_direction_lowers_sharpness(length: int) -> None:
    sharp = textured()
    across, down = cv2.blur(sharp, (length, 1)), cv2.blur(sharp, (1, length))
    assert signals.sharpness(across) < 0.7 * signals.sharpness(sharp)
    assert signals.sharpness(down) == pytest.approx(signals.sharpness(across), rel=0.2)


@pytest.mark.parametrize("part", [np.s_[:180], np.s_[180:], np.s_[90:270], np.s_[:, :320]])
def test_a_blur_of_half_the_picture_lowers_sharpness_wherever_it_lies(part: Any) -> None:
    picture = textured()
    picture[part] = cv2.GaussianBlur(picture, None, 8)[part]
    assert signals.sharpness(picture) < 0.9 * signals.sharpness(textured())


@pytest.mark.parametrize("size", [(64, 36), (161, 91), (321, 241), (1280, 720)])
def test_small_and_odd_pictures_measure_like_large_ones(size: tuple[int, int]) -> None:
    detail = np.random.default_rng(1).integers(60, 200, (720, 1280)).astype(np.uint8)
    detail = cv2.GaussianBlur(detail, None, 1.0)
    whole, part = measure(detail), measure(detail[: size[1], : size[0]])
    assert part.sharpness == pytest.approx(whole.sharpness, rel=0.1)
    assert part.noise == pytest.approx(whole.noise, rel=0.15)
    assert part.darkness == pytest.approx(whole.darkness, abs=0.03)


@pytest.mark.parametrize(("contrast", "brightness"), [(0.5, 0), (0.5, 100), (0.25, 60), (1, 40)])
def test_sharpness_hardly_depends_on_contrast_and_brightness(
    contrast: float, brightness: float
) -> None:
    expected = signals.sharpness(textured())
    measured = signals.sharpness(scaled(textured(), contrast, brightness))
    assert measured == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 640), (360, 1), (1, 1)])
def test_a_picture_one_pixel_thin_has_no_detail(shape: tuple[int, int]) -> None:
    assert signals.sharpness(textured()[: shape[0], : shape[1]]) == 0


def test_a_flat_picture_has_neither_detail_nor_noise_nor_texture() -> None:
    measured = measure(np.full((360, 640), 128, np.uint8))
    assert (measured.sharpness, measured.noise, measured.texture) == (0, 0, 0)


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise_is_the_standard_deviation_of_what_was_added(sigma: float) -> None:
    assert signals.noise(noisy(smooth(), sigma)) == pytest.approx(sigma, rel=0.2)


def test_edges_are_hardly_taken_for_noise() -> None:
    boxes = np.kron(np.random.default_rng(1).integers(0, 255, (9, 16)), np.ones((40, 40)))
    assert signals.noise(boxes.astype(np.uint8)) < 1


@given(st.integers(0, 99), st.integers(0, 99))
def test_exposure_is_the_share_of_pixels_under_16_and_from_240(under: int, over: int) -> None:
    picture = np.full(300, 128, np.uint8)
    picture[:under], picture[under : under + over] = 15, 240
    measured = measure(picture.reshape(15, 20))
    assert measured.under_exposed == pytest.approx(under / 300)
    assert measured.over_exposed == pytest.approx(over / 300)


@pytest.mark.parametrize("level", [16, 239])
def test_dark_and_bright_pixels_with_detail_left_are_well_exposed(level: int) -> None:
    measured = measure(np.full((36, 64), level, np.uint8))
    assert (measured.under_exposed, measured.over_exposed) == (0, 0)


def test_darkness_goes_from_white_to_black() -> None:
    assert measure(BLACK).darkness == 1
    assert measure(WHITE).darkness == 0
    assert measure(np.full((36, 64), 51, np.uint8)).darkness == pytest.approx(0.8)


def test_a_small_lamp_does_not_make_a_dark_picture_bright() -> None:
    lamp = BLACK.copy()
    lamp[100:170, 200:340] = 255
    assert measure(lamp).darkness == 1


def test_a_dark_pillar_does_not_make_a_bright_picture_dark() -> None:
    pillar = WHITE.copy()
    pillar[:, 100:500] = 0
    assert measure(pillar).darkness == 0


def test_identical_pictures_have_no_motion() -> None:
    measured = measured_after(textured(), textured())
    assert (measured.motion, measured.residual_motion) == (0, 0)


def test_motion_is_the_mean_change_in_levels() -> None:
    brighter = scaled(textured(), 1, 7)
    assert measured_after(textured(), brighter).motion == pytest.approx(7, abs=0.1)


def test_motion_is_unknown_without_a_picture_before() -> None:
    measured = measure(textured())
    assert (measured.motion, measured.residual_motion) == (None, None)


def test_what_came_before_changes_nothing_but_the_two_motions() -> None:
    alone, after = measure(textured()), measured_after(textured(2), textured())
    assert replace(after, motion=None, residual_motion=None) == alone


def test_a_camera_that_turns_moves_but_leaves_little_residual_motion() -> None:
    measured = measured_after(textured(), np.roll(textured(), 20, axis=1))
    assert measured.motion is not None
    assert measured.residual_motion is not None
    assert measured.residual_motion < 0.5 * measured.motion


def test_sensor_noise_is_not_motion_but_a_step_is() -> None:
    before = noisy(textured(), 5, seed=1)
    noise = measured_after(before, noisy(textured(), 5, seed=2)).motion
    step = measured_after(before, np.roll(textured(), 20, axis=1)).motion
    assert noise is not None
    assert step is not None
    assert noise < signals.STILL_BELOW < step


def test_texture_is_the_spread_of_coarse_luma() -> None:
    halves = np.hstack([BLACK[:, :320], WHITE[:, 320:]])
    assert measure(halves).texture == pytest.approx(127.5)
    assert measure(noisy(np.full_like(BLACK, 128), 20)).texture < 3


def test_stillness_is_the_share_of_intervals_without_motion() -> None:
    assert signals.stillness([0.0, 0.7, 0.8, 12.0]) == 0.5
    assert signals.stillness([0.0]) == 1
    assert signals.stillness([30.0]) == 0


def test_stillness_of_a_single_sample_is_unknown() -> None:
    assert signals.stillness([]) is None
