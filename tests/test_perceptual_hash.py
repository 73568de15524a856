"""Perceptual hashes: alike pictures are near each other, others are not."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.video.perceptual_hash import distances, perceptual_hashes


def room(seed: int) -> np.ndarray:
    """A picture of its own: a few dozen patches of light and dark, smoothly joined."""
    patches = np.random.default_rng(seed).integers(20, 235, (9, 16, 3), np.uint8)
    return cv2.resize(patches, (640, 360), interpolation=cv2.INTER_CUBIC)


def jpeg(picture: np.ndarray, quality: int = 85) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def bits_between(one: bytes, other: bytes) -> int:
    (first,), (second,) = perceptual_hashes([one]), perceptual_hashes([other])
    return int(np.bitwise_count(first ^ second))


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=30)
def test_the_same_picture_has_the_same_hash_and_another_is_far_away(seed: int, other: int) -> None:
    assert bits_between(jpeg(room(seed)), jpeg(room(seed))) == 0
    if seed != other:
        assert bits_between(jpeg(room(seed)), jpeg(room(other))) > 12


@pytest.mark.parametrize("seed", range(6))
def test_noise_compression_and_a_little_more_light_change_few_bits(seed: int) -> None:
    picture = room(seed)
    noise = np.random.default_rng(seed).normal(0, 3, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    assert bits_between(jpeg(picture), jpeg(noisy)) <= 6
    assert bits_between(jpeg(picture), jpeg(picture, 40)) <= 6
    assert bits_between(jpeg(picture), jpeg(cv2.convertScaleAbs(picture, alpha=0.95))) <= 6


def test_the_distance_of_clips_is_that_of_their_most_different_frames() -> None:
    clip = np.array([0b0000, 0b1111], np.uint64)
    others = np.array([[0b0000, 0b1111], [0b0001, 0b1000], [0b0011, 0b1111]], np.uint64)
    assert distances(clip, others).tolist() == [0, 3, 2]
