"""The weightless baseline: a handcrafted visual descriptor.

Colours and edge directions by place in the picture. It finds clips that look alike, such as the
same corridor on another day; it knows nothing of what they mean.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.pooling import Vector, unit
from lakehouse.models.embedders.protocol import EmbedderDescriptor

_CELLS_ACROSS, _CELLS_DOWN = 4, 3
_CELL_PX = 32
_HUES = 8
_VALUES = 4
_DIRECTIONS = 8
_GREYISH_BELOW = 32  # saturation, of 255, under which a hue says nothing
_PER_CELL = _HUES + _VALUES + _DIRECTIONS

DESCRIPTOR = EmbedderDescriptor(
    model="descriptor", version="1", dimensions=_CELLS_ACROSS * _CELLS_DOWN * _PER_CELL
)


class VisualDescriptor:
    """For each of 4 x 3 cells: histograms of hue (of colourful pixels), brightness, and edge
    direction weighted by strength (as in Dalal and Triggs, CVPR 2005).

    All of an `Embedder`'s work is preparation here, and so is done by several threads.
    """

    batch_size = 32

    def prepare(self, items: Sequence[bytes]) -> Rows:
        """The descriptors of the pictures."""
        return np.stack([describe_picture(jpeg) for jpeg in items])

    def launch(self, prepared: Rows) -> Rows:
        """Nothing is left to do."""
        return prepared

    def collect(self, launched: Rows) -> Rows:
        """See `BatchModel.collect`."""
        return launched


def describe_picture(jpeg: bytes) -> Vector:
    """The descriptor of one picture: a unit vector of `DESCRIPTOR.dimensions` values."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "frames are JPEGs that this project wrote"
    size = (_CELLS_ACROSS * _CELL_PX, _CELLS_DOWN * _CELL_PX)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV))
    luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    strength, angle = cv2.cartToPolar(
        cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    )
    return unit(
        np.concatenate(
            [
                _cell_histograms(hue / 180, (saturation >= _GREYISH_BELOW) * 1.0, _HUES),
                _cell_histograms(value / 256, np.ones(value.shape), _VALUES),
                _cell_histograms(angle % np.pi / np.pi, strength / 255, _DIRECTIONS),
            ]
        )
    )


def _cell_histograms(
    share: NDArray[np.floating], weight: NDArray[np.floating], bins: int
) -> Vector:
    """Weighted histograms of values in 0 to 1, one for each cell, square-rooted: the square root
    keeps large plain areas from drowning everything else."""
    rows, columns = np.indices(share.shape)
    cell = rows // _CELL_PX * _CELLS_ACROSS + columns // _CELL_PX
    slot = cell * bins + np.minimum((share * bins).astype(int), bins - 1)
    totals = np.bincount(
        slot.ravel(), weights=weight.ravel(), minlength=_CELLS_ACROSS * _CELLS_DOWN * bins
    )
    return unit(np.sqrt(totals))
