"""CUDA pooling, and convolution with ReLU and max pooling as one, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_cases import ConvCase, PoolCase, conv_cases, pool_cases
from rooms import Room, assert_close, reference

from minidl.kernels.geometry import DEAD, convolution

DTYPES = st.sampled_from(["float32", "float64", "float16"])
FAST = settings(max_examples=25, deadline=None)
ALL = (True, True, True)


def drawn(case: PoolCase, dtype: str) -> Any:
    """Whole numbers, so that windows have ties."""
    return np.random.default_rng(case.seed).integers(-3, 4, case.x_shape).astype(dtype)


@FAST
@given(case=pool_cases(dilated=True), dtype=DTYPES)
def test_max_pool_and_back(room: Room, case: PoolCase, dtype: str) -> None:
    """T10, T11: the first of equal pixels wins, padding never."""
    x = drawn(case, dtype)
    args = (x, case.kernel, case.stride, case.padding, case.dilation, case.out_hw)
    y, indices = room.run("max_pool2d", *args)
    for actual, expected in zip((y, indices), reference("max_pool2d", *args), strict=True):
        np.testing.assert_array_equal(actual, expected)
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    args = (gy, indices, x.shape[2:])
    assert_close(room.run("scatter_windows", *args), reference("scatter_windows", *args))
    np.testing.assert_array_equal(room.run("gather_windows", x, indices), y)


@FAST
@given(case=pool_cases(dilated=False), dtype=DTYPES, pad=st.booleans(), divisor=st.sampled_from([None, 3]))
def test_avg_pool_and_back(room: Room, case: PoolCase, dtype: str, pad: bool, divisor: int | None) -> None:
    x = np.random.default_rng(case.seed).standard_normal(case.x_shape).astype(dtype)
    args: tuple[Any, ...] = (x, case.kernel, case.stride, case.padding, case.out_hw, pad, divisor)
    y = reference("avg_pool2d", *args)
    assert_close(room.run("avg_pool2d", *args), y)
    args = (y, x.shape[2:], case.kernel, case.stride, case.padding, pad, divisor)
    assert_close(room.run("avg_pool2d_grad", *args), reference("avg_pool2d_grad", *args))


def test_planes_larger_than_a_stretch_of_windows(room: Room) -> None:
    """More windows and pixels than a block has threads, and many windows that chose one pixel."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 700, (2, 1, 20, 31))
    indices[0, 0, :9] = 650
    gy = rng.standard_normal(indices.shape).astype("f4")
    args = (gy, indices, (25, 28))
    assert_close(room.run("scatter_windows", *args), reference("scatter_windows", *args))


def test_indices_outside_the_plane_are_refused(room: Room) -> None:
    with pytest.raises(IndexError, match=r"window indices 0 … 12 lie outside the plane's 12 pixels"):
        room.run("scatter_windows", np.ones((1, 1, 1, 2), "f4"), np.array([[[[0, 12]]]]), (3, 4))


def test_nan_wins(room: Room) -> None:
    x = np.array([[[[1, np.nan, 2, 3]]]], "f4")
    y, indices = room.run("max_pool2d", x, (1, 2), (1, 2), (0, 0, 0, 0), (1, 1), (1, 2))
    np.testing.assert_array_equal(y, [[[[np.nan, 3]]]])
    np.testing.assert_array_equal(indices, [[[[1, 3]]]])


@FAST
@given(case=conv_cases(), dtype=DTYPES, bias=st.booleans(),
       pool=st.tuples(*[st.tuples(st.integers(1, 3), st.integers(1, 3))] * 2) | st.just(((2, 2), (2, 2))))  # fmt: skip
def test_convolution_relu_and_max_pool_as_one(room: Room, case: ConvCase, dtype: str, bias: bool, pool: Any) -> None:
    v = convolution("", case.x_shape, case.w_shape, *case.window).windows
    assume(pool[0][0] <= v.OH and pool[0][1] <= v.OW)
    x, w, b = (np.round(4 * a) / 4 for a in case.arrays("float64"))  # exact in every dtype: equal sums stay equal
    x, w, b = x.astype(dtype), w.astype(dtype), b.astype(dtype)
    args = (x, w, b if bias else None, *case.window, *pool)
    y, codes = room.run("conv2d_relu_max_pool2d", *args)
    expected, expected_codes = reference("conv2d_relu_max_pool2d", *args)
    assert_close(y, expected)
    np.testing.assert_array_equal(codes, expected_codes)
    gy = np.random.default_rng(case.seed).standard_normal(y.shape).astype(dtype)
    args = (gy, codes, x, w, *case.window, *pool, ALL)
    for actual, wanted in zip(room.run("conv2d_relu_max_pool2d_grad", *args),
                              reference("conv2d_relu_max_pool2d_grad", *args), strict=True):  # fmt: skip
        assert_close(actual, wanted, times=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [32, 40, 70])
def test_pooled_tiles(room: Room, channels: int, dtype: str) -> None:
    """Windows of 2×2 stay in a thread's registers, in tiles of 32×128 and 64×64; odd rows and columns are left out."""
    x, w, b = ConvCase((2, 3, 11, 16), (channels, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 5).arrays(dtype)
    args = (x, w, b - 1, (1, 1), (1, 1, 1, 1), (1, 1), 1, (2, 2), (2, 2))
    y, codes = room.run("conv2d_relu_max_pool2d", *args)
    expected, expected_codes = reference("conv2d_relu_max_pool2d", *args)
    assert_close(y, expected)
    np.testing.assert_array_equal(codes, expected_codes)
    assert (codes == DEAD).any()
    assert {*np.unique(codes)} == {0, 1, 2, 3, DEAD}
