"""Picking and putting elements: repeats add up (T29), and every kind of NumPy index differentiates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import trial
from claims_on_derivatives import exact_adjoint, gradient_holds
from drawn import numbers, seeds, shapes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
from minidl import ops
from minidl.autograd import grad
from minidl.kernels.portable import add_rows


def scattered(index: Any, shape: Any, gy: np.ndarray) -> np.ndarray:
    """The gradient of x[index], by NumPy's unbuffered addition."""
    gx = np.zeros(shape)
    np.add.at(gx, index, gy)
    return gx


def check(x: np.ndarray, index: Any) -> None:
    """Value as NumPy's, gradient as `np.add.at`, and both the same with tensors in the index."""
    leaf = dl.tensor(x, requires_grad=True)
    for given_index in (index, _with_tensors(index)):
        y = leaf[given_index]
        np.testing.assert_array_equal(y.array, x[index])
        gy = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
        (g,) = grad(y, leaf, gy)
        np.testing.assert_allclose(g.array, scattered(index, x.shape, gy), rtol=1e-12)


def _with_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_with_tensors(part) for part in index)
    return dl.tensor(index) if isinstance(index, np.ndarray) else index


def test_repeated_rows_receive_all_their_gradients() -> None:
    """T29: `gx[index] += g` would keep only the last of equal indices."""
    for index in ([0, 0, 1], np.array([0, 0, 1]), dl.tensor([0, 0, 1]), (np.array([0, 0, 1]),)):
        x = dl.tensor(np.ones(3), requires_grad=True)
        x[index].sum().backward()
        np.testing.assert_array_equal(x.grad.array, [2, 1, 0])
    x = dl.tensor(np.ones((3, 2)), requires_grad=True)
    ops.index_select(x, 0, dl.tensor([2, 2, 2, 0])).sum().backward()
    np.testing.assert_array_equal(x.grad.array, [[1, 1], [0, 0], [3, 3]])


@given(shape=shapes(min_side=1), data=st.data(), seed=seeds)
def test_regular_grids(shape: Any, data: Any, seed: int) -> None:
    """Integers, slices with any step, "..." and new dimensions; the result is a view of the same memory."""
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = numbers(seed, shape)
    check(x, index)
    y = dl.tensor(x)[index]
    exact_adjoint(trial(lambda t: t[index], x))
    if y.array.size and y.array.ndim:
        assert y.version == 0


@given(shape=shapes(min_dims=1, min_side=1), data=st.data(), seed=seeds)
def test_integer_arrays(shape: Any, data: Any, seed: int) -> None:
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2)))
    check(numbers(seed, shape), index)


@given(shape=shapes(min_dims=1), data=st.data(), seed=seeds)
def test_masks(shape: Any, data: Any, seed: int) -> None:
    mask = data.draw(hnp.arrays(bool, shape[: data.draw(st.integers(1, len(shape)))]))
    check(numbers(seed, shape), mask)


@pytest.mark.parametrize(
    "index",
    [
        (slice(None, None, -1), 1),
        (..., None, [0, 0, -1]),
        ([1, 1, 0], slice(None), [2, 2, 2]),
        (np.array([[0, 1], [1, 1]]), np.array([0, 2])),
        (slice(1, None), np.array([True, False, True])),
        (..., 0, np.array([3, 3])),
        np.array([-1, -1, 0]),
        np.array([], int),
        np.zeros((2, 3, 4), bool),
        (np.array([1]), slice(None, None, 2), np.array([[0], [0]])),
        -1,
        np.int64(1),
        (),
        None,
        True,
    ],
)
def test_mixed_indices(index: Any) -> None:
    plain = tuple(np.array(p) if isinstance(p, list) else p for p in index) if isinstance(index, tuple) else index
    check(numbers(0, (2, 3, 4)), plain)
    gradient_holds(lambda t: t[index] * t[index], numbers(1, (2, 3, 4)))


PICKED, GRID = [0, 1], np.array([[0, 1], [2, 3]])
APART = [
    (0, slice(None), PICKED), (PICKED, slice(None), 1), (0, ..., PICKED), (slice(None), 0, slice(None), PICKED),
    (0, None, PICKED), (0, np.array([True, False, True]), slice(None), PICKED), (1, slice(0, 2), PICKED, PICKED),
    (PICKED, slice(None), 0, slice(1, None)), (0, slice(None), PICKED, 1), (-1, ..., GRID), (PICKED, 0, 1, PICKED),
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("index", APART, ids=str)
def test_integers_come_before_arrays_as_in_pytorch(index: Any) -> None:
    """Where a slice stands between an integer and an array, NumPy would move the picked dimension to the front."""
    torch = pytest.importorskip("torch")
    x = numbers(0, (2, 3, 4, 5))
    ours, theirs = (
        tuple(make(np.array(p)) if isinstance(p, list | np.ndarray) else p for p in index)
        for make in (dl.tensor, torch.tensor)
    )
    a, b = dl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, u = a[ours], b[theirs]
    np.testing.assert_array_equal(y.detach().numpy(), u.detach().numpy())
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
    a, b, value = dl.tensor(x), torch.tensor(x), numbers(1, tuple(y.shape))
    a[ours], b[theirs] = dl.tensor(value), torch.tensor(value)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_second_derivative_goes_through_the_index() -> None:
    x = dl.tensor(np.arange(1.0, 4.0), requires_grad=True)
    y = x[np.array([0, 0, 2])] ** 3
    (g,) = grad(y.sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    np.testing.assert_allclose(h.array, [2 * 6 * 1, 0, 6 * 3])


@given(
    rows=st.integers(1, 6),
    width=shapes(max_dims=2),
    data=st.data(),
    dtype=st.sampled_from(["float32", "float64", "float16"]),
    seed=seeds,
)
def test_sorted_runs_add_like_unbuffered_addition(rows: int, width: Any, data: Any, dtype: str, seed: int) -> None:
    """T29: the quick way to add rows with repeats equals `np.add.at`."""
    index = np.array(data.draw(st.lists(st.integers(-rows, rows - 1), max_size=12)), int)
    values = numbers(seed, (len(index), *width)).astype(dtype)
    y = np.zeros((rows, *width), dtype)
    add_rows(y, index, values)
    expected = np.zeros((rows, *width))
    np.add.at(expected, index, values)
    np.testing.assert_allclose(y, expected, rtol=2e-2 if dtype == "float16" else 1e-6)


@given(shape=shapes(min_dims=1, max_dims=3, min_side=1), data=st.data(), seed=seeds)
def test_gather_and_scatter_are_each_other_s_adjoint(shape: Any, data: Any, seed: int) -> None:
    """⟨gather x, y⟩ = ⟨x, scatter y⟩, repeats and all."""
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = list(shape)
    size[d] = data.draw(st.integers(0, 4))
    k = np.random.default_rng(seed).integers(0, shape[d], size)
    x, y = numbers(seed, shape), numbers(seed + 1, tuple(size))
    gathered = ops.gather(dl.tensor(x), d, dl.tensor(k)).array
    np.testing.assert_array_equal(gathered, np.take_along_axis(x, k, d))
    added = ops.scatter_add(dl.zeros(shape, dtype=dl.float64), d, dl.tensor(k), dl.tensor(y)).array
    np.testing.assert_allclose(np.vdot(gathered, y), np.vdot(x, added), rtol=1e-12)
    exact_adjoint(trial(lambda t: ops.gather(t, d, k), x))
    exact_adjoint(trial(lambda t, s: ops.scatter_add(t, d, k, s), x, y))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x[5], IndexError, r"index: .*\(the tensor has shape \(2, 3\)\)"),
        (lambda x: x[dl.tensor([0.5])], IndexError, "integer or bool, got float32"),
        (lambda x: ops.index_select(x, 1, dl.tensor([3])), IndexError, "positions 3 to 3, but the dimension has 3"),
        (lambda x: ops.gather(x, 0, dl.tensor([[2, 0, 0]])), IndexError, "positions 0 to 2"),
        (lambda x: ops.gather(x, 0, dl.tensor([0])), RuntimeError, "the index has 1 dimensions, the tensor 2"),
        (lambda x: ops.scatter_add(x, 0, dl.tensor([[0]]), dl.zeros(1, 2)), RuntimeError, "index has shape"),
        (lambda x: ops.index_select(x, 0, dl.tensor([True])), TypeError, "integer tensor, got bool"),
        (lambda x: ops.one_hot(dl.tensor([-1]), 3), RuntimeError, "class -1 is negative"),
        (lambda x: ops.one_hot(dl.tensor([3]), 3), RuntimeError, "class 3 does not fit into 3 classes"),
    ],
)
def test_positions_outside_are_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(dl.zeros(2, 3))
