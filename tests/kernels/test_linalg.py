"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import layouts

from minidl.kernels import kernels_for, use_kernels

ROOMS = ("auto", "numpy")


def matmul(room: str, *args: Any) -> Any:
    with use_kernels(room):
        return kernels_for(args[0]).matmul(*args)


def linear(room: str, *args: Any) -> Any:
    with use_kernels(room):
        return kernels_for(args[0]).linear(*args)


@st.composite
def operands(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    m, k, n = (draw(st.integers(0, 4)) for _ in range(3))
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    a = (*[draw(st.sampled_from([1, size])) for size in batch], m, k)
    b = (*[draw(st.sampled_from([1, size])) for size in batch[draw(st.integers(0, len(batch))) :]], k, n)
    kind = draw(st.sampled_from(["matrices", "vector left", "vector right", "vectors"]))
    return (
        a if "left" not in kind and kind != "vectors" else (k,),
        b if kind in ("matrices", "vector left") else (k,),
    )


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=80, deadline=None)
@given(shapes=operands(), dtype=st.sampled_from(["float16", "float32", "float64", "complex128"]))
def test_matmul_is_the_formula(room: str, shapes: tuple[tuple[int, ...], ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in shapes)
    y, expected = matmul(room, a, b), matmul("reference", a, b)
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)  # small integers: every sum is exact


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
    dtype=st.sampled_from(["float16", "float32", "float64", "complex128"]),
    biased=st.booleans(),
)
def test_linear_is_the_formula(room: str, sizes: tuple[int, int, int], dtype: str, biased: bool) -> None:
    M, K, N = sizes
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((M, K), (N, K), (N,)))
    y, expected = linear(room, x, w, b if biased else None), linear("reference", x, w, b if biased else None)
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)  # small integers: every sum is exact


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes", [(700, 300, 50), (40, 1300, 100), (33, 257, 1025), (9, 600, 64), (1, 4000, 900)], ids=str
)
def test_a_bias_is_added_once_to_every_row_of_a_shared_product(sizes: tuple[int, int, int], dtype: str) -> None:
    M, K, N = sizes
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((M, K), (N, K), (2 * N,)))
    for bias in (b[:N], b[::2], b[::-2]):
        expected = x @ w.T + bias
        for room in ROOMS:
            np.testing.assert_array_equal(linear(room, x, w, bias), expected)
            np.testing.assert_array_equal(linear(room, np.asfortranarray(x), np.asfortranarray(w), bias), expected)


LARGE = [
    ((700, 300), (300, 500)),
    ((90, 700), (700, 2000)),
    ((2000, 64), (64, 70)),
    ((6, 130, 140), (140, 150)),
    ((1, 130, 140), (7, 140, 150)),
    ((3, 1, 65, 129), (2, 129, 67)),
    ((1, 4000), (4000, 1000)),
    ((4000, 1000), (1000, 1)),
    ((33, 257), (257, 1025)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shapes", LARGE, ids=str)
def test_a_shared_product_is_the_whole_product(shapes: tuple[tuple[int, ...], ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in shapes)
    expected = np.einsum("...ik,...kj->...ij", a, b, optimize=True)
    for room in ROOMS:
        np.testing.assert_array_equal(matmul(room, a, b), expected)
        np.testing.assert_array_equal(matmul(room, a[..., ::-1], np.asfortranarray(b)[..., ::-1, :]), expected)
        out = np.full(expected.shape, np.nan, dtype)
        assert matmul(room, a, b, out) is out
        np.testing.assert_array_equal(out, expected)
        strided = np.full((*expected.shape[:-1], 2 * expected.shape[-1]), np.nan, dtype)[..., ::2]
        matmul(room, a, b, strided)
        np.testing.assert_array_equal(strided, expected)


@pytest.mark.parametrize(
    "sizes", [(40, 900, 130), (130, 900, 40), (50, 1100, 144), (9, 3000, 33), (200, 65, 8)], ids=str
)
def test_transposes_of_large_matrices(sizes: tuple[int, int, int]) -> None:
    """Whichever of the two is copied, and whichever lies in columns."""
    M, K, N = sizes
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (M, K)).astype("f4"), rng.integers(-3, 4, (K, N)).astype("f4")
    expected = a.astype("f8") @ b
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            np.testing.assert_array_equal(matmul("auto", left, right), expected)


@pytest.mark.parametrize("room", ROOMS)
def test_every_layout_of_both_operands(room: str) -> None:
    """T30."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((150, 100), (100, 130)))
    expected = matmul("reference", a[:3], b)
    for name, view in layouts(a).items():
        for other, view_b in layouts(b).items():
            result = matmul(room, view, view_b)
            np.testing.assert_array_equal(result[:3], expected, err_msg=f"{name} @ {other}")


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_sizes_that_do_not_fit_are_explained(room: str) -> None:
    with pytest.raises(ValueError, match=r"inner sizes differ: \(2, 3\) @ \(4, 5\)"):
        matmul(room, np.zeros((2, 3)), np.zeros((4, 5)))
    for m in (2,) if room == "reference" else (2, 2000):
        with pytest.raises(ValueError):
            matmul(room, np.zeros((m, 300)), np.zeros((300, 5)), np.zeros((m, 4)))
