"""What is no operand is refused in a sentence, wherever it goes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl import nn

CALLS = {
    "exp": dl.exp,
    "neg": dl.neg,
    "sum": dl.sum,
    "relu": dl.relu,
    "hardtanh": F.hardtanh,
    "linear": nn.Linear(2, 3),
    "conv1d": nn.Conv1d(1, 1, 1),
    "product": lambda value: dl.ones(2) * value,
}


@pytest.mark.parametrize("value", [None, "hello", {}, np.array(["a"]), [[1.0], [1.0, 2.0]], int], ids=repr)
@pytest.mark.parametrize("call", CALLS)
def test_what_holds_no_numbers_is_no_operand(call: str, value: Any) -> None:
    with pytest.raises(TypeError, match="expected a tensor, an array or numbers, got "):
        CALLS[call](value)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum"])
def test_shapes_that_do_not_broadcast_are_named_with_the_operation(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: the shapes \(2, 3\) and \(4,\) do not broadcast$"):
        getattr(dl, name)(dl.ones(2, 3), dl.ones(4))


@pytest.mark.parametrize("dim", ["x", 1.5, None], ids=repr)
@pytest.mark.parametrize("name", ["softmax", "unsqueeze", "cumsum", "flip", "split"])
def test_a_dim_that_is_no_integer_is_named(name: str, dim: Any) -> None:
    x = dl.ones(2, 3)
    call = (lambda: dl.split(x, 1, dim)) if name == "split" else (lambda: getattr(dl, name)(x, dim))
    with pytest.raises((TypeError, ValueError, RuntimeError), match="dim"):
        call()
