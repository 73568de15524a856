"""The names of the colours that fill most of a clip's frames, measured in HSV.

What a captioner says about them belongs to the captioner.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

COLOURS = (
    "black",
    "white",
    "grey",
    "red",
    "brown",
    "beige",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
)
"""Every name that `dominant_colours` can return."""

_MAX_FRAMES = 8
_MIN_SHARE = 0.2  # of the pixels, below which a colour doesn't dominate
_BLACK_BELOW = 50  # value, 0 to 255
_WHITE_ABOVE = 200
_COLOURLESS_BELOW = 50  # saturation, 0 to 255
# Reds and oranges that are pale or dark have names of their own.
_WARM_BELOW = 22  # OpenCV's hue, in units of two degrees
_ORANGE_FROM = 8
_PALE_BELOW = 100  # saturation
_BEIGE_FROM = 170  # value, below which it is brown
_HUES = (
    (_ORANGE_FROM, "red"),
    (_WARM_BELOW, "orange"),
    (35, "yellow"),
    (85, "green"),
    (100, "cyan"),
    (130, "blue"),
    (150, "purple"),
    (172, "pink"),
    (180, "red"),
)
"""Upper bound of the hue, and the name of a colour that is neither pale nor dark."""


def dominant_colours(jpegs: Sequence[bytes], count: int = 2) -> tuple[str, ...]:
    """At most `count` names of `COLOURS`, largest share of the pixels first.

    Frames weigh alike; at most eight are read, evenly spread, at an eighth of their size. What
    can't be decoded is left out: without a readable frame, or where no colour fills a fifth of
    the pixels, the answer is empty.
    """
    step = max(1, math.ceil(len(jpegs) / _MAX_FRAMES))
    shares = [share for jpeg in jpegs[::step] if (share := _shares(jpeg)) is not None]
    if not shares:
        return ()
    mean = np.mean(shares, axis=0)
    largest = np.argsort(-mean, kind="stable")[:count]
    return tuple(COLOURS[index] for index in largest if mean[index] >= _MIN_SHARE)


def _shares(jpeg: bytes) -> npt.NDArray[np.float64] | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
    except cv2.error:
        return None
    if pixels is None:
        return None
    hue, saturation, value = (
        channel.ravel() for channel in cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV))
    )
    black = value < _BLACK_BELOW
    colourless = saturation < _COLOURLESS_BELOW
    warm = hue < _WARM_BELOW
    pale = saturation < _PALE_BELOW
    dark = value < _BEIGE_FROM
    names = np.select(
        [
            black,
            colourless & (value > _WHITE_ABOVE),
            colourless,
            warm & pale & ~dark,
            warm & dark & (pale | (hue >= _ORANGE_FROM)),
        ],
        [COLOURS.index(name) for name in ("black", "white", "grey", "beige", "brown")],
        default=_NAME_OF_HUE[hue],
    )
    return np.bincount(names, minlength=len(COLOURS)) / names.size


def _name_of_each_hue() -> npt.NDArray[np.int64]:
    names = np.zeros(256, np.int64)
    lower = 0
    for upper, name in _HUES:
        names[lower:upper] = COLOURS.index(name)
        lower = upper
    return names


_NAME_OF_HUE = _name_of_each_hue()
