"""What lens and sensor do to a frame: vignette, grain, and the conditions that spoil footage."""

from math import sqrt

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lakehouse.sample.surface import Image
from lakehouse.sample.truth import Condition

Noise = NDArray[np.int16]

_SPARE_PX = 64
_BLUR_SHARE_OF_WIDTH = 0.014
_FAINT_NOISE = 0.6
_FIXED_NOISE = 33.0
_FLICKERING_NOISE = 8.0
_BLACK = 6


class Lens:
    """One camera's optics. Faults are the same for the same seed and frame."""

    def __init__(self, width_px: int, height_px: int, seed: int) -> None:
        self._seed = seed
        self._shape = (height_px, width_px)
        rng = np.random.default_rng(seed)
        wider = (height_px + _SPARE_PX, width_px + _SPARE_PX)
        self._faint = _field(wider, _FAINT_NOISE, rng)
        self._flickering = _field(wider, _FLICKERING_NOISE, rng)
        self._fixed = _field(self._shape, _FIXED_NOISE, rng)
        y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in self._shape)
        fall_off = 255 * (1 - 0.16 * (x**2 + y[:, None] ** 2))
        self._vignette = cv2.merge([fall_off.astype(np.uint8)] * 4)
        # Two box blurs of this side have the variance of the Gaussian that is meant.
        sigma = _BLUR_SHARE_OF_WIDTH * width_px
        self._blur_px = round(sqrt(6 * sigma**2 + 1)) | 1

    def see(self, frame: Image, condition: Condition, index: int) -> Image:
        """The frame as recorded under a condition; `index` counts frames and seeds the noise."""
        frame = cv2.multiply(frame, self._vignette, scale=1 / 255)
        match condition:
            case "good":
                return frame
            case "still":
                return _added(frame, self._part(self._faint, index))
            case "blur":
                return self.blurred(frame)
            case "over_exposure":
                return cv2.convertScaleAbs(frame, alpha=2.4, beta=110)
            case "noise":
                # Most of it stays with the pixel, as in a hot sensor: as much flicker would be
                # taken for cuts. So would noise in pale dark colours, hence the lifted blacks.
                grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGRA2GRAY), cv2.COLOR_GRAY2BGRA)
                lifted = cv2.addWeighted(frame, 0.6, grey, 0.2, 45)
                return _added(lifted, self._fixed + self._part(self._flickering, index))
            case "blackout":
                return _added(np.full_like(frame, _BLACK), self._part(self._faint, index))

    def blurred(self, frame: Image) -> Image:
        """Out of focus."""
        side = (self._blur_px, self._blur_px)
        return cv2.blur(cv2.blur(frame, side), side)

    def _part(self, field: Noise, index: int) -> Noise:
        y, x = np.random.default_rng([self._seed, index]).integers(0, _SPARE_PX, 2)
        height, width = self._shape
        return field[y : y + height, x : x + width]


def _field(shape: tuple[int, int], sigma: float, rng: Generator) -> Noise:
    grey = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return cv2.merge([grey.round().astype(np.int16)] * 4)


def _added(frame: Image, noise: Noise) -> Image:
    return cv2.add(frame, noise, dtype=cv2.CV_8U)
