"""What is measured of a single picture, and of the change between two: units and sources.

Only measurements belong here; what counts as blurred or dark is a query over them (`verdicts`).
All work on 8-bit luma, full range 0 to 255, of the frame scaled to `clips.frame_longest_px`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

SIGNALS = (
    "sharpness",
    "under_exposed",
    "over_exposed",
    "darkness",
    "noise",
    "motion",
    "texture",
)
"""Names of the signals of a sample, in the order of their columns."""

_COARSE_WIDTH, _COARSE_HEIGHT = 64, 36
_UNDER_EXPOSED_BELOW, _OVER_EXPOSED_FROM = 16, 240
_BLUR_WINDOW_PX = 11
_STEP_SMOOTHING_PX = 0.7
_FINE_STEPS = 64
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.int16)
_NOISE_MASK_GAIN = 6.0  # square root of the sum of the mask's squares
_MAD_OF_UNIT_NORMAL = 0.6745
STILL_BELOW = 0.8
"""Coarse luma change, in levels, that sensor noise and compression reach with nothing moving."""


@dataclass(frozen=True)
class Signals:
    """The measurements of one sample; `motion` is none where nothing precedes it in its clip."""

    sharpness: float
    under_exposed: float
    over_exposed: float
    darkness: float
    noise: float
    motion: float | None
    texture: float


def coarse(luma: Gray) -> Gray:
    """The picture as 64 x 36 area averages: sensor noise averages out, structure stays."""
    return cv2.resize(luma, (_COARSE_WIDTH, _COARSE_HEIGHT), interpolation=cv2.INTER_AREA)


def measure(luma: Gray, previous: Gray | None) -> Signals:
    """All signals of one picture; `previous` is the coarse picture of the sample before it."""
    small = coarse(luma)
    histogram = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel() / luma.size
    return Signals(
        sharpness=sharpness(luma),
        under_exposed=float(histogram[:_UNDER_EXPOSED_BELOW].sum()),
        over_exposed=float(histogram[_OVER_EXPOSED_FROM:].sum()),
        darkness=darkness(histogram),
        noise=noise(luma),
        motion=None if previous is None else motion(previous, small),
        texture=float(small.std()),
    )


def sharpness(luma: Gray) -> float:
    """How much of the fine detail a blur would take away: 0 (blurred) to 1 (sharp).

    1 minus the perceptual blur of Crete et al., "The Blur Effect: Perception and Estimation with
    a New No-Reference Perceptual Blur Metric" (SPIE 2007), the worse of both directions. It
    compares a picture with its own blurred copy, so it depends little on contrast and content.
    """
    # The steps of 8-bit levels on a soft slope would pass for detail: they are smoothed away,
    # in 16 bits, so that no new ones arise.
    fine = luma.astype(np.uint16) * _FINE_STEPS
    smooth = cv2.GaussianBlur(fine, (0, 0), _STEP_SMOOTHING_PX)
    return min(_detail_lost(smooth, vertical=False), _detail_lost(smooth, vertical=True))


def _detail_lost(fine: NDArray[np.uint16], *, vertical: bool) -> float:
    window = (1, _BLUR_WINDOW_PX) if vertical else (_BLUR_WINDOW_PX, 1)
    detail = _neighbour_difference(fine, vertical=vertical)
    blurred = _neighbour_difference(cv2.blur(fine, window), vertical=vertical)
    total = cv2.sumElems(detail)[0]
    # OpenCV's subtraction of unsigned numbers stops at 0, as the metric does.
    return cv2.sumElems(cv2.subtract(detail, blurred))[0] / total if total else 0.0


def _neighbour_difference(fine: NDArray[np.uint16], *, vertical: bool) -> NDArray[np.uint16]:
    if vertical:
        return cv2.absdiff(fine[1:], fine[:-1])
    return cv2.absdiff(fine[:, 1:], fine[:, :-1])


def darkness(histogram: NDArray[np.float32]) -> float:
    """1 minus the 95th percentile of luma over 255: 1 where nothing in the picture is lit.

    A percentile, not the mean: a lamp in a dark corridor does not make it bright, and a bright
    corridor stays bright behind a dark pillar. `histogram` holds the shares of the 256 levels.
    """
    level = int(np.searchsorted(np.cumsum(histogram), 0.95))
    return 1.0 - min(level, 255) / 255


def noise(luma: Gray) -> float:
    """Standard deviation of the sensor noise, in levels.

    The mask of Immerkaer, "Fast Noise Variance Estimation" (CVIU 1996), with the median absolute
    deviation instead of the mean (Donoho and Johnstone 1994), which edges inflate less. In steps
    of 0.25 levels, up to 63.
    """
    response = cv2.convertScaleAbs(cv2.filter2D(luma, cv2.CV_16S, _NOISE_MASK))
    counts = np.cumsum(cv2.calcHist([response], [0], None, [256], [0, 256]))
    half = int(np.searchsorted(counts, luma.size / 2))
    return half / (_MAD_OF_UNIT_NORMAL * _NOISE_MASK_GAIN)


def motion(previous: Gray, current: Gray) -> float:
    """Mean absolute change of coarse luma since the previous sample, in levels."""
    return float(cv2.absdiff(previous, current).mean())


def stillness(motions: list[float]) -> float | None:
    """Share of sample intervals under `STILL_BELOW`, 0 to 1; none without an interval."""
    if not motions:
        return None
    return sum(value < STILL_BELOW for value in motions) / len(motions)
