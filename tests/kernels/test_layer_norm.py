"""Layer norm in every room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import Array, layouts

from minidl.kernels import kernels_for, use_kernels
from minidl.kernels.threads import num_threads, set_num_threads

ROOMS = ("auto", "numpy")
TOLERANCE = {"float16": 2e-2, "float32": 3e-5, "float64": 1e-11, "complex128": 1e-11}


def run(room: str, name: str, *args: Any) -> Any:
    with use_kernels(room):
        return getattr(kernels_for(args[0]), name)(*args)


def drawn(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1e-3j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def both_passes(room: str, x: Array, gy: Array, w: Array | None, b: Array | None) -> list[Array]:
    y, mean, inv_std = run(room, "layer_norm", x, w, b, 0.1)
    return [y, mean, inv_std, *run(room, "layer_norm_grad", gy, x, w, mean, inv_std)]


@pytest.mark.parametrize("room", ROOMS)
@given(
    M=st.integers(1, 5), L=st.sampled_from([1, 2, 3, 15, 16, 17, 33, 64, 65, 130]),
    dtype=st.sampled_from(tuple(TOLERANCE)), affine=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_formula_and_adjoint(room: str, M: int, L: int, dtype: str, affine: bool, seed: int) -> None:
    x, gy, (w, b) = drawn((M, L), dtype, seed), drawn((M, L), dtype, seed + 1), drawn((2, L), dtype, seed + 2)
    parameters = (w, b) if affine else (None, None)
    expected = both_passes("reference", x, gy, *parameters)
    for a, e in zip(both_passes(room, x, gy, *parameters), expected, strict=True):
        assert a.dtype == x.dtype
        tolerance = TOLERANCE[dtype] * max(1.0, float(np.abs(e).max()))
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


def test_every_layout_gives_the_same_bits() -> None:
    """T30."""
    x, gy, w = drawn((5, 33), "float32", 0), drawn((5, 33), "float32", 1), drawn((33,), "float32", 2)
    expected = both_passes("auto", x, gy, w, w)
    for (name, view), gy_view in zip(layouts(x).items(), layouts(gy).values(), strict=True):
        for a, e in zip(both_passes("auto", view, gy_view, w, w), expected, strict=True):
            np.testing.assert_array_equal(a, e, err_msg=name)


def test_the_same_bits_with_any_number_of_threads() -> None:
    """T31: the gradients of w and b are added up in parts that depend on the problem only."""
    x, gy, w = drawn((700, 301), "float32", 0), drawn((700, 301), "float32", 1), drawn((301,), "float32", 2)
    before, found = num_threads(), []
    try:
        for n in (1, 2, 3):
            set_num_threads(n)
            found.append(both_passes("auto", x, gy, w, w))
    finally:
        set_num_threads(before)
    for one, two, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_a_large_mean_costs_no_digits() -> None:
    """Std 1 on a mean of 3000: E[x²] − E[x]² in float32 would have none left."""
    x = (np.random.default_rng(0).standard_normal((3, 4000)) + 3000).astype("f4")
    y = run("auto", "layer_norm", x, None, None, 0.0)[0]
    wide = x.astype("f8")
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=2e-3)


@pytest.mark.parametrize("room", ROOMS)
def test_nan_stays_in_its_row(room: str) -> None:
    x = drawn((3, 40), "float32", 0)
    x[1, 7] = np.nan
    with np.errstate(invalid="ignore"):
        y = run(room, "layer_norm", x, None, None, 0.1)[0]
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(y[[0, 2]]).all()
