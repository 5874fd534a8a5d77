"""Batch normalization in every room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels

ROOMS = ("auto", "numpy")
TOLERANCE = {"float16": 3e-2, "float32": 3e-5, "float64": 1e-11, "complex128": 1e-11}


def run(room: str, name: str, *args: Any) -> Any:
    with use_kernels(room):
        return getattr(kernels_for(args[0]), name)(*args)


def draw(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1e-3j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=50, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(2, 5), st.integers(1, 4)),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4), st.integers(1, 5)),
    ),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    affine=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_forward_and_backward_are_the_formulas(
    room: str, shape: tuple[int, ...], dtype: str, affine: bool, seed: int
) -> None:
    x, gy = draw(shape, dtype, seed), draw(shape, dtype, seed + 1)
    w, b = (draw(shape[1:2], dtype, seed + 2), draw(shape[1:2], dtype, seed + 3)) if affine else (None, None)
    actual = run(room, "batch_norm", x, w, b, 0.1)
    expected = run("reference", "batch_norm", x, w, b, 0.1)
    actual += run(room, "batch_norm_grad", gy, x, w, expected[1], expected[3])
    expected += run("reference", "batch_norm_grad", gy, x, w, expected[1], expected[3])
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == x.dtype
        np.testing.assert_allclose(a, e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    for a, e in zip(run(room, "batch_norm_stats", x), expected[1:3], strict=True):
        np.testing.assert_allclose(a, e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("room", ROOMS)
def test_float32_variance_survives_a_large_mean(room: str) -> None:
    """Sums in float32, or E[x²] − E[x]², would lose every digit here: std 1 on a mean of 10 000, 2 million values."""
    x = (np.random.default_rng(0).standard_normal((32, 2, 200, 160)) + 1e4).astype(np.float32)
    mean, var = run(room, "batch_norm_stats", x)
    exact = np.moveaxis(x, 1, 0).reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(axis=1), rtol=1e-6)


@pytest.mark.parametrize("room", ROOMS)
def test_every_layout_gives_the_same_bits(room: str) -> None:
    """T30."""
    x, gy = draw((4, 3, 5, 7), "float32", 0), draw((4, 3, 5, 7), "float32", 1)
    w = draw((3,), "float32", 2)
    y, mean, _, inv_std = run(room, "batch_norm", x, w, w, 1e-5)
    grads = run(room, "batch_norm_grad", gy, x, w, mean, inv_std)
    for (name, view), gy_view in zip(layouts(x).items(), layouts(gy).values(), strict=True):
        tolerance = {"rtol": 1e-5, "atol": 1e-5} if room == "numpy" else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(run(room, "batch_norm", view, w, w, 1e-5)[0], y, err_msg=name, **tolerance)
        for a, e in zip(run(room, "batch_norm_grad", gy_view, view, w, mean, inv_std), grads, strict=True):
            np.testing.assert_allclose(a, e, err_msg=name, **tolerance)


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_an_empty_batch_has_no_mean(room: str) -> None:
    with pytest.raises(ValueError, match="at least one value per channel"):
        run(room, "batch_norm_stats", np.zeros((0, 3, 2, 2), np.float32))
