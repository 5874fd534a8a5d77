"""T28: values and slopes at 0, −0, ±∞, huge, tiny and nan, as decided; nothing turns to nan that need not.

Each row of the table is an operation with points, its values there, and its slopes (one row of the Jacobian, for a
gradient of ones). The same table is held against PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import ops
from minidl.autograd import grad

inf, nan = math.inf, math.nan
HUGE, TINY = 1e30, 1e-30

TABLE: dict[str, tuple[Any, list[Any], list[Any], list[Any]]] = {
    # name: function, points, values, slopes
    "abs": (lambda d, x: d.abs(x), [0.0, -0.0, inf, -inf, HUGE, -TINY], [0, 0, inf, inf, HUGE, TINY],
            [0, 0, 1, -1, 1, -1]),
    "relu": (lambda d, x: d.relu(x), [0.0, -0.0, inf, -inf, TINY, -TINY], [0, 0, inf, 0, TINY, 0],
             [0, 0, 1, 0, 1, 0]),
    "sign": (lambda d, x: d.sign(x), [0.0, -0.0, inf, -inf, -TINY], [0, 0, 1, -1, -1], [0, 0, 0, 0, 0]),
    "floor": (lambda d, x: d.floor(x), [0.0, 1.0, -TINY, inf], [0, 1, -1, inf], [0, 0, 0, 0]),
    "exp": (lambda d, x: d.exp(x), [0.0, -inf, -1e4], [1, 0, 0], [1, 0, 0]),
    "expm1": (lambda d, x: d.expm1(x), [0.0, TINY, -inf, -1e4], [0, TINY, -1, -1], [1, 1, 0, 0]),
    "log1p": (lambda d, x: d.log1p(x), [0.0, TINY, inf], [0, TINY, inf], [1, 1, 0]),
    "log": (lambda d, x: d.log(x), [1.0, inf], [0, inf], [1, 0]),
    "log at 0": (lambda d, x: d.log(x), [0.0], [-inf], [inf]),
    "sqrt": (lambda d, x: d.sqrt(x), [inf, 4.0], [inf, 2], [0, 0.25]),
    "sqrt at 0": (lambda d, x: d.sqrt(x), [0.0], [0], [inf]),
    "square": (lambda d, x: d.square(x), [0.0, -0.0, -inf], [0, 0, inf], [0, 0, -inf]),
    "x**0": (lambda d, x: d.pow(x, 0), [0.0, -0.0, inf, -2.0, nan], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
    "x**1": (lambda d, x: d.pow(x, 1), [0.0, -0.0, inf, -2.0], [0, 0, inf, -2], [1, 1, 1, 1]),
    "x**2": (lambda d, x: d.pow(x, 2), [0.0, -3.0], [0, 9], [0, -6]),
    "x**3.0": (lambda d, x: d.pow(x, 3.0), [0.0, -2.0], [0, -8], [0, 12]),
    "x**tensor": (lambda d, x: d.pow(x, _like(d, x, [0.0, 1.0, 2.0, 0.0])), [0.0, 0.0, 0.0, 5.0], [1, 0, 0, 1],
                  [0, 1, 0, 0]),
    "0**x": (lambda d, x: d.pow(_like(d, x, [0.0, 0.0]), x), [2.0, 1.0], [0, 0], [0, 0]),
    "sigmoid": (lambda d, x: d.sigmoid(x), [0.0, 1e4, -1e4, inf, -inf], [0.5, 1, 0, 1, 0], [0.25, 0, 0, 0, 0]),
    "tanh": (lambda d, x: d.tanh(x), [0.0, 1e4, -1e4, inf, -inf], [0, 1, -1, 1, -1], [1, 0, 0, 0, 0]),
    "softplus": (lambda d, x: _f(d).softplus(x), [1e4, -1e4, 0.0], [1e4, 0, math.log(2)], [1, 0, 0.5]),
    "elu": (lambda d, x: _f(d).elu(x), [0.0, 1e4, -1e4], [0, 1e4, -1], [1, 1, 0]),
    "silu": (lambda d, x: _f(d).silu(x), [0.0, 1e4, -1e4], [0, 1e4, 0], [0.5, 1, 0]),
    "gelu": (lambda d, x: _f(d).gelu(x), [0.0, 1e4, -1e4], [0, 1e4, 0], [0.5, 1, 0]),
    "leaky_relu": (lambda d, x: _f(d).leaky_relu(x, 0.1), [0.0, -0.0, 1e4, -1e4], [0, 0, 1e4, -1e3],
                   [0.1, 0.1, 1, 0.1]),
    "clamp": (lambda d, x: d.clamp(x, -1.0, 1.0), [-1.0, 1.0, inf, -inf, 0.0], [-1, 1, 1, -1, 0], [1, 1, 0, 0, 1]),
    "maximum of equals": (lambda d, x: d.maximum(x, _like(d, x, [1.0, 2.0, 0.0])), [1.0, 1.0, 1.0], [1, 2, 1],
                          [0.5, 0, 1]),
    "minimum of equals": (lambda d, x: d.minimum(x, _like(d, x, [1.0, 2.0, 0.0])), [1.0, 1.0, 1.0], [1, 1, 0],
                          [0.5, 1, 0]),
    "amax of equals": (lambda d, x: d.amax(x, 0), [2.0, 2.0, 1.0, 2.0], 2, [1 / 3, 1 / 3, 0, 1 / 3]),
    "max of all, equals": (lambda d, x: d.max(x), [2.0, 2.0, 1.0, 2.0], 2, [1 / 3, 1 / 3, 0, 1 / 3]),
    "max along a dim, equals": (lambda d, x: d.max(x, 0)[0], [1.0, 2.0, 2.0], 2, [0, 1, 0]),
    "norm at 0": (lambda d, x: d.norm(x), [0.0, 0.0, 0.0], 0, [0, 0, 0]),
    "norm": (lambda d, x: d.norm(x), [3.0, 0.0, -4.0], 5, [0.6, 0, -0.8]),
    "1-norm at 0": (lambda d, x: d.norm(x, 1), [0.0, -1.0], 1, [0, -1]),
    "3-norm at 0": (lambda d, x: d.norm(x, 3), [0.0, 0.0], 0, [0, 0]),
    "½-norm beside 0": (lambda d, x: d.norm(x, 0.5), [0.0, 4.0], 4, [0, 1]),
    "∞-norm at 0": (lambda d, x: d.norm(x, inf), [0.0, 0.0], 0, [0, 0]),
    "var of equals": (lambda d, x: d.var(x), [2.0, 2.0, 2.0], 0, [0, 0, 0]),
    "std of equals": (lambda d, x: d.std(x), [2.0, 2.0, 2.0], 0, [0, 0, 0]),
    "prod with one 0": (lambda d, x: d.prod(x), [2.0, 0.0, 3.0], 0, [0, 6, 0]),
    "prod with two 0": (lambda d, x: d.prod(x), [2.0, 0.0, 0.0], 0, [0, 0, 0]),
    "logsumexp": (lambda d, x: d.logsumexp(x, 0), [64.0, 64.0, -inf], 64 + math.log(2), [0.5, 0.5, 0]),
    "softmax": (lambda d, x: (d.softmax(x, 0) * _like(d, x, [1.0, 2.0, 3.0])).sum(), [1e4, 1e4, -inf], 1.5,
                [-0.25, 0.25, 0]),
    "log_softmax": (lambda d, x: d.log_softmax(x, 0)[0], [1e4, 1e4, -1e4], -math.log(2), [0.5, -0.5, 0]),
    "where, other branch nan": (
        lambda d, x: d.where(x > 0, d.sqrt(d.where(x > 0, x, _like(d, x, 1.0))), _like(d, x, 0.0)),
        [4.0, -1.0, 0.0], [2, 0, 0], [0.25, 0, 0]),
    "masked_fill": (lambda d, x: x.masked_fill(x < 0, -inf), [1.0, -1.0], [1, -inf], [1, 0]),
    "unit vector of a zero embedding": (lambda d, x: x / d.clamp(d.norm(x), 1e-12), [0.0, 0.0], [0, 0], None),
    "mean of nothing": (lambda d, x: d.sum(x[:0]), [1.0], 0, [0]),
}  # fmt: skip


def _like(d: Any, x: Any, values: Any) -> Any:
    return d.tensor(values, dtype=x.dtype)


def _f(d: Any) -> Any:
    """Where the activations live: in minidl's ops, in PyTorch's functional."""
    return d.nn.functional if d is not dl else ops


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TABLE)
def test_edges(name: str, dtype: str) -> None:
    function, points, values, slopes = TABLE[name]
    x = dl.tensor(np.asarray(points, dtype), requires_grad=True)
    with np.errstate(all="ignore"):
        y = function(dl, x)
        (g,) = grad(y, x, np.ones(y.shape, dtype))
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y.array, np.asarray(values, dtype), rtol=tolerance, atol=1e-33)
    if slopes is None:
        assert np.isfinite(g.array).all()
    else:
        np.testing.assert_allclose(g.array, np.asarray(slopes, dtype), rtol=10 * tolerance, atol=tolerance)
    assert y.array.dtype == g.array.dtype == np.dtype(dtype)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TABLE)
def test_edges_are_pytorch_s(name: str) -> None:
    torch = pytest.importorskip("torch")
    function, points, values, slopes = TABLE[name]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    y = function(torch, x)
    y.backward(torch.ones_like(y))
    np.testing.assert_allclose(y.detach().numpy(), np.asarray(values, "f8"), rtol=1e-13, atol=0)
    if slopes is not None:
        np.testing.assert_allclose(x.grad.numpy(), np.asarray(slopes, "f8"), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "name",
    ["abs", "relu", "sign", "floor", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "square", "sin",
     "cos", "erf", "sigmoid", "tanh", "softplus", "elu", "silu", "gelu", "leaky_relu", "sum", "mean", "var", "std",
     "amax", "amin", "norm", "prod"],
)  # fmt: skip
def test_nan_is_never_hidden(name: str) -> None:
    """A nan that goes in comes out: swallowing it would hide the broken step that made it."""
    with np.errstate(all="ignore"):
        y = getattr(ops, name)(dl.tensor(np.array([nan, 1.0], "f4")))
    assert np.isnan(y.array.reshape(-1)[0])


# ── gradients that are not finite stay where they belong ──────────────────────────────────────────

MASKING: dict[str, tuple[Any, list[float], list[float]]] = {
    # name: function, points, where the gradient may arrive
    "clamp": (lambda x: ops.clamp(x, -1.0, 1.0), [-2.0, 0.5, 2.0], [0, 1, 0]),
    "where": (lambda x: ops.where(dl.tensor([True, False, True]), x, 0.0), [1.0, 1.0, 1.0], [1, 0, 1]),
    "maximum": (lambda x: ops.maximum(x, dl.tensor(np.array([0.0, 5.0, 0.0]))), [1.0, 1.0, 1.0], [1, 0, 1]),
    "minimum": (lambda x: ops.minimum(x, dl.tensor(np.array([0.0, 5.0, 0.0]))), [1.0, 1.0, 1.0], [0, 1, 0]),
    "masked_fill": (lambda x: ops.masked_fill(x, x < 0, 0.0), [1.0, -1.0, 2.0], [1, 0, 1]),
    "floor": (ops.floor, [1.5, 2.5, 3.5], [0, 0, 0]),
    "x**0": (lambda x: x**0, [0.0, 2.0, -1.0], [0, 0, 0]),
    "tril": (lambda x: ops.tril(x.reshape(1, 3)), [1.0, 2.0, 3.0], [1, 0, 0]),
}


@pytest.mark.parametrize("gradient", [inf, -inf, nan])
@pytest.mark.parametrize("name", MASKING)
def test_a_mask_stops_infinite_gradients(name: str, gradient: float) -> None:
    """0 · ∞ is nan, but the derivative of what was not chosen is 0, whatever comes in."""
    function, points, open_ = MASKING[name]
    x = dl.tensor(np.array(points), requires_grad=True)
    with np.errstate(all="ignore"):
        y = function(x)
        (g,) = grad(y, x, np.full(y.shape, gradient))
    expected = np.where(np.array(open_) == 1, gradient, 0.0)
    np.testing.assert_array_equal(g.array, expected)


@pytest.mark.parametrize("gradient", [inf, nan])
def test_extremes_stop_infinite_gradients(gradient: float) -> None:
    x = dl.tensor(np.array([[1.0, 3.0, 2.0]]), requires_grad=True)
    with np.errstate(all="ignore"):
        for y in (ops.amax(x, 1), ops.max(x, 1).values, ops.sort(x, 1).values[:, 2], ops.topk(x, 1).values[:, 0]):
            (g,) = grad(y, x, np.full(1, gradient))
            np.testing.assert_array_equal(g.array, [[0, gradient, 0]])


# ── ties and counts ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_many_ties_share_one_gradient(dtype: str) -> None:
    """T10: 70,000 equal numbers, more than float16 can count, still share a gradient that adds up."""
    x = dl.tensor(np.zeros(70_000, dtype), requires_grad=True)
    ops.amax(x).backward(np.asarray(4096.0, dtype))
    assert x.grad.array.dtype == np.dtype(dtype)
    assert x.grad.array.astype("f8").sum() == pytest.approx(4096.0, rel=2e-3)
    assert x.grad.array.min() == x.grad.array.max() > 0


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "maximum", "minimum", "sort", "topk"])
def test_the_shares_of_equal_elements_add_up(name: str) -> None:
    """T10: a constant input passes the gradient on once, not once for each tie."""
    x = dl.tensor(np.full((2, 4), 3.0), requires_grad=True)
    if name in ("maximum", "minimum"):
        y = getattr(ops, name)(x, x)
    else:
        y = getattr(ops, name)(x, 2) if name == "topk" else getattr(ops, name)(x, 1)
    y = getattr(y, "values", y)
    y.backward(np.ones(y.shape))
    assert x.grad.array.sum() == y.array.size


def test_padding_with_infinity_leaves_the_inside_alone() -> None:
    x = dl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = ops.pad(x, (1, 2), value=-inf)
    np.testing.assert_array_equal(y.array, [-inf, 1, 2, -inf, -inf])
    y[1:3].sum().backward()
    np.testing.assert_array_equal(x.grad.array, [1, 1])


def test_float16_sums_do_not_stall_or_overflow() -> None:
    """T8: 70,000 ones add up to infinity in float16 and stall at 2048 on the way; means must not."""
    x = dl.tensor(np.ones(70_000, "f2"), requires_grad=True)
    assert ops.mean(x).item() == 1
    assert ops.sum(x[:4096]).item() == 4096
    ops.mean(x).backward()
    assert x.grad.dtype == dl.float16
    np.testing.assert_allclose(x.grad.array.astype("f4"), 1 / 70_000, rtol=0.05)
