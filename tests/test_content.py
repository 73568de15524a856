"""The screened detector: PySceneDetect's own defaults, and a screen that lets no cut slip."""

import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from scenedetect import ContentDetector

from lakehouse.video.content import (
    DEFAULT_THRESHOLD,
    MIN_SCENE_FRAMES,
    SLACK,
    hsv,
    scaled,
    score,
    tiny_picture,
)
from tests.videos import moving, texture

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
FRAMES_COMPARED = 150


def underestimates(frames: Iterator[av.VideoFrame]) -> list[float]:
    """By how much the tiny pictures' scores fall short of the exact ones."""
    reformatter = VideoReformatter()
    seen = [(hsv(scaled(frame)), tiny_picture(frame, reformatter)) for frame in frames]
    return [
        score(exact, next_exact) - score(tiny, next_tiny)
        for (exact, tiny), (next_exact, next_tiny) in pairwise(seen)
    ]


def of(pictures: Iterator[np.ndarray]) -> Iterator[av.VideoFrame]:
    for picture in pictures:
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")


def test_the_defaults_are_those_of_pyscenedetect() -> None:
    defaults = inspect.signature(ContentDetector).parameters
    assert defaults["threshold"].default == DEFAULT_THRESHOLD
    assert defaults["min_scene_len"].default == MIN_SCENE_FRAMES


def test_the_score_is_that_of_pyscenedetect() -> None:
    before, after = (next(moving(1, seed, 320, 180)) for seed in (1, 2))
    detector = ContentDetector()
    theirs = [detector._calculate_frame_score(None, p) for p in (before, after)]  # type: ignore[arg-type]
    assert score(hsv(before), hsv(after)) == pytest.approx(theirs[1], abs=1e-9)


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720), (98, 54)])
def test_the_screen_underestimates_moving_pictures_by_less_than_its_slack(
    size: tuple[int, int],
) -> None:
    assert max(underestimates(of(moving(20, 1, *size)))) < SLACK / 2


@pytest.mark.parametrize("sigma", [2, 10, 40])
def test_the_screen_underestimates_noise_by_less_than_its_slack(sigma: int) -> None:
    rng = np.random.default_rng(sigma)
    still = texture(1, 640, 360).astype(float)
    noisy = (
        np.clip(still + rng.normal(0, sigma, still.shape), 0, 255).astype(np.uint8)
        for _ in range(8)
    )
    assert max(underestimates(of(noisy))) < SLACK / 2


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="no footage beside the checkout")
@pytest.mark.parametrize(
    "name", ["mbra_quad_6.mp4", "cear_onboard_rgb_dark_to_light_DERIVED.mp4", "lelan_go1_1.mp4"]
)
def test_the_screen_underestimates_real_footage_by_less_than_its_slack(name: str) -> None:
    def frames() -> Iterator[av.VideoFrame]:
        with av.open(str(FOOTAGE / "robot" / name)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number == FRAMES_COMPARED:
                    return
                yield frame

    assert max(underestimates(frames())) < SLACK / 2
