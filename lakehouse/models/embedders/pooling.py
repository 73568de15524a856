"""From several vectors to one, whatever they are of."""

import numpy as np
from numpy.typing import NDArray

from lakehouse.models.batch_model import Rows

Vector = NDArray[np.float32]

_ROUNDING = 1e-6


def pooled(rows: Rows) -> Vector:
    """The mean of the rows, each taken at unit length, at unit length. Zeros stay zeros."""
    return unit(np.mean(unit_rows(rows), axis=0))


def unit(vector: NDArray[np.floating]) -> Vector:
    """The vector at unit length; one of zeros stays."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, dtype=np.float32)


def unit_rows(rows: Rows) -> Rows:
    """Each row at unit length; rows of zeros stay. Those that have it but for rounding are left as
    they are: a vector changes by nothing when it comes through here again."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    is_done = (lengths == 0) | (np.abs(lengths - 1) < _ROUNDING)
    return np.asarray(rows / np.where(is_done, 1, lengths), dtype=np.float32)
