"""What is measured of a single picture, and of the change between two: units and sources.

Only measurements belong here; what counts as blurred or dark is a query over them (`verdicts`).
All work on 8-bit luma, full range 0 to 255, of the frame scaled to `clips.frame_longest_px`.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lakehouse.video.ego_motion import residual_motion

Gray = NDArray[np.uint8]

SIGNALS = (
    "sharpness",
    "under_exposed",
    "over_exposed",
    "darkness",
    "noise",
    "motion",
    "residual_motion",
    "texture",
)
"""Names of the signals of a sample, in the order of their columns."""

_COARSE, _SMALL = (128, 72), (64, 36)
_UNDER_EXPOSED_BELOW, _OVER_EXPOSED_FROM = 16, 240
_ROWS_APART = 5  # odd: a codec's blocks repeat after 4, 8 and 16
_BLUR_WINDOW_PX = 11
_NOISE_MASK_GAIN = 6.0  # square root of the sum of the mask's squares
_MAD_OF_UNIT_NORMAL = 0.6745
STILL_BELOW = 0.8
"""Coarse luma change, in levels, that sensor noise and compression reach with nothing moving."""


@dataclass(frozen=True)
class Signals:
    """The measurements of one sample.

    `motion` and `residual_motion` are none where nothing precedes the sample in its clip.
    """

    sharpness: float
    under_exposed: float
    over_exposed: float
    darkness: float
    noise: float
    motion: float | None
    residual_motion: float | None
    texture: float


def coarse(luma: Gray) -> Gray:
    """The picture as 128 x 72 area averages: sensor noise averages out, structure stays."""
    return cv2.resize(luma, _COARSE, interpolation=cv2.INTER_AREA)


def measure(luma: Gray) -> Signals:
    """All signals of one picture but the two that take the picture before it.

    The lines of `luma` may lie apart, as those of a decoder's planes do.
    """
    return Signals(
        sharpness=sharpness(luma),
        under_exposed=_share(luma, 0, _UNDER_EXPOSED_BELOW - 1),
        over_exposed=_share(luma, _OVER_EXPOSED_FROM, 255),
        darkness=darkness(luma),
        noise=noise(luma),
        motion=None,
        residual_motion=None,
        texture=cv2.meanStdDev(_small(luma))[1].item(),
    )


def with_motion(measured: Signals, before: Gray, now: Gray) -> Signals:
    """`measured` with the change from `before` to `now`, the coarse pictures of two samples."""
    return replace(
        measured, motion=motion(before, now), residual_motion=residual_motion(before, now)
    )


def _share(luma: Gray, lowest: int, highest: int) -> float:
    """Share of the pixels from one level to another, 0 to 1."""
    return cv2.countNonZero(cv2.inRange(luma, lowest, highest)) / luma.size


def sharpness(luma: Gray) -> float:
    """How much of the fine detail a blur would take away: 0 (blurred) to 1 (sharp).

    1 minus the perceptual blur of Crete et al., "The Blur Effect: Perception and Estimation with
    a New No-Reference Perceptual Blur Metric" (SPIE 2007), the worse of both directions. It
    compares a picture with its own blurred copy, so it depends little on contrast and content.
    Taken along every fifth row and every fifth column.
    """
    return min(_detail_lost(luma), _detail_lost(cv2.transpose(luma)))


def _detail_lost(luma: Gray) -> float:
    """The share of the detail along the rows that a blur along them takes away."""
    rows, columns = luma.shape
    if rows < 3 or columns < 2:
        return 0.0
    # The steps of 8-bit levels on a soft slope would pass for detail: they are smoothed away by
    # 1 3 1 down and 1 2 1 across, in 16 bits, so that no new ones arise.
    above, middle, below = _row_triples(luma)
    down = np.add(above, below, dtype=np.uint16) + np.multiply(middle, 3, dtype=np.uint16)
    reach = _BLUR_WINDOW_PX // 2
    wide = cv2.copyMakeBorder(down, 0, 0, reach + 1, reach + 1, cv2.BORDER_REFLECT_101)
    pairs = cv2.add(wide[:, 1:], wide[:, :-1])
    fine = cv2.add(pairs[:, 1:], pairs[:, :-1])
    detail = cv2.absdiff(fine[:, reach + 1 : -reach], fine[:, reach : -reach - 1])
    detail *= _BLUR_WINDOW_PX
    # Neighbouring means over a window differ by what enters and what leaves it.
    blurred = cv2.absdiff(fine[:, _BLUR_WINDOW_PX:], fine[:, :-_BLUR_WINDOW_PX])
    total = cv2.sumElems(detail)[0]
    # OpenCV's subtraction of unsigned numbers stops at 0, as the metric does.
    return cv2.sumElems(cv2.subtract(detail, blurred))[0] / total if total else 0.0


def _row_triples(luma: Gray) -> tuple[Gray, Gray, Gray]:
    """Every fifth row between those above and below it: all of the view for less work."""
    count = (len(luma) + _ROWS_APART - 3) // _ROWS_APART
    above, middle, below = (luma[first::_ROWS_APART][:count] for first in range(3))
    return above, middle, below


def darkness(luma: Gray) -> float:
    """1 minus the 95th percentile of luma over 255: 1 where nothing in the picture is lit.

    A percentile, not the mean: a lamp in a dark corridor does not make it bright, and a bright
    corridor stays bright behind a dark pillar. Every fifth row is counted.
    """
    return 1.0 - _percentile(luma[::_ROWS_APART], 0.95) / 255


def noise(luma: Gray) -> float:
    """Standard deviation of the sensor noise, in levels.

    The mask of Immerkaer, "Fast Noise Variance Estimation" (CVIU 1996), with the median absolute
    deviation instead of the mean (Donoho and Johnstone 1994), which edges inflate less. In steps
    of 0.25 levels, up to 63. The mask is laid on every fifth row.
    """
    if min(luma.shape) < 3:
        return 0.0
    above, middle, below = _row_triples(luma)
    down = np.add(above, below, dtype=np.int16) - np.multiply(middle, 2, dtype=np.int16)
    across = cv2.subtract(down[:, 1:], down[:, :-1])
    response = cv2.convertScaleAbs(cv2.subtract(across[:, 1:], across[:, :-1]))
    return _percentile(response, 0.5) / (_MAD_OF_UNIT_NORMAL * _NOISE_MASK_GAIN)


def _percentile(levels: Gray, share: float) -> int:
    """The lowest level that `share` of the pixels don't exceed."""
    counts = np.cumsum(cv2.calcHist([levels], [0], None, [256], [0, 256]))
    return int(np.searchsorted(counts, share * levels.size))


def motion(before: Gray, now: Gray) -> float:
    """Mean absolute change between two coarse pictures, averaged to 64 x 36 first, in levels."""
    return float(cv2.absdiff(_small(before), _small(now)).mean())


def _small(luma: Gray) -> Gray:
    return cv2.resize(luma, _SMALL, interpolation=cv2.INTER_AREA)


def stillness(motions: list[float]) -> float | None:
    """Share of sample intervals under `STILL_BELOW`, 0 to 1; none without an interval."""
    if not motions:
        return None
    return sum(value < STILL_BELOW for value in motions) / len(motions)
