"""Convolution and its gradients in every room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Array, ConvCase, conv_cases, layouts

from minidl.kernels import kernels_for, use_kernels

TOLERANCE = {"float16": 2e-2, "float32": 2e-5, "float64": 1e-12, "complex128": 1e-12}
ROOMS = ("auto", "numpy")
DTYPES = tuple(TOLERANCE)


def run(room: str, name: str, *args: Any) -> Any:
    with use_kernels(room):
        return getattr(kernels_for(args[0]), name)(*args)


def assert_close(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[expected.dtype.name] * scale)


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=60, deadline=None)
@given(case=conv_cases(), dtype=st.sampled_from(DTYPES), bias=st.booleans())
def test_conv2d_is_the_formula(room: str, case: ConvCase, dtype: str, bias: bool) -> None:
    x, w, b = case.arrays(dtype)
    args = (x, w, b if bias else None, *case.window)
    assert_close(run(room, "conv2d", *args), run("reference", "conv2d", *args))


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=60, deadline=None)
@given(case=conv_cases(), dtype=st.sampled_from(DTYPES))
def test_both_gradients_are_their_formulas(room: str, case: ConvCase, dtype: str) -> None:
    x, w, _ = case.arrays(dtype)
    gy = run("reference", "conv2d", x, w, None, *case.window)[..., ::-1]
    args: tuple[Any, ...] = (gy, w, x.shape[2:], *case.window)
    assert_close(run(room, "conv2d_input_grad", *args), run("reference", "conv2d_input_grad", *args))
    args = (x, gy, w.shape[2:], *case.window)
    assert_close(run(room, "conv2d_weight_grad", *args), run("reference", "conv2d_weight_grad", *args))


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
@settings(max_examples=40, deadline=None)
@given(case=conv_cases())
def test_the_gradients_are_the_adjoints(room: str, case: ConvCase) -> None:
    """T13: ⟨conv(x, w), y⟩ = ⟨x, conv_T(y, w)⟩ = ⟨w, weight_grad(x, y)⟩, remainder columns included."""
    x, w, _ = case.arrays("float64")
    out = run(room, "conv2d", x, w, None, *case.window)
    gy = np.random.default_rng(case.seed + 1).standard_normal(out.shape)
    gx = run(room, "conv2d_input_grad", gy, w, x.shape[2:], *case.window)
    gw = run(room, "conv2d_weight_grad", x, gy, w.shape[2:], *case.window)
    product = float(np.vdot(out, gy))
    tolerance = 1e-11 * (1 + float(np.abs(out).sum()))
    assert float(np.vdot(x, gx)) == pytest.approx(product, abs=tolerance)
    assert float(np.vdot(w, gw)) == pytest.approx(product, abs=tolerance)


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
@settings(max_examples=40, deadline=None)
@given(case=conv_cases())
def test_col2im_is_the_adjoint_of_im2col(room: str, case: ConvCase) -> None:
    x, w, _ = case.arrays("float64")
    window = (w.shape[2:], *case.window[:3])
    cols = run(room, "im2col", x, *window)
    assert_close(cols, run("reference", "im2col", x, *window))
    gcols = np.random.default_rng(case.seed + 1).standard_normal(cols.shape)
    gx = run(room, "col2im", gcols, x.shape[2:], *window)
    assert_close(gx, run("reference", "col2im", gcols, x.shape[2:], *window))
    assert float(np.vdot(x, gx)) == pytest.approx(float(np.vdot(cols, gcols)), abs=1e-10)


# Channels, planes and kernels around the block sizes of a fast kernel, where its edges are.
EDGES = [
    ((2, 1, 20, 19), (32, 1, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((3, 3, 17, 33), (33, 3, 3, 5), (1, 1), (1, 1, 2, 2), (1, 1), 1),
    ((2, 16, 28, 23), (16, 16, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((2, 16, 27, 23), (31, 16, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1),
    ((1, 37, 9, 11), (70, 37, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((2, 48, 7, 5), (96, 24, 3, 2), (2, 1), (1, 0, 1, 2), (1, 2), 2),
    ((5, 12, 6, 8), (12, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 12),
    ((2, 8, 14, 13), (24, 8, 5, 5), (2, 3), (2, 2, 2, 2), (1, 1), 1),
    ((1, 64, 4, 3), (130, 64, 4, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", EDGES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_block_edges_agree_with_plain_numpy(case: tuple[Any, ...], dtype: str) -> None:
    x_shape, w_shape, *window = case
    x, w, b = ConvCase(x_shape, w_shape, *window, seed=7).arrays(dtype)
    exact = [a.astype(np.float64) for a in (x, w, b)]
    y = run("auto", "conv2d", x, w, b, *window)
    expected = run("numpy", "conv2d", *exact, *window)
    assert_close(y, expected.astype(dtype))
    assert_close(
        run("auto", "conv2d_input_grad", y, w, x_shape[2:], *window),
        run("numpy", "conv2d_input_grad", y.astype(np.float64), exact[1], x_shape[2:], *window).astype(dtype),
    )
    assert_close(
        run("auto", "conv2d_weight_grad", x, y, w_shape[2:], *window),
        run("numpy", "conv2d_weight_grad", exact[0], y.astype(np.float64), w_shape[2:], *window).astype(dtype),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("room", ROOMS)
def test_every_layout_gives_the_same_bits(room: str, dtype: str) -> None:
    """T30: views, broadcasts and read-only arrays are read as what they are, and left as they were."""
    case = ConvCase((2, 4, 9, 7), (6, 2, 3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2, seed=3)
    x, w, b = case.arrays(dtype)
    gy = run(room, "conv2d", x, w, b, *case.window)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("conv2d", (x, w, b, *case.window)),
        ("conv2d_input_grad", (gy, w, x.shape[2:], *case.window)),
        ("conv2d_weight_grad", (x, gy, w.shape[2:], *case.window)),
        ("im2col", (x, (3, 2), *case.window[:3])),
        ("col2im", (run(room, "im2col", x, (3, 2), *case.window[:3]), (9, 7), (3, 2), *case.window[:3])),
    ]
    for name, args in calls:
        expected = run(room, name, *args)
        for position in [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]:
            for layout, view in layouts(args[position]).items():
                kept = view.copy()
                result = run(room, name, *args[:position], view, *args[position + 1 :])
                np.testing.assert_array_equal(result, expected, err_msg=f"{name}, argument {position}, {layout}")
                np.testing.assert_array_equal(view, kept, err_msg=f"{name} wrote to its input")


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_broadcast_arrays_with_stride_zero(room: str) -> None:
    x = np.broadcast_to(np.float32(2), (2, 1, 5, 4))
    w = np.broadcast_to(np.float32(3), (2, 1, 3, 2))
    b = np.broadcast_to(np.float32(1), (2,))
    y = run(room, "conv2d", x, w, b, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    np.testing.assert_array_equal(y, np.full((2, 2, 3, 3), 2 * 3 * 6 + 1, np.float32))


@pytest.mark.parametrize("room", ROOMS)
def test_the_other_byte_order_is_read_right(room: str) -> None:
    x = np.arange(24, dtype=np.float32).reshape(1, 1, 4, 6)
    swapped = x.astype(x.dtype.newbyteorder())
    for name, args in (
        ("im2col", ((3, 2), (1, 1), (0, 0, 0, 0), (1, 1))),
        ("avg_pool2d", ((3, 2), (1, 1), (0, 0, 0, 0), (2, 5), True, None)),
        ("conv2d", (np.ones((1, 1, 2, 2), np.float32), None, (1, 1), (0, 0, 0, 0), (1, 1), 1)),
    ):
        np.testing.assert_allclose(run(room, name, swapped, *args), run(room, name, x, *args), rtol=1e-6)


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_nan_and_infinity_reach_the_output(room: str) -> None:
    x = np.zeros((1, 1, 4, 5), np.float32)
    x[0, 0, 1, 1], x[0, 0, 3, 4] = np.nan, np.inf
    y = run(room, "conv2d", x, np.ones((1, 1, 2, 2), np.float32), None, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    assert np.isnan(y[0, 0, :2, :2]).all()
    assert y[0, 0, 2, 3] == np.inf
    assert np.isfinite(y).sum() == 12 - 5


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_arguments_that_do_not_fit_are_explained(room: str) -> None:
    x, w = np.zeros((1, 3, 4, 5), np.float32), np.zeros((2, 1, 3, 3), np.float32)
    plain = ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    with pytest.raises(ValueError, match=r"x has C=3 channels, but the weight \(K=3×3, C=1, groups=1\) expects 1"):
        run(room, "conv2d", x, w, None, *plain)
    with pytest.raises(ValueError, match=r"spans 3×3 pixels, more than the padded input's 2×9"):
        run(room, "conv2d", np.zeros((1, 1, 2, 9), np.float32), w, None, *plain)
    with pytest.raises(ValueError, match=r"groups=2 must divide C=3"):
        run(room, "conv2d", x, w, None, *plain[:3], 2)
    with pytest.raises(ValueError, match=r"output gradient must have shape \(1, 2, 2, 3\), got \(1, 2, 2, 2\)"):
        run(room, "conv2d_input_grad", np.zeros((1, 2, 2, 2)), np.zeros((2, 1, 3, 3)), (4, 5), *plain)
    with pytest.raises(ValueError, match=r"every stride must be ≥ 1, got 0×1"):
        run(room, "im2col", x, (2, 2), (0, 1), (0, 0, 0, 0), (1, 1))
