"""Formulas in vector instructions, and products in registers, against NumPy in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.products import PANEL, packed, product
from minidl.kernels.cpu.vectors import elementwise, exp, largest, maximum, minimum, select, sigmoid, sqrt, tanh, total

N = st.sampled_from([0, 1, 2, 3, 7, 15, 16, 17, 31, 64, 65, 130])


@elementwise(outputs=5)
def functions(x: Any) -> tuple[Any, ...]:
    return exp(x), tanh(x), sigmoid(x), sqrt(maximum(x, 0.0)), select(x > 1.0, minimum(x, 2.0), -x / 3.0)


@elementwise(outputs=1, sums=2)
def weighted(x: Any, y: Any, s: Any) -> tuple[Any, ...]:
    return x * s + y, x, x * y


@jit
def run_functions(n: int, x: Any, at: int, a: Any, b: Any, c: Any, d: Any, e: Any, to: int) -> None:
    functions(n, x, at, a, to, b, to, c, to, d, to, e, to)


@jit
def run_weighted(n: int, x: Any, at: int, y: Any, s: float) -> Any:
    first, second = weighted(n, x, at, y, 0, s, y, 0)
    return first, second, largest(n, x, at), total(n, x, at)


def in_double(x: Any) -> list[Any]:
    x = x.astype("f8")
    with np.errstate(all="ignore"):
        cut = np.where(x < 0, 0, x)
        rest = np.where(x > 1, np.where(x > 2, 2, x), -x / 3)
        results = [np.exp(x), np.tanh(x), 1 / (1 + np.exp(-x)), np.sqrt(cut), rest]
        return [y.astype("f4") for y in results]


@given(n=N, at=st.integers(0, 5), scale=st.sampled_from([0.01, 1.0, 20.0]), seed=st.integers(0, 2**31))
def test_formulas_and_what_lies_around(n: int, at: int, scale: float, seed: int) -> None:
    """Any number of elements from any place; the numbers before and behind stay as they are."""
    x = (scale * np.random.default_rng(seed).standard_normal(n + 10)).astype("f4")
    found = [np.full(n + 10, 7, "f4") for _ in range(5)]
    run_functions(n, x, at, *found, 4)
    for y, expected in zip(found, in_double(x[at : at + n]), strict=True):
        np.testing.assert_allclose(y[4 : 4 + n], expected, rtol=1e-6, atol=3e-7)
        assert (y[:4] == 7).all()
        assert (y[4 + n :] == 7).all()


def test_numbers_at_the_edges() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, 1e-8, 100, -100, 88, -86, 3e38], "f4")
    found = [np.zeros(x.size, "f4") for _ in range(5)]
    run_functions(x.size, x, 0, *found, 0)
    for y, expected in zip(found, in_double(x), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=3e-7)
    assert found[1][4] == np.float32(1e-8)


@given(n=N, at=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_sums_and_the_largest(n: int, at: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n + 10).astype("f4"), rng.standard_normal(n).astype("f4")
    new, part = y.copy(), x[at : at + n].astype("f8")
    found = run_weighted(n, x, at, new, 0.5)
    expected = [part.sum(), (part * y).sum(), part.max(initial=-np.inf), part.sum()]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(new, part * 0.5 + y, rtol=1e-6, atol=1e-6)


@given(
    M=st.integers(0, 20), N=st.sampled_from([1, 15, 16, 17, 32, 33, 48, 49, 100]), K=st.integers(0, 9),
    turned=st.booleans(), add=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_products_in_registers(M: int, N: int, K: int, turned: bool, add: bool, seed: int) -> None:
    """Rows and columns of any number, A as it lies or transposed, C written or added to, nothing around it touched."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.integers(-4, 5, shape).astype("f4") for shape in ((M, K), (K, N), (M, N + 3)))
    flat, rs, ks = (a.T.ravel(), 1, M) if turned else (a.ravel(), K, 1)
    found = c.copy()
    product(M, N, K, flat, 0, rs, ks, packed(b), 0, PANEL, K * PANEL, found.reshape(-1), 1, N + 3, int(add))
    expected = c.copy()
    expected[:, 1 : N + 1] = a @ b + (c[:, 1 : N + 1] if add else 0)
    np.testing.assert_array_equal(found, expected)
