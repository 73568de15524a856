"""Perceptual hashes of pictures: near-identical pictures have hashes that differ in few bits.

Which clips count as alike is decided elsewhere; only pictures and bits are known here.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE_PX = 32
_FREQUENCIES = 8

Hashes = NDArray[np.uint64]
"""One hash for each frame of a clip, in order."""


def perceptual_hashes(jpegs: Iterable[bytes]) -> Hashes:
    """The pHash of each picture: 64 signs of the lowest frequencies of its luma, against their
    median (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
    Two unrelated pictures differ in 32 bits, give or take 4."""
    return np.array([_hash(jpeg) for jpeg in jpegs], np.uint64)


def distances(hashes: Hashes, others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How far clips are from one clip: `others` has a row of as many hashes for each, and the
    distance is that of the two frames, in order, that differ in the most bits."""
    return np.bitwise_count(others ^ hashes).max(axis=1, initial=0)


def _hash(jpeg: bytes) -> int:
    # A quarter of the size in each direction, straight from the JPEG's own frequencies.
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_4
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    assert picture is not None, "frames are JPEGs that this project wrote"
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(small.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    signs = lowest > np.median(lowest[1:])  # the first is the mean brightness
    return int.from_bytes(np.packbits(signs).tobytes())
