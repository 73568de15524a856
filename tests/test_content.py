"""A glance at two frames rules out what PySceneDetect would not call a cut, and nothing else."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from scenedetect import ContentDetector

from lakehouse.video.content import (
    NO_CHANGE,
    SLACK,
    Glance,
    Glancer,
    change,
    exact_score,
    scaled,
)
from tests.videos import Picture, moving, texture

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
FRAMES_COMPARED = 80
SIZES = [(98, 54), (320, 180), (641, 359), (1280, 720)]


def frames_of(
    pictures: Iterable[Picture], pixel_format: str = "yuv420p"
) -> Iterator[av.VideoFrame]:
    for picture in pictures:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
        yield frame.reformat(format=pixel_format)


def glances(frames: Iterable[av.VideoFrame]) -> Iterator[Glance]:
    return map(Glancer().glance, frames)


def largest_underestimate(frames: Iterable[av.VideoFrame]) -> float:
    """By how much the change of the tiny pictures falls short of the exact score at worst."""
    return max(exact_score(*pair) - change(*pair).score for pair in pairwise(glances(frames)))


def noisy(pictures: Iterable[Picture], sigma: float) -> Iterator[Picture]:
    rng = np.random.default_rng(1)
    for picture in pictures:
        yield np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def soft(seed: int, width: int, height: int) -> Picture:
    """Slopes between a few colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (5, 8, 3)).astype(np.uint8)
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "bgr24"])
def test_the_exact_score_is_that_of_pyscenedetect(pixel_format: str, size: tuple[int, int]) -> None:
    frames = list(frames_of((texture(seed, *size) for seed in (1, 2)), pixel_format))
    detector = ContentDetector()
    theirs = [
        detector._calculate_frame_score(None, scaled(frame, VideoReformatter())) for frame in frames
    ]
    assert exact_score(*glances(frames)) == pytest.approx(theirs[1], abs=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_moving_pictures_are_underestimated_by_less_than_the_slack(size: tuple[int, int]) -> None:
    assert largest_underestimate(frames_of(moving(12, 1, *size))) < SLACK / 2


@pytest.mark.parametrize("size", SIZES)
def test_cuts_are_underestimated_by_less_than_the_slack(size: tuple[int, int]) -> None:
    pictures = chain.from_iterable((texture(seed, *size), soft(seed, *size)) for seed in range(6))
    assert largest_underestimate(frames_of(pictures)) < SLACK


@pytest.mark.parametrize("sigma", [2, 10, 40])
@pytest.mark.parametrize("brightness", [1.0, 0.1])
def test_noise_is_underestimated_by_less_than_the_slack(sigma: int, brightness: float) -> None:
    still = (texture(1, 640, 360) * brightness).astype(np.uint8)
    assert largest_underestimate(frames_of(noisy([still] * 6, sigma))) < SLACK / 2


def test_flashes_and_fades_are_underestimated_by_less_than_the_slack() -> None:
    levels = [1.0, 3.0, 1.0, 0.7, 0.4, 0.1, 0.0, 1.0]
    pictures = (np.clip(soft(1, 640, 360) * level, 0, 255).astype(np.uint8) for level in levels)
    assert largest_underestimate(frames_of(pictures)) < SLACK / 2


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="no footage beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "robot/mbra_quad_6.mp4",
        "robot/cear_onboard_rgb_dark_to_light_DERIVED.mp4",
        "robot/lelan_go1_1.mp4",
        "general/mapillary_sample-5s_h265_vfr_portrait.mp4",
    ],
)
def test_real_footage_is_underestimated_by_less_than_the_slack(name: str) -> None:
    with av.open(str(FOOTAGE / name)) as container:
        frames = islice(container.decode(video=0), FRAMES_COMPARED)
        assert largest_underestimate(frames) < SLACK / 2


def test_a_picture_that_stays_does_not_change() -> None:
    before, now = glances(frames_of([texture(1)] * 2))
    assert change(before, now) == NO_CHANGE
    assert exact_score(before, now) == 0


def test_of_a_picture_that_gets_brighter_only_the_value_changes() -> None:
    gray = np.full((96, 128, 3), 100, np.uint8)
    seen = change(*glances(frames_of([gray, gray + 30], "bgr24")))
    assert seen == (10.0, 30.0)


def test_nothing_changes_from_no_frame() -> None:
    (now,) = glances(frames_of([texture(1)]))
    assert change(None, now) == NO_CHANGE
    assert exact_score(None, now) == 0


@pytest.mark.parametrize("size", [(128, 95), (96, 128), (64, 48)])
def test_another_size_is_no_change(size: tuple[int, int]) -> None:
    before, now = glances(frames_of([texture(1), texture(2, *size)]))
    assert change(before, now) == NO_CHANGE
    assert exact_score(before, now) == 0
