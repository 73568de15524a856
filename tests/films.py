"""Short films whose shots are known: hard cuts, flashes, fast motion, noise, fades.

Only painting them belongs here; where they are cut stays in the tests, encoding in `videos`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain

import av
import cv2
import numpy as np

from tests.videos import Picture, moving


def film(width: int = 128, height: int = 96) -> Iterator[Picture]:
    """Cuts at frames 30, 55 and 140, a fade to black and back around 71, the light out at 116."""
    yield from moving(30, 1, width, height)
    yield from moving(25, 2, width, height)
    for number, picture in enumerate(moving(31, 3, width, height)):
        yield (picture * (abs(number - 16) / 16)).astype(np.uint8)
    yield from moving(30, 4, width, height)
    yield from (picture // 3 for picture in moving(24, 4, width, height))
    yield from moving(20, 5, width, height)


def shot(seed: int, length: int) -> Iterator[Picture]:
    """A soft picture that moves to the right."""
    colours = np.random.default_rng(seed).integers(20, 236, (5, 8, 3)).astype(np.uint8)
    still = cv2.resize(colours, (320, 180), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    for number in range(length):
        yield np.roll(still, 3 * number, axis=1)


def hard_cuts() -> Iterator[Picture]:
    """Shots of all lengths around the shortest that counts."""
    for seed, length in enumerate((20, 1, 16, 15, 14, 3, 30, 2)):
        yield from shot(seed, length)


def flashes() -> Iterator[Picture]:
    """White flashes of one to three frames, alone and close together."""
    lit = {12, 40, 41, 47, 48, 49, 53, 60, 63, 66, 69, 72, 75, 90}
    for number, picture in enumerate(shot(1, 110)):
        yield np.full_like(picture, 250) if number in lit else picture


def fast_motion() -> Iterator[Picture]:
    """The view turns by ever more a frame, with cuts in the turn and in the rest after it."""
    for number in range(90):
        (still,) = shot(number in range(45, 75), 1)
        yield np.roll(still, min(number, 60) ** 2 // 12, axis=1)


def noise() -> Iterator[Picture]:
    """Two cuts from one to another dim picture, under the noise of a dim sensor."""
    rng = np.random.default_rng(1)
    for still in chain.from_iterable(shot(seed, 25) for seed in range(3)):
        yield np.clip(still / 2 + rng.normal(0, 6, still.shape), 0, 255).astype(np.uint8)


SCENES: dict[str, Callable[[], Iterator[Picture]]] = {
    "film": film,
    "hard cuts": hard_cuts,
    "flashes": flashes,
    "fast motion": fast_motion,
    "noise": noise,
}
FRAMES = 160  # of `film`


def as_frame(picture: Picture) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    return frame.reformat(format="yuv420p")


@cache
def frames_of(scene: str) -> Sequence[av.VideoFrame]:
    return [as_frame(picture) for picture in SCENES[scene]()]
