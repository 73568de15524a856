"""The weightless embedder: unit vectors, always the same, in which clips that look alike are near
each other."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lakehouse.engine.feeding import fed
from lakehouse.models.embedders.descriptor import DESCRIPTOR, describe_picture
from lakehouse.models.embedders.pooling import Vector, pooled
from lakehouse.models.embedders.registry import describe, load, load_joint
from lakehouse.settings import DescriptorEmbedder

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 90


def jpeg(picture: Picture) -> bytes:
    return bytes(cv2.imencode(".jpg", picture)[1])


def scene(seed: int, gain: float = 1.0) -> Picture:
    """A room of its own colours: a wall, a floor, and a few things in it, more or less lit."""
    random = np.random.default_rng(seed)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:60] = random.integers(60, 180, 3)
    picture[60:] = random.integers(60, 180, 3)
    for _ in range(6):
        x, y = int(random.integers(0, 130)), int(random.integers(0, 70))
        colour = [int(level) for level in random.integers(30, 200, 3)]
        cv2.rectangle(picture, (x, y), (x + 25, y + 18), colour, cv2.FILLED)
    return cv2.convertScaleAbs(picture, alpha=gain)


def embedded(*pictures: Picture) -> Vector:
    """The vector of a clip of these frames."""
    model = load(DescriptorEmbedder(), threads=1)
    return pooled(model.collect(model.launch(model.prepare([jpeg(p) for p in pictures]))))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_every_picture_has_a_unit_vector_of_the_stated_length(
    width: int, height: int, seed: int, brightest: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, brightest + 1, (height, width, 3), np.uint8)
    vector = embedded(pixels)
    assert vector.dtype == np.float32
    assert vector.shape == (describe(DescriptorEmbedder()).dimensions,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_picture_is_described_the_same_every_time() -> None:
    assert np.array_equal(embedded(scene(1)), embedded(scene(1)))


@pytest.mark.parametrize("gain", [0.7, 0.85, 1.2, 1.4])
def test_a_scene_in_other_light_finds_itself_among_other_scenes(gain: float) -> None:
    known = np.array([embedded(scene(seed)) for seed in range(8)])
    for seed in range(8):
        relit = embedded(scene(seed, gain))
        assert np.argmax(known @ relit) == seed


def test_a_clip_lies_between_its_frames() -> None:
    first, second = embedded(scene(1)), embedded(scene(2))
    both = embedded(scene(1), scene(2))
    assert both @ first > first @ second
    assert both @ second > first @ second


def test_where_in_the_picture_something_is_counts() -> None:
    picture = scene(3)
    assert embedded(picture) @ embedded(cv2.flip(picture, 1)) < 0.95


def test_a_picture_alone_is_a_clip_of_one_frame() -> None:
    np.testing.assert_allclose(describe_picture(jpeg(scene(1))), embedded(scene(1)), atol=1e-6)


def test_each_clip_has_its_vector_whatever_shares_a_batch_with_it() -> None:
    clips = {name: [scene(ord(name) + n) for n in range(20)] for name in "abc"}
    groups = [(name, [jpeg(p) for p in pictures]) for name, pictures in clips.items()]
    vectors = dict(fed(load(DescriptorEmbedder(), 2), groups, 2))
    for name, pictures in clips.items():
        assert np.array_equal(pooled(vectors[name]), embedded(*pictures))


def test_vectors_are_those_that_earlier_versions_wrote() -> None:
    rows = [describe_picture(jpeg(scene(seed))) for seed in range(7)]
    for count in range(1, 8):
        mean = np.mean(rows[:count], axis=0)
        assert np.array_equal(pooled(np.stack(rows[:count])), mean / float(np.linalg.norm(mean)))


def test_no_text_finds_a_clip_by_it() -> None:
    assert load_joint(DescriptorEmbedder(), threads=1) is None


def test_the_registry_knows_the_descriptor_without_loading_it() -> None:
    assert describe(DescriptorEmbedder()) == DESCRIPTOR
