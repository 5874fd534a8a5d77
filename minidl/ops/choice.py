"""Functions that choose: by a condition, by size, by sign, by rounding.

At a tie or a jump there is no derivative; each says in its text what it gives there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Broadcasting,
    Operand,
    as_tensor,
    floating,
    promoted,
)
from minidl.ops.registry import DISTINCT, NONZERO, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Abs(Function):
    formula = r"y = |x|"
    adjoint = r"\bar x = \operatorname{sign}(x) \odot \bar y"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return abs_of(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy * sign(x),)


def abs_of(x: Array) -> Array:
    """|x| of an array."""
    return array_module(x).abs(x)


@op(Abs, example=lambda draw: {"input": draw(2, 3)}, domain=NONZERO, oracle="richardson")
def abs(input: Operand) -> Tensor:
    """$y = |x|$; the subgradient at 0 is 0."""
    return Abs()(as_tensor(input))


class _Step(Function):
    """A function that is constant between jumps: its derivative is zero wherever it exists."""

    adjoint = r"\bar x = 0"

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (where(False, gy, 0),)  # gy * 0 would be nan where gy is infinite


class Sign(_Step):
    formula = r"y = \operatorname{sign}(x)"

    def forward(self, x: Array) -> Array:
        return array_module(x).sign(x)


class Floor(_Step):
    formula = r"y = \lfloor x \rfloor"

    def forward(self, x: Array) -> Array:
        return array_module(x).floor(x)


class Ceil(_Step):
    formula = r"y = \lceil x \rceil"

    def forward(self, x: Array) -> Array:
        return array_module(x).ceil(x)


class Trunc(_Step):
    formula = r"y = \operatorname{trunc}(x)"

    def forward(self, x: Array) -> Array:
        return array_module(x).trunc(x)


class Round(_Step):
    formula = r"y = \operatorname{round}(x)"

    def forward(self, x: Array) -> Array:
        return x.copy() if x.dtype.kind in "iub" else array_module(x).rint(x)  # rint would widen integers


@op(Sign, example=lambda draw: {"input": draw(2, 3)}, domain=NONZERO, oracle="richardson")
def sign(input: Operand) -> Tensor:
    """-1, 0 or 1."""
    return Sign()(as_tensor(input))


@op(Floor, example=lambda draw: {"input": draw(2, 3) * 0.3 + 0.5}, oracle="richardson")
def floor(input: Operand) -> Tensor:
    """The largest integer not above x."""
    return Floor()(as_tensor(input))


@op(Ceil, example=lambda draw: {"input": draw(2, 3) * 0.3 + 0.5}, oracle="richardson")
def ceil(input: Operand) -> Tensor:
    """The smallest integer not below x."""
    return Ceil()(as_tensor(input))


@op(Trunc, example=lambda draw: {"input": draw(2, 3) * 0.3 + 0.5}, oracle="richardson")
def trunc(input: Operand) -> Tensor:
    """The integer part, towards zero."""
    return Trunc()(as_tensor(input))


@op(Round, example=lambda draw: {"input": draw(2, 3) * 0.3}, domain=NONZERO, oracle="richardson")
def round(input: Operand) -> Tensor:
    """The nearest integer; halves go to the even one."""
    return Round()(as_tensor(input))


class Maximum(Broadcasting):
    formula = r"y = \max(a, b)"
    adjoint = r"\bar a = [a > b]\,\bar y + \tfrac12 [a = b]\,\bar y"
    saves_inputs = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a).maximum(a, b)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        a, b = self.saved_inputs
        return _share(gy, a > b, a == b) if needs[0] else None, _share(gy, b > a, a == b) if needs[1] else None


class Minimum(Broadcasting):
    formula = r"y = \min(a, b)"
    adjoint = r"\bar a = [a < b]\,\bar y + \tfrac12 [a = b]\,\bar y"
    saves_inputs = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a).minimum(a, b)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        a, b = self.saved_inputs
        return _share(gy, a < b, a == b) if needs[0] else None, _share(gy, b < a, a == b) if needs[1] else None


def _share(gy: Tensor, wins: Tensor, ties: Tensor) -> Tensor:
    """The winner takes the gradient, a tie halves it."""
    return where(wins, gy, where(ties, gy * 0.5, 0))


@op(
    Maximum, example=lambda draw: {"input": draw(2, 3), "other": draw(2, 1) + 9.0}, domain=DISTINCT, oracle="richardson"
)
def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of two numbers; equal ones share the gradient, nan wins."""
    return Maximum()(*promoted(input, other))


@op(Minimum, example=lambda draw: {"input": draw(2, 3), "other": draw(3) - 0.55}, domain=DISTINCT, oracle="richardson")
def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of two numbers; equal ones share the gradient, nan wins."""
    return Minimum()(*promoted(input, other))


class Clamp(Function):
    formula = r"y = \min(\max(x, l), u)"
    adjoint = r"\bar x = [l \le x \le u]\,\bar y"
    __slots__ = ("high", "low")
    saves_inputs = (0,)

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x: Array) -> Array:
        return array_module(x).clip(x, self.low, self.high)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        inside = as_tensor(array_module(x.array).ones(x.array.shape, bool))
        if self.low is not None:
            inside = inside & (x >= self.low)
        if self.high is not None:
            inside = inside & (x <= self.high)
        return (where(inside, gy, 0),)


@op(Clamp, example=lambda draw: {"input": draw(2, 3), "min": -1.0, "max": 0.55}, domain=DISTINCT, oracle="richardson")
def clamp(input: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """x held between `min` and `max`, which are numbers, tensors or None; the bounds themselves pass the gradient."""
    x = as_tensor(input)
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    numbers = (int, float, type(None))
    if isinstance(min, numbers) and isinstance(max, numbers):
        if any(isinstance(bound, float) for bound in (min, max)):
            x = floating(x)
        return Clamp(*[bound if bound is None or isinstance(bound, int) else float(bound) for bound in (min, max)])(x)
    if min is not None:
        low, x = promoted(min, x)
        x = where(as_tensor(min) > x, low, x)
    if max is not None:
        high, x = promoted(max, x)
        x = where(as_tensor(max) < x, high, x)
    return x


class Where(Broadcasting):
    formula = r"y = c \;?\; a : b"
    adjoint = r"\bar a = c \;?\; \bar y : 0,\quad \bar b = c \;?\; 0 : \bar y"
    saves_inputs = (0,)

    def forward(self, c: Array, a: Array, b: Array) -> Array:
        return array_module(a).where(c, a, b)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        c = self.saved_inputs[0]
        zero = as_tensor(array_module(gy.array).zeros((), gy.array.dtype))
        return None, where(c, gy, zero) if needs[1] else None, where(c, zero, gy) if needs[2] else None


@overload
def where(condition: Operand) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Operand, input: Operand, other: Operand) -> Tensor: ...
@op(Where, example=lambda draw: {"condition": draw(2, 3) > 0, "input": draw(2, 3), "other": draw(3)})
def where(condition: Operand, input: Operand | None = None, other: Operand | None = None) -> Any:
    """Elements of `input` where the condition holds, of `other` elsewhere, with broadcasting.

    With the condition alone: where it holds, as one vector of indices a dimension.
    """
    c = as_tensor(condition)
    if input is None and other is None:
        return tuple([Variable._wrap(indices) for indices in array_module(c.array).atleast_1d(c.array).nonzero()])
    if input is None or other is None:
        raise TypeError("where: expected a condition, or a condition and two values, got two of the three")
    if c.array.dtype != np.bool_:
        raise TypeError(f"where: the condition must be bool, got {c.array.dtype.name}")
    return Where()(c, *promoted(input, other))
