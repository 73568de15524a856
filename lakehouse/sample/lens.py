"""What lens and sensor do to a frame: vignette, grain, and the faults that spoil footage.

Faults come as whole conditions (`see`) or by degrees (`spoilt`); when which of them holds is
`script`.
"""

from math import pi, sin, sqrt

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lakehouse.sample.surface import Image
from lakehouse.sample.textures import clouds
from lakehouse.sample.truth import Condition, State

Noise = NDArray[np.int16]

_SPARE_PX = 64
_BLUR_SHARE_OF_WIDTH = 0.014
_FAINT_NOISE = 0.6
_FIXED_NOISE = 33.0
_FLICKERING_NOISE = 8.0
_BLACK = 6
_DARK_GAIN, _DARK_BLACK = 0.08, 2
_COVER_LUMA, _COVER_GREY = 88.0, 0.55
_COVER_SPREAD = 0.03
_LUMA_OF_BGR = np.array([0.114, 0.587, 0.299])
_COVER_EDGE = 0.3
_COVER_SWAY, _COVER_SWAY_HZ = 0.06, 0.45


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
        self._blur_sigma = _BLUR_SHARE_OF_WIDTH * width_px
        self._cover = 1 + _COVER_SPREAD * clouds(self._shape, width_px / 4, rng)
        self._from_cover_edge = np.broadcast_to(x / 2 + 0.5, self._shape)

    def see(self, frame: Image, condition: Condition, index: int) -> Image:
        """The frame as recorded under a condition; `index` counts frames and seeds the noise."""
        frame = cv2.multiply(frame, self._vignette, scale=1 / 255)
        match condition:
            case "good" | "trot" | "inspect":
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

    def spoilt(self, frame: Image, state: State, depth: float, index: int, time_s: float) -> Image:
        """The frame when a state has come so far, from 0 to 1; `time_s` moves what covers it."""
        match state:
            case "dark":
                return self._darkened(frame, depth, index)
            case "covered":
                return self._covered(frame, depth, index, time_s)
            case "blurred":
                return self.blurred(frame, depth)
            case "still":
                return _added(frame, self._part(self._faint, index))
            case "moving":
                return frame

    def blurred(self, frame: Image, depth: float = 1.0) -> Image:
        """Out of focus."""
        # Two box blurs of this side have the variance of the Gaussian that is meant.
        side = round(sqrt(6 * (depth * self._blur_sigma) ** 2 + 1)) | 1
        return cv2.blur(cv2.blur(frame, (side, side)), (side, side))

    def _darkened(self, frame: Image, depth: float, index: int) -> Image:
        """The light goes out as fast as looks even, by about a square law; a little stays."""
        gain = (1 - depth * (1 - sqrt(_DARK_GAIN))) ** 2
        dark = cv2.convertScaleAbs(frame, alpha=gain, beta=_DARK_BLACK * depth)
        return _added(dark, self._part(self._faint, index))

    def _covered(self, frame: Image, depth: float, index: int, time_s: float) -> Image:
        """Something close before the lens, its edge as soft as it is near, slides over it. Dull
        light of the room's colour falls on it, a little more and less as it sways."""
        colour = np.array(cv2.mean(frame)[:3])
        luma = float(colour @ _LUMA_OF_BGR)
        colour += _COVER_GREY * (luma - colour)
        colour *= _COVER_LUMA / luma * (1 + _COVER_SWAY * sin(2 * pi * _COVER_SWAY_HZ * time_s))
        cover = cv2.merge([cv2.convertScaleAbs(self._cover, alpha=a) for a in (*colour, 0)])
        if depth < 1:
            edge = (depth * (1 + _COVER_EDGE) - self._from_cover_edge) / _COVER_EDGE
            mask = cv2.merge([np.clip(255 * edge, 0, 255).astype(np.uint8)] * 4)
            under = cv2.multiply(frame, 255 - mask, scale=1 / 255)
            cover = cv2.add(under, cv2.multiply(cover, mask, scale=1 / 255))
        return _added(cover, self._part(self._faint, index))

    def _part(self, field: Noise, index: int) -> Noise:
        y, x = np.random.default_rng([self._seed, index]).integers(0, _SPARE_PX, 2)
        height, width = self._shape
        return field[y : y + height, x : x + width]


def _field(shape: tuple[int, int], sigma: float, rng: Generator) -> Noise:
    grey = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return cv2.merge([grey.round().astype(np.int16)] * 4)


def _added(frame: Image, noise: Noise) -> Image:
    return cv2.add(frame, noise, dtype=cv2.CV_8U)
