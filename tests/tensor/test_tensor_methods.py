"""What a Tensor does besides mathematics: conversion, comparison, iteration, printing, sharing, the in-place writes."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import ops
from minidl.tensor import Size, Tensor


def test_every_method_that_names_an_operation_is_that_operation() -> None:
    """Methods are one line into the operations; a wrong line would be a wrong name."""
    x = dl.tensor(np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)))
    y = dl.tensor(np.random.default_rng(1).uniform(0.1, 0.9, (3, 4)))
    unary = ["exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "square", "sin", "cos", "abs", "sign",
             "floor", "ceil", "trunc", "round", "neg", "erf", "relu", "sigmoid", "tanh", "isnan", "isinf", "isfinite",
             "sum", "mean", "var", "std", "max", "min", "amax", "amin", "argmax", "argmin", "prod", "tril", "triu",
             "nonzero", "argsort", "flatten", "squeeze", "unbind", "norm", "all", "any"]  # fmt: skip
    binary = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"]
    along = ["softmax", "log_softmax", "sum", "mean", "var", "std", "amax", "amin", "argmax", "argmin", "cumsum",
             "logsumexp", "prod", "unsqueeze", "unbind", "argsort", "flip", "all", "any"]  # fmt: skip
    calls = [(name, ()) for name in unary] + [(name, (y,)) for name in binary] + [(name, (1,)) for name in along]
    calls += [("clamp", (0.2, 0.5)), ("reshape", ((4, 3),)), ("permute", ((1, 0),)), ("transpose", (0, 1)),
              ("movedim", (0, 1)), ("split", (2, 1)), ("chunk", (2, 1)), ("narrow", (1, 1, 2)), ("roll", (1, 1)),
              ("topk", (2,)), ("sort", (1,)), ("index_select", (1, dl.tensor([0, 2]))), ("matmul", (y.T,)),
              ("mm", (y.T,)), ("gather", (1, dl.tensor([[0], [1], [2]]))), ("masked_fill", (x > 0.5, 9.0))]  # fmt: skip
    for name, arguments in calls:
        ours, operation = getattr(x, name)(*arguments), getattr(ops, name)(x, *arguments)
        for a, b in zip(_all(ours), _all(operation), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def _all(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple) and not isinstance(value, Size) else (value,)
    return [getattr(v, "array", v) for v in values]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "expression",
    [
        lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, lambda x, y: x**y,
        lambda x, y: 2 + x, lambda x, y: 2 - x, lambda x, y: 2 * x, lambda x, y: 2 / x, lambda x, y: 2**x,
        lambda x, y: x // y, lambda x, y: x % y, lambda x, y: x // -0.4, lambda x, y: -x % 0.7, lambda x, y: -x,
        lambda x, y: +x, lambda x, y: abs(x - y), lambda x, y: x @ y.T, lambda x, y: (x > y) & (x < 0.8),
        lambda x, y: (x > y) | (x < 0.2), lambda x, y: (x > y) ^ (y > 0.5), lambda x, y: ~(x > y),
        lambda x, y: x == y, lambda x, y: x != x, lambda x, y: x <= 0.5, lambda x, y: 0.5 >= x,  # noqa: SIM300
        lambda x, y: x[1:, ::2], lambda x, y: x[..., -1], lambda x, y: x[x > 0.5], lambda x, y: x.T,
        lambda x, y: x.mT, lambda x, y: x.t(), lambda x, y: x.view(2, -1), lambda x, y: x.repeat(2, 1, 2),
        lambda x, y: x.expand(2, 3, 4), lambda x, y: x.expand(-1, -1), lambda x, y: x.expand_as(y),
        lambda x, y: x.unsqueeze(0).squeeze(), lambda x, y: x.flatten(), lambda x, y: x.sum((0, 1)),
        lambda x, y: x.view_as(y), lambda x, y: x.type_as(y) if hasattr(x, "type_as") else x, lambda x, y: x.long(),
        lambda x, y: x.where(x > 0.5, y), lambda x, y: x.masked_fill(x > 0.5, 0.0),
        lambda x, y: x.clone().fill_(3), lambda x, y: x.clone().add_(y, alpha=2), lambda x, y: x.clone().mul_(y),
        lambda x, y: x.clone().clamp_(0.3, 0.6), lambda x, y: x.clone().copy_(y[0]), lambda x, y: x.clone().zero_(),
        lambda x, y: x.clone().div_(2), lambda x, y: x.clone().sub_(1),
    ],
)  # fmt: skip
def test_operators_are_pytorch_s(expression: Any) -> None:
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(k).uniform(0.1, 0.9, (3, 4)) for k in range(2)]
    ours = expression(*[dl.tensor(a) for a in arrays])
    theirs = expression(*[torch.from_numpy(a) for a in arrays])
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-13, atol=1e-13)


# ── out of minidl ─────────────────────────────────────────────────────────────────────────────────


def test_numbers_come_out() -> None:
    x = dl.tensor(2.5)
    assert x.item() == float(x) == 2.5
    assert int(dl.tensor(3)) == 3
    assert bool(dl.tensor(0.0)) is False
    assert [10, 20, 30][dl.tensor(1)] == 20
    assert dl.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert f"{dl.tensor(math.pi):.2f}" == "3.14"
    assert 2.0 in dl.tensor([1.0, 2.0])
    assert 5.0 not in dl.tensor([1.0, 2.0])
    assert len(dl.zeros(3, 2)) == 3
    assert [y.tolist() for y in dl.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert dl.zeros(2, 3).shape.numel() == dl.zeros(2, 3).numel() == 6
    assert dl.zeros(2, 3).size(1) == 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dl.zeros(2).item(), RuntimeError, r"shape \(2,\) has 2 elements, not one"),
        (lambda: bool(dl.zeros(2)), RuntimeError, "ambiguous"),
        (lambda: len(dl.tensor(1.0)), TypeError, "0-d"),
        (lambda: iter(dl.tensor(1.0)), TypeError, "0-d"),
        (lambda: [1, 2][dl.tensor(1.0)], TypeError, "only a single integer"),
        (lambda: dl.tensor(1.0, requires_grad=True).numpy(), RuntimeError, r"use \.detach\(\)\.numpy\(\)"),
        (lambda: dl.zeros(2, 2, 2).t(), RuntimeError, "at most 2 dimensions"),
        (lambda: dl.zeros(3).expand(-1, 3), RuntimeError, "-1"),
        (lambda: dl.zeros(2, 3).expand(3), (RuntimeError, ValueError), "cannot be repeated"),
        (lambda: dl.zeros(2, 3).expand(1, 3), (RuntimeError, ValueError), "cannot be repeated"),
        (lambda: ops.broadcast_to(dl.zeros(2, 3), (3,)), (RuntimeError, ValueError), "cannot be repeated"),
        (lambda: ops.tril(dl.zeros(3)), RuntimeError, "tril: expected at least two dimensions"),
        (lambda: dl.zeros(6).reshape(4, -1), RuntimeError, "6 elements .* do not fit"),
        (lambda: setattr(dl.zeros(2), "data", dl.zeros(3)), RuntimeError, r"expected shape \(2,\), got \(3,\)"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numpy_shares_memory_and_understands_tensors() -> None:
    x = dl.tensor([1.0, 4.0])
    assert np.shares_memory(x.numpy(), x.array)
    np.testing.assert_array_equal(np.asarray(x), [1, 4])
    assert np.asarray(x, dtype="f8").dtype == np.float64
    assert not np.shares_memory(np.array(x), x.array)
    assert type(np.sqrt(x)) is Tensor
    left = np.array([1.0, 2.0], "f4") + x
    assert type(left) is Tensor, "NumPy's operators give way to ours"
    assert left.dtype == dl.float32
    grown = dl.tensor([1.0, 4.0], requires_grad=True)
    assert (np.ones(2, "f4") * grown).requires_grad, "T23: the graph survives an array on the left"


@pytest.mark.oracle
def test_dlpack_goes_both_ways() -> None:
    torch = pytest.importorskip("torch")
    x = dl.tensor([1.0, 2.0])
    t = torch.from_dlpack(x)
    assert t.tolist() == [1, 2]
    y = dl.from_dlpack(torch.arange(3.0))
    assert y.tolist() == [0, 1, 2]
    assert type(y) is Tensor
    np.testing.assert_array_equal(np.from_dlpack(x), [1, 2])


# ── to ────────────────────────────────────────────────────────────────────────────────────────────


def test_to_takes_dtypes_devices_and_examples() -> None:
    x = dl.tensor([1.0, 2.0])
    assert x.to("cpu") is x
    assert x.to(dl.float32) is x
    assert x.to(dl.float64).dtype == dl.float64
    assert x.to("cpu", dl.float16).dtype == dl.float16
    assert x.to(dl.zeros(1, dtype=dl.float64)).dtype == dl.float64
    assert x.to(dtype="int64").tolist() == [1, 2]
    assert x.to(dl.float32, copy=True) is not x
    assert x.contiguous() is x
    assert x.reshape(1, 2).T.is_contiguous()
    assert not dl.zeros(2, 3).T.is_contiguous()
    assert dl.zeros(2, 3).T.contiguous().is_contiguous()


def test_conversion_is_on_the_tape() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype == dl.float32
    assert x.grad.tolist() == [3, 3]


# ── printing ──────────────────────────────────────────────────────────────────────────────────────


def test_printing() -> None:
    x = dl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert repr(x) == "tensor([[1., 2.],\n        [3., 4.]])"
    assert repr(dl.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(dl.tensor(1.5, requires_grad=True)) == "tensor(1.5, requires_grad=True)"
    assert repr(dl.tensor([1.0], dtype=dl.float64)) == "tensor([1.], dtype=float64)"
    assert "grad_fn=<Mul>" in repr(dl.tensor([1.0], requires_grad=True) * 2)
    assert "dtype=float32" in repr(dl.zeros(0))


# ── copies ────────────────────────────────────────────────────────────────────────────────────────


def test_copies_of_models_share_what_was_shared() -> None:
    """deepcopy keeps two names for one tensor one tensor: tied weights stay tied."""
    x = dl.tensor([1.0], requires_grad=True)
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    assert pair[0] is not x


def test_a_shallow_copy_knows_that_it_shares_memory() -> None:
    """T5: writing through the copy is noticed by whoever saved the original."""
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with dl.no_grad():
        copy.copy(x).fill_(5.0)
    if x.tolist() == [5, 5]:
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()
    else:
        y.sum().backward()


def test_tensors_are_keys_and_compare_element_by_element() -> None:
    x, y = dl.tensor([1.0, 2.0]), dl.tensor([1.0, 2.0])
    assert {x: 1}[x] == 1
    assert len({x, y}) == 2
    assert x.equal(y)
    assert (x == y).all()
    assert x.allclose(y + 1e-7)


def test_new_tensors_take_dtype_and_device_from_an_old_one() -> None:
    x = dl.zeros(2, dtype="float64", requires_grad=True)
    for y, expected in [
        (x.new_zeros(2, 3), np.zeros((2, 3))),
        (x.new_ones((3,)), np.ones(3)),
        (x.new_full((1, 2), 7), np.full((1, 2), 7.0)),
        (x.new_tensor([1, 2]), np.array([1.0, 2.0])),
        (dl.tensor([1, 2]).type_as(x), np.array([1.0, 2.0])),
    ]:
        assert y.dtype == np.float64
        assert not y.requires_grad
        np.testing.assert_array_equal(y.array, expected)
    assert x.new_zeros(2, dtype=np.int64).dtype == np.int64
    assert x.new_ones(1, requires_grad=True).requires_grad


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 2)])
def test_positions_of_what_is_not_zero_come_as_a_tuple_too(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 2, shape)
    theirs = torch.tensor(x).nonzero(as_tuple=True)
    for ours in (dl.tensor(x).nonzero(as_tuple=True), dl.where(dl.tensor(x) != 0)):
        assert [i.tolist() for i in ours] == [i.tolist() for i in theirs]
    with pytest.raises(TypeError, match="a condition and two values"):
        dl.where(dl.tensor(x) != 0, 1.0)  # type: ignore[call-overload]


def test_masked_fill_in_place_writes_off_the_tape_only() -> None:
    x = dl.tensor([1.0, 2.0, 3.0])
    assert x.masked_fill_(x > 1.5, 0.0) is x
    assert x.tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(RuntimeError, match="masked_fill_: a value on the tape"):
        (dl.ones(3, requires_grad=True) * 2).masked_fill_(x > 0.5, 0.0)
