"""CUDA norms, softmax cross-entropy and ReLU against plain loops and formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import Room, assert_close, reference

from minidl.kernels import portable
from minidl.kernels.gpu import normalization

DTYPES = st.sampled_from(["float32", "float64", "float16"])
FAST = settings(max_examples=20, deadline=None)


@FAST
@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(1, 7)), dtype=DTYPES,
       affine=st.booleans(), seed=st.integers(0, 2**31))  # fmt: skip
def test_batch_norm_and_back(room: Room, shape: Any, dtype: str, affine: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, gy = (rng.standard_normal(shape) * 2 + 3).astype(dtype), rng.standard_normal(shape).astype(dtype)
    w, b = (rng.standard_normal(shape[1]).astype(dtype) if affine else None for _ in range(2))
    eps = 0.1
    found = room.run("batch_norm", x, w, b, eps)
    for actual, expected in zip(found, reference("batch_norm", x, w, b, eps), strict=True):
        assert_close(actual, expected)
    args = (gy, x, w, found[1], found[3])
    for actual, expected in zip(room.run("batch_norm_grad", *args), reference("batch_norm_grad", *args), strict=True):
        assert_close(actual, expected, times=3)


def test_channels_of_several_stretches(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """More numbers a channel than one block adds up, of a mean far from 0."""
    monkeypatch.setattr(normalization, "_STRETCH", 300)
    rng = np.random.default_rng(3)
    x, gy = (rng.standard_normal((3, 2, 17, 25)) + 1000).astype("f4"), rng.standard_normal((3, 2, 17, 25)).astype("f4")
    _, mean, var, inv_std = room.run("batch_norm", x, None, None, 1e-5)
    wide = x.astype("f8")
    np.testing.assert_allclose(mean, wide.mean(axis=(0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(var, wide.var(axis=(0, 2, 3)), rtol=1e-6)
    args = (gy, x, None, mean, inv_std)
    for actual, expected in zip(room.run("batch_norm_grad", *args), reference("batch_norm_grad", *args), strict=True):
        assert_close(actual, expected)


@FAST
@given(rows=st.integers(0, 70), L=st.sampled_from([1, 2, 31, 33, 129]), dtype=DTYPES, affine=st.booleans(),
       seed=st.integers(0, 2**31))  # fmt: skip
def test_layer_norm_and_back(room: Room, rows: int, L: int, dtype: str, affine: bool, seed: int) -> None:
    """More rows than one slice of the sums over them."""
    rng = np.random.default_rng(seed)
    x, gy = (rng.standard_normal((rows, L)) * 3 + 1).astype(dtype), rng.standard_normal((rows, L)).astype(dtype)
    w, b = (rng.standard_normal(L).astype(dtype) if affine else None for _ in range(2))
    found = room.run("layer_norm", x, w, b, 0.1)
    for actual, expected in zip(found, portable.layer_norm(x, w, b, 0.1), strict=True):
        assert_close(actual, expected)
    args = (gy, x, w, *found[1:])
    for actual, expected in zip(room.run("layer_norm_grad", *args), portable.layer_norm_grad(*args), strict=True):
        assert_close(actual, expected, times=3)


@FAST
@given(rows=st.integers(0, 5), K=st.sampled_from([1, 2, 31, 129, 300]), dtype=DTYPES, scale=st.sampled_from([1, 1e4]),
       seed=st.integers(0, 2**31))  # fmt: skip
def test_softmax_cross_entropy_and_back(room: Room, rows: int, K: int, dtype: str, scale: float, seed: int) -> None:
    """T9: also with scores of ±10⁴."""
    rng = np.random.default_rng(seed)
    x, labels = (rng.standard_normal((rows, K)) * scale).astype(dtype), rng.integers(0, K, rows)
    found, expected = room.run("softmax_cross_entropy", x, labels), reference("softmax_cross_entropy", x, labels)
    for actual, wanted in zip(found, expected, strict=True):
        assert_close(actual, wanted)
    args = (rng.standard_normal(rows).astype(dtype), x, labels, *found[1:])
    assert_close(room.run("softmax_cross_entropy_grad", *args), reference("softmax_cross_entropy_grad", *args))


def test_a_label_that_is_no_class_gives_nan(room: Room) -> None:
    x = np.zeros((3, 4), "f4")
    y = room.run("softmax_cross_entropy", x, np.array([-100, 3, 4]))[0]
    np.testing.assert_array_equal(np.isnan(y), [True, False, True])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_relu_and_back(room: Room, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((7, 101)).astype(dtype)
    x[0, :4] = [np.nan, -np.inf, np.inf, 0]
    y = room.run("relu", x)
    np.testing.assert_array_equal(y, reference("relu", x))
    gy = np.full(x.shape, np.inf, dtype)
    np.testing.assert_array_equal(room.run("relu_grad", gy, y), reference("relu_grad", gy, y))
