"""ReLU in every room."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels


def numbers(size: int, dtype: str) -> Array:
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    x[:5] = [0.0, -0.0, np.nan, np.inf, -np.inf]
    return x


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [7, 20_011], ids=["small", "large"])
@pytest.mark.parametrize("room", ["auto", "numpy"])
def test_rooms_agree_with_the_loops_also_at_nan_and_infinity(room: str, size: int, dtype: str) -> None:
    x, gy = numbers(size, dtype), numbers(size, dtype)[::-1].copy()
    with use_kernels("reference"):
        y, gx = kernels_for(x).relu(x), kernels_for(x).relu_grad(gy, x)
    with use_kernels(room):
        found, found_gx = kernels_for(x).relu(x), kernels_for(x).relu_grad(gy, x)
    for a, b in [(y, found), (gx, found_gx)]:
        assert b.dtype == a.dtype
        np.testing.assert_array_equal(a, b)


def test_an_infinite_gradient_at_a_dead_unit_is_0() -> None:
    """T28: inf · 0 would be nan."""
    y = np.zeros(20_000, np.float32)
    assert not kernels_for(y).relu_grad(np.full_like(y, np.inf), y).any()


@pytest.mark.parametrize("name", sorted(layouts(np.zeros((2, 2), np.float32))))
def test_layouts(name: str) -> None:
    """T30."""
    x = np.random.default_rng(1).standard_normal((130, 90)).astype(np.float32)
    laid = layouts(x)[name]
    np.testing.assert_array_equal(kernels_for(x).relu_grad(laid, laid), np.maximum(laid, 0))
    np.testing.assert_array_equal(kernels_for(x).relu(laid), np.maximum(laid, 0))
