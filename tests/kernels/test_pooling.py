"""Pooling in every room: the formulas, the adjoints, ties, borders, and PyTorch's corner cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Array, PoolCase, layouts, pool_cases

from minidl.kernels import kernels_for, use_kernels

ROOMS = ("auto", "numpy")
ALL_ROOMS = (*ROOMS, "reference")
DTYPES = ("float16", "float32", "float64", "complex128")
HALVING = ((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))


def run(room: str, name: str, *args: Any) -> Any:
    with use_kernels(room):
        return getattr(kernels_for(args[0]), name)(*args)


def draw(shape: tuple[int, ...], dtype: str, seed: int, levels: int = 5) -> Array:
    """Few different values, so that ties are common."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, 0, shape).astype(np.float64)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=80, deadline=None)
@given(case=pool_cases(dilated=True), dtype=st.sampled_from(DTYPES))
def test_max_pool_is_the_formula(room: str, case: PoolCase, dtype: str) -> None:
    """T10, T11: negative input, so a zero border would win; ties, so the first must."""
    x = draw(case.x_shape, dtype, case.seed)
    args = (x, case.kernel, case.stride, case.padding, case.dilation, case.out_hw)
    y, indices = run(room, "max_pool2d", *args)
    y0, indices0 = run("reference", "max_pool2d", *args)
    assert y.dtype == x.dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(y, y0)
    np.testing.assert_array_equal(indices, indices0)


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=60, deadline=None)
@given(case=pool_cases(dilated=True), dtype=st.sampled_from(DTYPES))
def test_scatter_and_gather_are_formulas_and_adjoints(room: str, case: PoolCase, dtype: str) -> None:
    x = draw(case.x_shape, dtype, case.seed)
    pool = (case.kernel, case.stride, case.padding, case.dilation, case.out_hw)
    y, indices = run("reference", "max_pool2d", x, *pool)
    gy = draw(y.shape, dtype, case.seed + 1)
    gx = run(room, "scatter_windows", gy, indices, x.shape[2:])
    np.testing.assert_array_equal(gx, run("reference", "scatter_windows", gy, indices, x.shape[2:]))
    np.testing.assert_array_equal(run(room, "gather_windows", x, indices), y)
    if dtype != "float16":
        assert np.sum(x * gx) == pytest.approx(np.sum(y * gy))


@pytest.mark.parametrize("room", ROOMS)
@settings(max_examples=80, deadline=None)
@given(
    case=pool_cases(dilated=False),
    dtype=st.sampled_from(DTYPES),
    with_pad=st.booleans(),
    override=st.booleans(),
)
def test_avg_pool_is_the_formula(room: str, case: PoolCase, dtype: str, with_pad: bool, override: bool) -> None:
    x = draw(case.x_shape, dtype, case.seed)
    mode = (with_pad, 3 if override else None)
    y = run(room, "avg_pool2d", x, case.kernel, case.stride, case.padding, case.out_hw, *mode)
    y0 = run("reference", "avg_pool2d", x, case.kernel, case.stride, case.padding, case.out_hw, *mode)
    assert y.dtype == x.dtype
    tolerance = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y, y0, rtol=tolerance, atol=tolerance)
    gy = draw(y.shape, dtype, case.seed + 1)
    args = (gy, x.shape[2:], case.kernel, case.stride, case.padding, *mode)
    gx, gx0 = run(room, "avg_pool2d_grad", *args), run("reference", "avg_pool2d_grad", *args)
    assert gx.dtype == x.dtype
    np.testing.assert_allclose(gx, gx0, rtol=8 * tolerance, atol=8 * tolerance)


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_ties_give_the_whole_gradient_to_the_first_pixel(room: str) -> None:
    """T10: for a constant image the gradient is counted once, not four times."""
    x = np.full((1, 2, 4, 6), 3.0)
    y, indices = run(room, "max_pool2d", x, *HALVING, (2, 3))
    gx = run(room, "scatter_windows", np.ones_like(y), indices, (4, 6))
    assert gx.sum() == y.size
    assert (gx[:, :, ::2, ::2] == 1).all()


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_max_pool_shifts_with_its_input(room: str) -> None:
    """T11: max_pool(x + c) = max_pool(x) + c even where windows touch the border."""
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7))
    window = ((3, 2), (2, 1), (1, 1, 1, 0), (1, 1), (3, 7))
    y, _ = run(room, "max_pool2d", x, *window)
    shifted, _ = run(room, "max_pool2d", x - 50, *window)
    np.testing.assert_allclose(shifted, y - 50, atol=1e-12)


@pytest.mark.parametrize("room", ALL_ROOMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_wins_and_minus_infinity_has_a_place(room: str, dtype: str) -> None:
    x = np.array([[1, np.nan, -np.inf, -np.inf], [7, 2, -np.inf, -np.inf]], dtype)[None, None]
    y, indices = run(room, "max_pool2d", x, *HALVING, (1, 2))
    assert np.isnan(y[0, 0, 0, 0])
    assert indices.ravel().tolist() == [1, 2]
    assert y[0, 0, 0, 1] == -np.inf


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_overlapping_windows_add_their_gradients(room: str) -> None:
    x = np.array([[0.0, 9.0, 0.0]])[None, None]
    _, indices = run(room, "max_pool2d", x, (1, 2), (1, 1), (0, 0, 0, 0), (1, 1), (1, 2))
    gx = run(room, "scatter_windows", np.array([[[[2.0, 5.0]]]]), indices, (1, 3))
    assert gx.ravel().tolist() == [0, 7, 0]


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_a_window_of_padding_only_is_refused(room: str) -> None:
    with pytest.raises(ValueError, match="covers only padding"):
        run(room, "max_pool2d", np.zeros((1, 1, 3, 4)), (1, 1), (1, 1), (1, 0, 0, 0), (1, 1), (4, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_foreign_index_is_refused_not_written(dtype: str) -> None:
    gy, places = np.ones((1, 1, 1, 2), dtype), np.array([0, 6]).reshape(1, 1, 1, 2)
    for room in ROOMS:
        with pytest.raises(IndexError):
            run(room, "scatter_windows", gy, places, (2, 3))
        with pytest.raises(IndexError):
            run(room, "gather_windows", np.ones((1, 1, 2, 3), dtype), places)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("shape", [(2, 3, 6, 9), (1, 2, 64, 34)])
def test_every_layout_gives_the_same_bits(room: str, shape: tuple[int, ...]) -> None:
    """T30."""
    x = draw(shape, "float32", 1)
    out = (shape[2] // 2, shape[3] // 2)
    y, indices = run(room, "max_pool2d", x, *HALVING, out)
    mean = run(room, "avg_pool2d", x, (2, 3), (2, 2), (0, 0, 1, 1), (out[0], out[1]), True, None)
    gx = run(room, "scatter_windows", y, indices, shape[2:])
    for name, view in layouts(x).items():
        kept = view.copy()
        np.testing.assert_array_equal(run(room, "max_pool2d", view, *HALVING, out)[1], indices, err_msg=name)
        averaged = run(room, "avg_pool2d", view, (2, 3), (2, 2), (0, 0, 1, 1), (out[0], out[1]), True, None)
        np.testing.assert_array_equal(averaged, mean, err_msg=name)
        np.testing.assert_array_equal(view, kept)
    for (name, gy), places in zip(layouts(y).items(), layouts(indices).values(), strict=True):
        np.testing.assert_array_equal(run(room, "scatter_windows", gy, places, shape[2:]), gx, err_msg=name)


@pytest.mark.oracle
@settings(max_examples=60, deadline=None)
@given(case=pool_cases(dilated=True, symmetric=True), room=st.sampled_from(ALL_ROOMS), nans=st.booleans())
def test_max_pool_does_what_pytorch_does(case: PoolCase, room: str, nans: bool) -> None:
    torch = pytest.importorskip("torch")
    x = draw(case.x_shape, "float64", case.seed)
    if nans:
        x[np.random.default_rng(case.seed).random(x.shape) < 0.2] = np.nan
    y, indices = run(room, "max_pool2d", x, case.kernel, case.stride, case.padding, case.dilation, case.out_hw)
    border = (case.padding[0], case.padding[2])
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(x), case.kernel, case.stride, border, case.dilation, case.ceil_mode, True
    )
    np.testing.assert_array_equal(y, expected[0].numpy())
    np.testing.assert_array_equal(indices, expected[1].numpy())


@pytest.mark.oracle
@settings(max_examples=60, deadline=None)
@given(case=pool_cases(dilated=False, symmetric=True), room=st.sampled_from(ALL_ROOMS), with_pad=st.booleans())
def test_avg_pool_does_what_pytorch_does(case: PoolCase, room: str, with_pad: bool) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(draw(case.x_shape, "float64", case.seed)).requires_grad_()
    border = (case.padding[0], case.padding[2])
    for override in (None, 5):
        expected = torch.nn.functional.avg_pool2d(
            x, case.kernel, case.stride, border, case.ceil_mode, with_pad, override
        )
        pool = (case.kernel, case.stride, case.padding)
        y = run(room, "avg_pool2d", x.detach().numpy(), *pool, case.out_hw, with_pad, override)
        np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-14)
        gx = run(room, "avg_pool2d_grad", y, case.x_shape[2:], *pool, with_pad, override)
        (expected_gx,) = torch.autograd.grad(expected, x, torch.from_numpy(np.ascontiguousarray(y)))
        np.testing.assert_allclose(gx, expected_gx.numpy(), atol=1e-13)
