"""Pooling: from the vectors of frames to one of the clip."""

import numpy as np

from lakehouse.models.embedders.pooling import pooled, unit_rows


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


def test_each_row_counts_the_same_however_long_it_is() -> None:
    np.testing.assert_allclose(pooled(rows((100, 0), (0, 0.1))), [0.5**0.5, 0.5**0.5], atol=1e-6)


def test_a_row_of_zeros_stays_zero() -> None:
    assert pooled(rows((0, 0, 0))).tolist() == [0, 0, 0]
    assert unit_rows(rows((0, 0), (0, 2))).tolist() == [[0, 0], [0, 1]]


def test_rows_that_cancel_out_leave_zeros() -> None:
    assert pooled(rows((1, 0), (-1, 0))).tolist() == [0, 0]


def test_unit_rows_are_the_same_after_another_time() -> None:
    some = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    once = unit_rows(some)
    assert np.array_equal(unit_rows(once), once)


def test_vectors_are_of_single_precision() -> None:
    assert pooled(np.ones((3, 4), np.float32)).dtype == np.float32
