"""Smooth functions of one number, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Operand,
    floating,
)
from minidl.ops.registry import POSITIVE, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Exp(Function):
    formula = r"y = e^{x}"
    adjoint = r"\bar x = y \odot \bar y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy * y,)


@op(Exp, example=lambda draw: {"input": draw(2, 3)})
def exp(input: Operand) -> Tensor:
    """$y = e^x$."""
    return Exp()(floating(input))


class Expm1(Function):
    formula = r"y = e^{x} - 1"
    adjoint = r"\bar x = (y + 1) \odot \bar y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return array_module(x).expm1(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy * (y + 1),)


@op(Expm1, example=lambda draw: {"input": draw(2, 3)})
def expm1(input: Operand) -> Tensor:
    """$y = e^x - 1$, exact for small x."""
    return Expm1()(floating(input))


class Log(Function):
    formula = r"y = \ln x"
    adjoint = r"\bar x = \bar y \oslash x"
    on_arrays = True
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy / x,)


@op(Log, example=lambda draw: {"input": draw(2, 3)}, domain=POSITIVE)
def log(input: Operand) -> Tensor:
    r"""$y = \ln x$."""
    return Log()(floating(input))


class Log1p(Function):
    formula = r"y = \ln(1 + x)"
    adjoint = r"\bar x = \bar y \oslash (1 + x)"
    on_arrays = True
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).log1p(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy / (x + 1),)


@op(Log1p, example=lambda draw: {"input": draw(2, 3)}, domain=POSITIVE)
def log1p(input: Operand) -> Tensor:
    r"""$y = \ln(1 + x)$, exact for small x."""
    return Log1p()(floating(input))


class Sqrt(Function):
    formula = r"y = \sqrt{x}"
    adjoint = r"\bar x = \bar y \oslash 2y"
    on_arrays = True
    saves_output = True

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (y,) = self.saved_outputs
        return (gy / (y * 2),)


@op(Sqrt, example=lambda draw: {"input": draw(2, 3)}, domain=POSITIVE)
def sqrt(input: Operand) -> Tensor:
    r"""$y = \sqrt x$; the slope at 0 is infinite, as it is."""
    return Sqrt()(floating(input))


class Sin(Function):
    formula = r"y = \sin x"
    adjoint = r"\bar x = \cos x \odot \bar y"
    on_arrays = True
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).sin(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy * Cos()(x),)


@op(Sin, example=lambda draw: {"input": draw(2, 3)})
def sin(input: Operand) -> Tensor:
    r"""$y = \sin x$, x in radians."""
    return Sin()(floating(input))


class Cos(Function):
    formula = r"y = \cos x"
    adjoint = r"\bar x = -\sin x \odot \bar y"
    on_arrays = True
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).cos(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (-gy * Sin()(x),)


@op(Cos, example=lambda draw: {"input": draw(2, 3)})
def cos(input: Operand) -> Tensor:
    r"""$y = \cos x$, x in radians."""
    return Cos()(floating(input))
