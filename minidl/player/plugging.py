"""The formula of an operation with the numbers plugged in, forward and backward, for one element.

`RULES` says for each operation how one element of its output comes from elements of its inputs, and how one element of
a gradient it sends back comes from the gradient it received. The rules read like the formulas of the operations; the
tests evaluate every one of them and hold it against what the engine recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.player.expression import Expression, call, number, total

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One recorded operation: its inputs, outputs and received gradients as arrays, None where not stored whole."""

    op: str
    attrs: dict[str, Any]
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]
    upstream: tuple[Array | None, ...] = ()

    def x(self, k: int, index: Index) -> Expression:
        """Element `index` of input k; the index may be that of the output that the input broadcasts to."""
        array = self.array(k)
        index = _own(index, array.shape)
        return _element(array, index, f"x{k}")

    def y(self, index: Index) -> Expression:
        """Element `index` of the output."""
        return _element(_whole(self.outputs[0]), index, "y")

    def gy(self, index: Index) -> Expression:
        """Element `index` of the gradient received."""
        return _element(_whole(self.upstream[0]), index, "gy")

    def array(self, k: int) -> Array:
        """Input k."""
        return _whole(self.inputs[k])

    @property
    def out_shape(self) -> Index:
        """The shape of the output."""
        return _whole(self.outputs[0]).shape

    def uses(self, k: int, index: Index) -> Iterator[Index]:
        """The output elements that element `index` of a broadcast input k goes into."""
        shape, out = self.array(k).shape, self.out_shape
        lead = len(out) - len(shape)
        ranges = [range(n) for n in out[:lead]]
        ranges += [range(n) if shape[a] == 1 else range(i, i + 1) for a, (i, n) in enumerate(zip(index, out[lead:]))]
        return _grid(ranges)

    @cached_property
    def picks(self) -> Array:
        """Where each output element was taken from: its place in the inputs laid end to end, −1 for nowhere."""
        return np.array(self.attrs["picks"], dtype=np.int64)

    def picked_by(self, k: int, index: Index) -> list[Index]:
        """The output elements that were taken from element `index` of input k."""
        sizes = [0 if x is None else x.size for x in self.inputs]
        place = sum(sizes[:k]) + _flat(index, self.array(k).shape)
        return [
            tuple([int(n) for n in np.unravel_index(i, self.out_shape)]) for i in np.flatnonzero(self.picks == place)
        ]


class NotWhole(Exception):
    """An array was too large to be recorded whole, so there are no numbers to plug in."""


def _whole(array: Array | None) -> Array:
    if array is None:
        raise NotWhole
    return array


def _element(array: Array, index: Index, name: str) -> Expression:
    return number(array[index], name, _flat(index, array.shape))


def _flat(index: Index, shape: Index) -> int:
    place = 0
    for i, n in zip(index, shape, strict=True):
        place = place * n + int(i)
    return place


def _own(index: Index, shape: Index) -> Index:
    """The index into an array of this shape that broadcasts to where `index` points."""
    tail = index[len(index) - len(shape) :]
    return tuple([0 if n == 1 else i for i, n in zip(tail, shape, strict=True)])


def _grid(ranges: list[range]) -> Iterator[Index]:
    return np.ndindex(*[len(r) for r in ranges]) if all(r.start == 0 for r in ranges) else _shifted(ranges)


def _shifted(ranges: list[range]) -> Iterator[Index]:
    for offsets in np.ndindex(*[len(r) for r in ranges]):
        yield tuple([r.start + o for r, o in zip(ranges, offsets, strict=True)])


Forward: TypeAlias = Callable[[Call, Index], Expression]
Backward: TypeAlias = Callable[[Call, int, Index], Expression]


@dataclass(frozen=True)
class Rule:
    """How an element of the output, and an element of the gradient of input k, come about."""

    forward: Forward
    backward: Backward | None


def elementwise(forward: Forward, *locals_: Forward) -> Rule:
    """A rule for operations that work element by element on inputs that may broadcast.

    Arguments:
        forward: the element of the output.
        locals_: for each input, what one output element sends back to it; broadcast inputs receive a sum.
    """

    def backward(c: Call, k: int, index: Index) -> Expression:
        return total([locals_[k](c, i) for i in c.uses(k, index)])

    return Rule(forward, backward)


def _picked(c: Call, index: Index) -> Expression:
    place = int(c.picks[_flat(index, c.out_shape)])
    if place < 0:
        return number(c.attrs.get("value") or 0.0)
    for k, x in enumerate(c.inputs):
        size = _whole(x).size
        if place < size:
            return number(c.array(k).reshape(-1)[place], f"x{k}", place)
        place -= size
    raise IndexError(place)


PICKED = Rule(_picked, lambda c, k, index: total([c.gy(i) for i in c.picked_by(k, index)]))
"""Operations that only move elements: each output element is one input element, or nothing."""


def _pow_number(c: Call, i: Index) -> Expression:
    n, x = c.attrs["n"], c.x(0, i)
    return c.gy(i) * n * (x if n == 2 else x ** (n - 1))


def _clamped(c: Call, i: Index) -> Expression:
    x, low, high = c.x(0, i), c.attrs.get("low"), c.attrs.get("high")
    y = x if low is None else call("max", low, x)
    return y if high is None else call("min", y, high)


def _clamp_gate(c: Call, i: Index) -> Expression:
    x, low, high = c.x(0, i), c.attrs.get("low"), c.attrs.get("high")
    gx = c.gy(i)
    gx = gx if low is None else gx * call("[≥]", x, low)
    return gx if high is None else gx * call("[≥]", high, x)


def _softplus(c: Call, i: Index) -> Expression:
    beta = c.attrs.get("beta", 1)
    x = c.x(0, i) if beta == 1 else c.x(0, i) * beta
    return call("ln", 1 + call("exp", x)) if beta == 1 else call("ln", 1 + call("exp", x)) / beta


def _elu(c: Call, i: Index) -> Expression:
    x = c.x(0, i)
    return x * 1.0 if x.value > 0 else c.attrs["a"] * (call("exp", x) - 1)


def _elu_back(c: Call, i: Index) -> Expression:
    x = c.x(0, i)
    return c.gy(i) * 1.0 if x.value > 0 else c.gy(i) * c.attrs["a"] * call("exp", x)


def _bce(c: Call, i: Index) -> Expression:
    p, t = c.x(0, i), c.x(1, i)
    return -(t * call("ln", p)) - (1 - t) * call("ln", 1 - p)


def _extreme_share(larger: bool) -> Forward:
    """Half of the gradient where two are equal, all of it to the larger (or smaller) one."""

    def local(c: Call, i: Index) -> Expression:
        a, b = c.x(0, i), c.x(1, i)
        return c.gy(i) * (0.5 if a.value == b.value else call("[>]", *((a, b) if larger else (b, a))))

    return local


RULES: dict[str, Rule] = {
    "Add": elementwise(lambda c, i: c.x(0, i) + c.x(1, i), lambda c, i: c.gy(i), lambda c, i: c.gy(i)),
    "Sub": elementwise(lambda c, i: c.x(0, i) - c.x(1, i), lambda c, i: c.gy(i), lambda c, i: -c.gy(i)),
    "Mul": elementwise(
        lambda c, i: c.x(0, i) * c.x(1, i), lambda c, i: c.gy(i) * c.x(1, i), lambda c, i: c.gy(i) * c.x(0, i)
    ),
    "Div": elementwise(
        lambda c, i: c.x(0, i) / c.x(1, i),
        lambda c, i: c.gy(i) / c.x(1, i),
        lambda c, i: -(c.gy(i) * c.x(0, i)) / c.x(1, i) ** 2,
    ),
    "Neg": elementwise(lambda c, i: -c.x(0, i), lambda c, i: -c.gy(i)),
    "PowNumber": elementwise(lambda c, i: c.x(0, i) ** c.attrs["n"], _pow_number),
    "Pow": elementwise(
        lambda c, i: c.x(0, i) ** c.x(1, i),
        lambda c, i: c.gy(i) * c.x(1, i) * c.x(0, i) ** (c.x(1, i) - 1),
        lambda c, i: c.gy(i) * c.y(i) * call("ln", c.x(0, i)),
    ),
    "Exp": elementwise(lambda c, i: call("exp", c.x(0, i)), lambda c, i: c.gy(i) * c.y(i)),
    "Expm1": elementwise(lambda c, i: call("exp", c.x(0, i)) - 1, lambda c, i: c.gy(i) * (c.y(i) + 1)),
    "Log": elementwise(lambda c, i: call("ln", c.x(0, i)), lambda c, i: c.gy(i) / c.x(0, i)),
    "Log1p": elementwise(lambda c, i: call("ln", 1 + c.x(0, i)), lambda c, i: c.gy(i) / (1 + c.x(0, i))),
    "Sqrt": elementwise(lambda c, i: call("sqrt", c.x(0, i)), lambda c, i: c.gy(i) / (2 * c.y(i))),
    "Sin": elementwise(lambda c, i: call("sin", c.x(0, i)), lambda c, i: c.gy(i) * call("cos", c.x(0, i))),
    "Cos": elementwise(lambda c, i: call("cos", c.x(0, i)), lambda c, i: -(c.gy(i) * call("sin", c.x(0, i)))),
    "Abs": elementwise(lambda c, i: call("abs", c.x(0, i)), lambda c, i: c.gy(i) * call("sign", c.x(0, i))),
    "Tanh": elementwise(lambda c, i: call("tanh", c.x(0, i)), lambda c, i: c.gy(i) * (1 - c.y(i) ** 2)),
    "Sigmoid": elementwise(lambda c, i: call("sigma", c.x(0, i)), lambda c, i: c.gy(i) * c.y(i) * (1 - c.y(i))),
    "ReLU": elementwise(lambda c, i: call("max", 0.0, c.x(0, i)), lambda c, i: c.gy(i) * call("[>]", c.x(0, i), 0.0)),
    "ELU": elementwise(_elu, _elu_back),
    "Softplus": elementwise(_softplus, lambda c, i: c.gy(i) * call("sigma", c.attrs.get("beta", 1) * c.x(0, i))),
    "Clamp": elementwise(_clamped, _clamp_gate),
    "Maximum": elementwise(lambda c, i: call("max", c.x(0, i), c.x(1, i)), _extreme_share(True), _extreme_share(False)),
    "Minimum": elementwise(lambda c, i: call("min", c.x(0, i), c.x(1, i)), _extreme_share(False), _extreme_share(True)),
    "BinaryCrossEntropy": elementwise(
        _bce,
        lambda c, i: c.gy(i) * (c.x(0, i) - c.x(1, i)) / (c.x(0, i) * (1 - c.x(0, i))),
        lambda c, i: c.gy(i) * call("ln", (1 - c.x(0, i)) / c.x(0, i)),
    ),
    "LogisticLoss": elementwise(
        lambda c, i: (
            c.x(1, i) * call("ln", 1 + call("exp", -c.x(0, i)))
            + (1 - c.x(1, i)) * call("ln", 1 + call("exp", c.x(0, i)))
        ),
        lambda c, i: c.gy(i) * (call("sigma", c.x(0, i)) - c.x(1, i)),
        lambda c, i: -(c.x(0, i) * c.gy(i)),
    ),
    **dict.fromkeys(
        (
            "BroadcastTo", "Cast", "Cat", "Clone", "Embedding", "Flip", "GetItem", "Narrow", "PadZeros", "Permute",
            "Reshape", "TakeAlong", "ToDevice", "Triangle",
        ),
        PICKED,
    ),
}  # fmt: skip
