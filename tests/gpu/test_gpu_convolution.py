"""CUDA convolution and its gradients, every stride, padding, dilation and group count, against plain loops."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import ConvCase, conv_cases, layouts
from rooms import Room, assert_close, bfloat16, reference

from minidl.kernels import portable
from minidl.kernels.gpu import convolution
from minidl.kernels.precision import allow_tf32, bfloat16_factors

DTYPES = st.sampled_from(["float32", "float64", "float16"])
FAST = settings(max_examples=25, deadline=None)


@FAST
@given(case=conv_cases(), dtype=DTYPES, bias=st.booleans())
def test_conv2d_is_the_formula(room: Room, case: ConvCase, dtype: str, bias: bool) -> None:
    x, w, b = case.arrays(dtype)
    args = (x, w, b if bias else None, *case.window)
    assert_close(room.run("conv2d", *args), reference("conv2d", *args))


@FAST
@given(case=conv_cases(), dtype=DTYPES)
def test_both_gradients_are_their_formulas(room: Room, case: ConvCase, dtype: str) -> None:
    """T13: remainder columns too. With stride S the gradient by the input is S·S convolutions by some of the taps."""
    x, w, _ = case.arrays(dtype)
    gy = np.ascontiguousarray(reference("conv2d", x, w, None, *case.window)[..., ::-1])
    args: tuple[Any, ...] = (gy, w, x.shape[2:], *case.window)
    assert_close(room.run("conv2d_input_grad", *args), reference("conv2d_input_grad", *args))
    args = (x, gy, w.shape[2:], *case.window)
    assert_close(room.run("conv2d_weight_grad", *args), reference("conv2d_weight_grad", *args))


@FAST
@given(case=conv_cases(), dtype=st.sampled_from(["float32", "float16"]))
def test_unfolding_and_back(room: Room, case: ConvCase, dtype: str) -> None:
    x, w, _ = case.arrays(dtype)
    window = (w.shape[2:], *case.window[:3])
    cols = room.run("im2col", x, *window)
    np.testing.assert_array_equal(cols, reference("im2col", x, *window))
    assert_close(room.run("col2im", cols, x.shape[2:], *window), reference("col2im", cols, x.shape[2:], *window))


# Rows and pixels around the tiles of 32×128, 64×64 and 128×128, channels beyond a step of 16.
TILES = [
    ((2, 3, 9, 17), (32, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((1, 17, 7, 10), (33, 17, 3, 2), (1, 2), (1, 0, 1, 2), (1, 1), 1),
    ((3, 8, 6, 5), (130, 4, 2, 3), (1, 1), (0, 1, 1, 0), (2, 1), 2),
    ((1, 6, 5, 9), (6, 1, 3, 3), (2, 3), (1, 1, 1, 1), (1, 2), 6),
    ((2, 40, 3, 4), (65, 40, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
]


@pytest.mark.parametrize("tile", [None, (128, 128)])
@pytest.mark.parametrize("case", TILES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_edges_of_tiles(room: Room, case: tuple[Any, ...], tile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x_shape, w_shape, *window = case
    if tile:
        monkeypatch.setattr(convolution, "_tile", lambda *_: tile)
    x, w, b = ConvCase(x_shape, w_shape, *window, seed=7).arrays("float32")
    exact = [a.astype(np.float64) for a in (x, w, b)]
    y = room.run("conv2d", x, w, b, *window)
    assert_close(y, portable.conv2d(*exact, *window).astype("f4"))
    wide_y = y.astype(np.float64)
    gx = room.run("conv2d_input_grad", y, w, x_shape[2:], *window)
    assert_close(gx, portable.conv2d_input_grad(wide_y, exact[1], x_shape[2:], *window).astype("f4"))
    gw = room.run("conv2d_weight_grad", x, y, w_shape[2:], *window)
    assert_close(gw, portable.conv2d_weight_grad(exact[0], wide_y, w_shape[2:], *window).astype("f4"))


@pytest.mark.parametrize("factors", ["float16", "bfloat16", "tf32"])
@pytest.mark.parametrize("case", TILES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_tensor_cores(room: Room, case: tuple[Any, ...], factors: str) -> None:
    """By the layouts the PTX ISA prints. Factors are rounded once and sums are float; results of float16 too."""
    x_shape, w_shape, *window = case
    x, w, b = ConvCase(x_shape, w_shape, *window, seed=8).arrays("float32")
    gy = np.random.default_rng(9).standard_normal(portable.conv2d(x, w, None, *window).shape).astype("f4")
    if factors == "float16":
        x, w, b, gy = (a.astype("f2") for a in (x, w, b, gy))
    low, high = {"float16": (0, 1e-3), "bfloat16": (0, 1e-6), "tf32": (1e-6, 2e-3)}[factors]
    allowed = {"float16": contextlib.nullcontext, "bfloat16": bfloat16_factors, "tf32": allow_tf32}[factors]
    rounded = bfloat16 if factors == "bfloat16" else np.asarray
    exact_x, exact_w, exact_gy = (rounded(a).astype("f8") for a in (x, w, gy))
    with allowed():
        found = (
            room.run("conv2d", x, w, b, *window),
            room.run("conv2d_input_grad", gy, w, x_shape[2:], *window),
            room.run("conv2d_weight_grad", x, gy, w_shape[2:], *window),
        )
    expected = (
        portable.conv2d(exact_x, exact_w, b.astype("f8"), *window),
        portable.conv2d_input_grad(exact_gy, exact_w, x_shape[2:], *window),
        portable.conv2d_weight_grad(exact_x, exact_gy, w_shape[2:], *window),
    )
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == x.dtype
        assert low <= np.abs(actual - wanted).max() / np.abs(wanted).max() <= high


def test_bfloat16_keeps_the_range_of_float32_and_its_infinities(room: Room) -> None:
    x = np.array([1e38, -1e-38, np.inf, np.nan, 1 + 2.0**-9, 3.3895e38], "f4").reshape(1, 1, 1, 6)
    one = np.ones((1, 1, 1, 1), "f4")
    with bfloat16_factors():
        y = room.run("conv2d", x, one, None, (1, 1), (0, 0, 0, 0), (1, 1), 1).ravel()
    np.testing.assert_array_equal(y[[0, 1, 4, 5]], bfloat16(x).ravel()[[0, 1, 4, 5]])
    assert (y[2], np.isnan(y[3]), y[4]) == (np.inf, True, 1)


def test_every_layout_is_read_as_what_it_is(room: Room) -> None:
    """T30."""
    case = ConvCase((2, 4, 9, 7), (6, 2, 3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2, seed=3)
    x, w, b = case.arrays("float32")
    expected = room.run("conv2d", x, w, b, *case.window)
    for view in layouts(x).values():
        np.testing.assert_array_equal(room.run("conv2d", view, w, b, *case.window), expected)
    for view in layouts(w).values():
        np.testing.assert_array_equal(room.run("conv2d", x, view, b, *case.window), expected)


def test_nan_and_infinity_reach_the_output(room: Room) -> None:
    x = np.zeros((1, 1, 4, 5), np.float32)
    x[0, 0, 1, 1], x[0, 0, 3, 4] = np.nan, np.inf
    y = room.run("conv2d", x, np.ones((1, 1, 2, 2), np.float32), None, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    assert np.isnan(y[0, 0, :2, :2]).all()
    assert y[0, 0, 2, 3] == np.inf
    assert np.isfinite(y).sum() == 12 - 5


def test_other_dtypes_are_computed_by_array_expressions(room: Room) -> None:
    x = np.arange(24).reshape(1, 1, 4, 6) + 1j
    w = np.ones((1, 1, 2, 2))
    plain = ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    np.testing.assert_allclose(room.run("conv2d", x, w, None, *plain), reference("conv2d", x, w, None, *plain))
