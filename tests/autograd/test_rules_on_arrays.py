"""Rules that say `on_arrays`: on arrays they give the same bits as on tensors, and look for changes all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case

import minidl as dl
from minidl.autograd import Function, grad, no_grad
from minidl.ops.registry import REGISTRY
from minidl.tensor import Tensor

PLAIN = sorted(name for name, o in REGISTRY.items() if o.functions and all(f.on_arrays for f in o.functions))


def test_the_operations_that_networks_of_a_few_numbers_live_on_are_among_them() -> None:
    assert {"add", "div", "exp", "linear", "matmul", "mul", "relu", "reshape", "sum", "tanh"} <= set(PLAIN)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", PLAIN)
def test_the_same_bits_recorded_or_not(name: str, dtype: str) -> None:
    case = Case(REGISTRY[name])

    def gradients(recorded: bool) -> list[Any]:
        xs = case.leaves([x.astype(dtype) for x in case.arrays])
        ys = case(*xs)
        seeds = [Tensor(g.astype(y.array.dtype)) for g, y in zip(case.cotangents(ys), ys, strict=True)]
        return list(grad(ys, xs, seeds, create_graph=recorded, allow_unused=True))

    for plain, recorded in zip(gradients(False), gradients(True), strict=True):
        assert (plain is None) == (recorded is None)
        if plain is not None:
            assert type(plain.array) is np.ndarray
            assert plain.array.dtype == recorded.array.dtype
            np.testing.assert_array_equal(plain.array, recorded.array)


class Doubled(Function):
    """2x, by a rule that remembers what it was given."""

    on_arrays = True
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Any) -> Any:
        return x * 2

    def backward(self, gy: Any, needs: Any) -> Any:
        given[:] = gy, *self.saved_inputs, *self.saved_outputs
        return (gy * 2,)


given: list[Any] = []


def test_arrays_are_given_unless_the_walk_is_recorded() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    grad(Doubled()(x).sum(), x)
    assert [type(value) for value in given] == [np.ndarray] * 3
    grad(Doubled()(x).sum(), x, create_graph=True)
    assert [type(value) for value in given] == [Tensor] * 3


@pytest.mark.parametrize("which", ["input", "output"])
def test_a_change_is_noticed_on_arrays_too(which: str) -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    y = Doubled()(x)
    with no_grad():
        (x if which == "input" else y.detach()).mul_(3)
    with pytest.raises(RuntimeError, match="was changed in place"):
        grad(y.sum(), x)


def test_an_operation_on_arrays_is_its_forward_pass() -> None:
    x = np.ones(2)
    result = Doubled()(x)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, [2, 2])
