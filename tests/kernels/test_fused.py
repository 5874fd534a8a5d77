"""Convolution, ReLU and pooling as one function against the three, and the vector words it is built from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_cases import ConvCase, conv_cases, layouts

from minidl.kernels import kernels_for, use_kernels
from minidl.kernels.geometry import DEAD, convolution

ROOMS = ("auto", "numpy")
TOLERANCE = {"float16": 3e-2, "float32": 3e-5, "float64": 1e-11, "complex128": 1e-11}
ALL = (True, True, True)


def run(room: str, name: str, *args: Any) -> Any:
    with use_kernels(room):
        return getattr(kernels_for(args[0]), name)(*args)


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=60, deadline=None)
@given(
    case=conv_cases(),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    pool=st.tuples(*[st.tuples(st.integers(1, 3), st.integers(1, 3))] * 2) | st.just(((2, 2), (2, 2))),
    bias=st.booleans(),
    needs=st.tuples(*[st.booleans()] * 3),
)
def test_the_fused_function_is_the_formula(
    room: str, case: ConvCase, dtype: str, pool: Any, bias: bool, needs: tuple[bool, bool, bool]
) -> None:
    v = convolution("test", case.x_shape, case.w_shape, *case.window).windows
    assume(pool[0][0] <= v.OH and pool[0][1] <= v.OW)
    x, w, b = case.arrays(dtype)
    args = (x, w, b if bias else None, *case.window, *pool)
    y0, argmax0 = run("reference", "conv2d_relu_max_pool2d", *args)
    y, argmax = run(room, "conv2d_relu_max_pool2d", *args)
    scale = max(1.0, float(np.abs(y0).max(initial=0)))
    tolerance = {"rtol": 0, "atol": TOLERANCE[dtype] * scale * 8}
    np.testing.assert_allclose(y, y0, **tolerance)
    assert (y.dtype, argmax.dtype) == (x.dtype, np.uint8)
    gy = np.random.default_rng(case.seed).standard_normal(y.shape).astype(dtype)
    grad_args = (gy, argmax0, x, w, *case.window, *pool, needs)
    expected = run("reference", "conv2d_relu_max_pool2d_grad", *grad_args)
    actual = run(room, "conv2d_relu_max_pool2d_grad", *grad_args)
    for wanted, a, e in zip(needs, actual, expected, strict=True):
        assert (a is not None) == (e is not None) == wanted
        if wanted:
            assert (a.shape, a.dtype) == (e.shape, e.dtype)
            size = max(1.0, float(np.abs(e).max(initial=0)))
            np.testing.assert_allclose(a, e, rtol=0, atol=TOLERANCE[dtype] * size * 8)


@pytest.mark.parametrize("pool", [((2, 2), (2, 2)), ((3, 2), (2, 1))], ids=str)
@pytest.mark.parametrize("width", [5, 12, 19, 36, 67, 71])
def test_every_row_length_agrees_with_plain_numpy(width: int, pool: Any) -> None:
    """Whole vectors, a vector that reaches back, and every width below one."""
    case = ConvCase((3, 2, 11, width), (9, 2, 3, 2), (1, 1), (1, 0, 0, 1), (1, 1), 1, seed=width)
    x, w, b = case.arrays("float32")
    y, argmax = run("auto", "conv2d_relu_max_pool2d", x, w, b, *case.window, *pool)
    y0, argmax0 = run("numpy", "conv2d_relu_max_pool2d", x, w, b, *case.window, *pool)
    np.testing.assert_allclose(y, y0, atol=1e-5)
    np.testing.assert_array_equal(argmax, argmax0)
    gy = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    args = (gy, argmax, x, w, *case.window, *pool, ALL)
    pairs = zip(
        run("auto", "conv2d_relu_max_pool2d_grad", *args),
        run("numpy", "conv2d_relu_max_pool2d_grad", *args),
        strict=True,
    )
    for a, e in pairs:
        np.testing.assert_allclose(a, e, atol=1e-3)


@pytest.mark.parametrize("room", [*ROOMS, "reference"])
def test_what_the_relu_cuts_off_gets_no_gradient_and_ties_count_once(room: str) -> None:
    """T10: a constant image gives its gradient to one pixel a window, a negative one to none, NaN to itself."""
    x = np.ones((3, 1, 4, 4), np.float32)
    x[1] = -1
    x[2, 0, 0, 1] = np.nan
    one = np.ones((1, 1, 1, 1), np.float32)
    plain = ((1, 1), (0, 0, 0, 0), (1, 1), 1, (2, 2), (2, 2))
    y, argmax = run(room, "conv2d_relu_max_pool2d", x, one, None, *plain)
    assert (y[0] == 1).all()
    assert (y[1] == 0).all()
    assert np.isnan(y[2, 0, 0, 0])
    assert (argmax[0] == 0).all()
    assert (argmax[1] == DEAD).all()
    assert argmax[2, 0, 0, 0] == 1
    gy = np.ones_like(y)
    gx, _, gb = run(room, "conv2d_relu_max_pool2d_grad", gy, argmax, x, one, *plain, (True, False, True))
    assert gx[0].sum() == 4
    assert (gx[1] == 0).all()
    assert gx[2, 0, 0, 1] == 1
    assert gb[0] == 8


def test_every_layout_gives_the_same_bits() -> None:
    """T30; and the inputs stay as they were (T4: a second call with the same saved arrays repeats the first)."""
    case = ConvCase((2, 4, 13, 11), (6, 2, 3, 2), (1, 1), (1, 0, 2, 1), (1, 1), 2, seed=3)
    pool = ((2, 2), (2, 2))
    x, w, b = case.arrays("float32")
    y, argmax = run("auto", "conv2d_relu_max_pool2d", x, w, b, *case.window, *pool)
    gy = y[::-1, ::-1].copy()
    tail = (*case.window, *pool, ALL)
    grads = run("auto", "conv2d_relu_max_pool2d_grad", gy, argmax, x, w, *tail)
    arrays = (gy, argmax, x, w)
    for position, array in enumerate(arrays):
        for name, view in layouts(array).items():
            kept = view.copy()
            changed = (*arrays[:position], view, *arrays[position + 1 :])
            for a, e in zip(run("auto", "conv2d_relu_max_pool2d_grad", *changed, *tail), grads, strict=True):
                np.testing.assert_array_equal(a, e, err_msg=name)
            np.testing.assert_array_equal(view, kept)
    for name, view in layouts(x).items():
        again = run("auto", "conv2d_relu_max_pool2d", view, w, b, *case.window, *pool)
        np.testing.assert_array_equal(again[0], y, err_msg=name)


def test_a_pooling_window_too_large_for_a_byte_is_refused() -> None:
    x, w = np.zeros((1, 1, 20, 20), np.float32), np.zeros((1, 1, 1, 1), np.float32)
    for room in (*ROOMS, "reference"):
        with pytest.raises(ValueError, match="16×16 has more than 255 pixels"):
            run(room, "conv2d_relu_max_pool2d", x, w, None, (1, 1), (0, 0, 0, 0), (1, 1), 1, (16, 16), (1, 1))


@pytest.mark.parametrize("step", [1, 2])
def test_copies_touch_nothing_but_their_run(step: int) -> None:
    pytest.importorskip("numba")
    from minidl.kernels.cpu import runs
    from minidl.kernels.cpu.jit import jit

    word = runs.copy_run if step == 1 else runs.copy_even

    def call(x: Any, xo: int, out: Any, oo: int, n: int) -> None:
        word(x, xo, out, oo, n)

    copy = jit(call)
    x = np.arange(160, dtype=np.float32)
    for n in range(72):
        out = np.full(90, -1, np.float32)
        copy(x, 3, out, 5, n)
        expected = np.full(90, -1, np.float32)
        expected[5 : 5 + n] = x[3 : 3 + step * n : step]
        np.testing.assert_array_equal(out, expected)
