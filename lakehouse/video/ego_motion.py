"""What changes in view besides the camera's own motion, between two coarse pictures.

Only the alignment of two pictures belongs here; the change without it is `signals`', and what the
two together say about a stretch of footage is `states`'.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
_Reals = NDArray[np.float32]
_Size = tuple[int, int]

_COARSE: _Size = (128, 72)
_COMPARED: _Size = (64, 36)
_ALIGNED: _Size = (32, 18)
_REACH_X, _REACH_Y = 7, 4  # pixels of the aligned pictures: 22 % of them either way
_STEPS = 4
_ORDINARY_CHANGE = 4.0
_ORDINARY_DETAIL = 6.0
_MOST_GAIN = 0.25
_QUIET = 0.3
_LEAST_OVERLAP = 0.4
_OUTSIDE = -1e12  # outweighs lumas even where interpolation hardly touches it

_WIDTH, _HEIGHT = _ALIGNED
_CENTRE_X, _CENTRE_Y = (_WIDTH - 1) / 2, (_HEIGHT - 1) / 2
_ROWS, _COLUMNS = np.indices((_HEIGHT, _WIDTH), dtype=np.float32)
# Over the width, so that the unknowns of a step are of one order.
_X, _Y = (_COLUMNS - _CENTRE_X) / _WIDTH, (_ROWS - _CENTRE_Y) / _WIDTH
_RIDGE = np.eye(5, dtype=np.float32)


def residual_motion(before: Gray, now: Gray) -> float:
    """Mean absolute luma change, in levels, that the camera's own motion doesn't explain.

    Both are coarse pictures of one camera, 128 x 72. `before` is laid onto `now` by the best
    shift (up to a fifth of the picture), roll, zoom and gain, and the change is taken where the
    two overlap, on 64 x 36 area averages as in `signals.motion`. It never exceeds the change
    without alignment, which stands where aligning doesn't help: flat or unrelated pictures, and
    a standing view in which something moves. What is compared is smoothed lightly, lest the
    resampling of fine texture pass for change; that takes about a tenth off.

    The shift is found by cross-correlation of compressed detail, and refined by Gauss-Newton
    steps with a linear change of light (Lucas and Kanade 1981, in the notation of Baker and
    Matthews, "Lucas-Kanade 20 Years On", IJCV 2004), weighted as for a least absolute change, so
    that what moves by itself hardly pulls.
    """
    raw = cv2.norm(_scaled(before, _COMPARED), _scaled(now, _COMPARED), cv2.NORM_L1)
    raw /= _COMPARED[0] * _COMPARED[1]
    if raw < _QUIET:
        return raw
    warp, gain = _alignment(_scaled(before, _ALIGNED), _scaled(now, _ALIGNED))
    return min(raw, _change(before, now, warp, gain))


def _scaled(picture: Gray, size: _Size) -> _Reals:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _laid(source: _Reals, warp: _Reals, size: _Size) -> _Reals:
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, warp, size, flags=way, borderValue=_OUTSIDE)


def _change(before: Gray, now: Gray, warp: _Reals, gain: float) -> float:
    """Mean absolute change under an alignment; infinite where the two hardly overlap."""
    laid = _laid(before.astype(np.float32), _enlarged(warp), _COARSE)
    laid = cv2.resize(_smoothed(laid), _COMPARED, interpolation=cv2.INTER_AREA)
    target = cv2.resize(_smoothed(now.astype(np.float32)), _COMPARED, interpolation=cv2.INTER_AREA)
    inside = (laid >= 0).astype(np.float32)
    seen = cv2.countNonZero(inside)
    if seen < _LEAST_OVERLAP * inside.size:
        return float("inf")
    return cv2.norm(laid * inside, target * inside * (1 - gain), cv2.NORM_L1) / seen


def _smoothed(picture: _Reals | Gray) -> _Reals:
    # No box filter: its running sums would drag rounding errors along from what lies outside.
    return cv2.GaussianBlur(picture, (3, 3), 0)


def _enlarged(warp: _Reals) -> _Reals:
    """The warp of the aligned pictures as one of the coarse ones; a pixel lies at its centre."""
    scale = _COARSE[0] / _ALIGNED[0]
    larger = warp.copy()
    larger[:, 2] = scale * (warp[:, 2] + 0.5) - 0.5 - (scale - 1) / 2 * warp[:, :2].sum(axis=1)
    return larger


def _alignment(source: _Reals, target: _Reals) -> tuple[_Reals, float]:
    """The warp from places in `target` to those in `source`, and the gain: `target` x (1 - gain)
    is what `source` shows there."""
    slopes = _slopes(target)
    warp, gain = _best_shift(source, target), 0.0
    for _ in range(_STEPS):
        laid = _laid(source, warp, _ALIGNED)
        inside = laid >= 0
        change = (target - laid) * inside
        weighted = slopes * (inside / (np.abs(change) + _ORDINARY_CHANGE)).ravel()
        step = np.linalg.solve(weighted @ slopes.T + _RIDGE, weighted @ change.ravel())
        dx, dy, roll, zoom, gain = step.tolist()
        warp = _moved(warp, dx, dy, roll / _WIDTH, zoom / _WIDTH)
    return warp, min(max(gain, -_MOST_GAIN), _MOST_GAIN)


def _slopes(target: _Reals) -> _Reals:
    """How each pixel changes with a shift along x and y, roll, zoom and gain: 5 x pixels."""
    along = cv2.Sobel(target, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(target, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    roll, zoom = _X * down - _Y * along, _X * along + _Y * down
    return np.stack([along, down, roll, zoom, target]).reshape(5, -1)


def _best_shift(source: _Reals, target: _Reals) -> _Reals:
    """To whole pixels. What lies outside of `source` speaks neither for nor against a shift."""
    edges = (_REACH_Y, _REACH_Y, _REACH_X, _REACH_X)
    field = cv2.copyMakeBorder(_detail(source), *edges, cv2.BORDER_CONSTANT, value=0)
    scores = cv2.matchTemplate(field, _detail(target), cv2.TM_CCORR)
    _, _, _, (x, y) = cv2.minMaxLoc(scores)
    return np.array([[1, 0, x - _REACH_X], [0, 1, y - _REACH_Y]], np.float32)


def _detail(picture: _Reals) -> _Reals:
    """Lighter or darker than around it, -1 to 1: so that no bright thing outvotes the scene."""
    difference = picture - cv2.blur(picture, (5, 5))
    return difference / (np.abs(difference) + _ORDINARY_DETAIL)


def _moved(warp: _Reals, dx: float, dy: float, roll: float, zoom: float) -> _Reals:
    """`warp` after a step: shift in pixels, roll in radians and zoom about the centre."""
    dx += _CENTRE_Y * roll - _CENTRE_X * zoom
    dy -= _CENTRE_X * roll + _CENTRE_Y * zoom
    step = np.array([[1 + zoom, -roll, dx], [roll, 1 + zoom, dy], [0, 0, 1]], np.float32)
    return warp @ step
