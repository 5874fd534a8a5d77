"""Cross-entropy of rows of logits in every room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels

ROOMS = ("auto", "numpy")
TOLERANCE = {"float16": 4e-3, "float32": 2e-6, "float64": 1e-13}


def both_passes(room: str, x: Array, labels: Array, gy: Array) -> list[Array]:
    with use_kernels(room):
        kernels = kernels_for(x)
        losses, *kept = kernels.softmax_cross_entropy(x, labels)
        return [losses, kernels.softmax_cross_entropy_grad(gy, x, labels, *kept)]


@pytest.mark.parametrize("room", ROOMS)
@given(
    N=st.integers(1, 4), K=st.sampled_from([1, 2, 3, 15, 16, 17, 63, 64, 130]), scale=st.sampled_from([1.0, 30.0]),
    dtype=st.sampled_from(tuple(TOLERANCE)), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_formula_and_adjoint(room: str, N: int, K: int, scale: float, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, labels = (scale * rng.standard_normal((N, K))).astype(dtype), rng.integers(0, K, N)
    gy = rng.standard_normal(N).astype(dtype)
    found, expected = (both_passes(r, x, labels, gy) for r in (room, "reference"))
    assert found[1].dtype == x.dtype
    for a, e in zip(found, expected, strict=True):
        tolerance = TOLERANCE[dtype] * max(1.0, scale)
        np.testing.assert_allclose(a.astype("f8"), e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("room", ROOMS)
def test_scores_of_any_size_neither_overflow_nor_vanish(room: str) -> None:
    """T9: e^1000 is no float, but its softmax is."""
    x = np.array([[1000, 0, -1000], [-1e30, -1e30, -1e30], [3e38, 0, -np.inf]], "f4")
    losses, gx = both_passes(room, x, np.array([1, 2, 0]), np.ones(3, "f4"))
    np.testing.assert_allclose(losses, [1000, np.log(3), 0], rtol=1e-6)
    np.testing.assert_allclose(gx, [[1, -1, 0], [1 / 3, 1 / 3, -2 / 3], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("room", ROOMS)
def test_nan_stays_in_its_row(room: str) -> None:
    x = np.zeros((3, 40), "f4")
    x[1, 20] = np.nan
    with np.errstate(invalid="ignore"):
        losses, gx = both_passes(room, x, np.array([0, 1, 2]), np.ones(3, "f4"))
    assert np.isnan(losses).tolist() == np.isnan(gx).all(axis=1).tolist() == [False, True, False]


def test_every_layout_gives_the_same_bits() -> None:
    """T30."""
    x = np.random.default_rng(0).standard_normal((5, 33)).astype("f4")
    labels, gy = np.array([0, 32, 7, 16, 15], np.int32), np.ones(5, "f4")
    expected = both_passes("auto", x, labels, gy)
    for name, view in layouts(x).items():
        for a, e in zip(both_passes("auto", view, labels, gy), expected, strict=True):
            np.testing.assert_array_equal(a, e, err_msg=name)
