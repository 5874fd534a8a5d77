"""Arithmetic, element by element, with broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function, Needs
from minidl.backend import Array
from minidl.ops.broadcasting import (
    Broadcasting,
    Operand,
    as_tensor,
    floating,
    promoted,
)
from minidl.ops.choice import floor, trunc, where
from minidl.ops.elementwise import log
from minidl.ops.registry import NONZERO, POSITIVE, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Add(Broadcasting):
    formula = r"y = a + b"
    adjoint = r"\bar a = \bar y,\quad \bar b = \bar y"
    on_arrays = True

    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return gy if needs[0] else None, gy if needs[1] else None


@op(Add, example=lambda draw: {"input": draw(2, 3), "other": draw(3)})
def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    r"""$y = a + \alpha b$, with broadcasting."""
    return Add()(*promoted(input, other if alpha == 1 else mul(other, alpha)))


class Sub(Broadcasting):
    formula = r"y = a - b"
    adjoint = r"\bar a = \bar y,\quad \bar b = -\bar y"
    on_arrays = True

    def forward(self, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return gy if needs[0] else None, -gy if needs[1] else None


@op(Sub, example=lambda draw: {"input": draw(2, 1), "other": draw(2, 3)})
def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    r"""$y = a - \alpha b$, with broadcasting."""
    return Sub()(*promoted(input, other if alpha == 1 else mul(other, alpha)))


class Mul(Broadcasting):
    formula = r"y = a \odot b"
    adjoint = r"\bar a = \bar y \odot b,\quad \bar b = \bar y \odot a"
    on_arrays = True

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (1,) * needs[0] + (0,) * needs[1]

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        a, b = self.saved_inputs
        return gy * b if needs[0] else None, gy * a if needs[1] else None


@op(Mul, example=lambda draw: {"input": draw(2, 3), "other": draw(2, 1)})
def mul(input: Operand, other: Operand) -> Tensor:
    r"""$y = a \odot b$, element by element, with broadcasting."""
    return Mul()(*promoted(input, other))


class Div(Broadcasting):
    formula = r"y = a \oslash b"
    adjoint = r"\bar a = \bar y \oslash b,\quad \bar b = -\bar y \odot y \oslash b"
    on_arrays = True

    saves_inputs = (0, 1)

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (0, 1) if needs[1] else (1,)

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        a, b = self.saved_inputs
        return gy / b if needs[0] else None, -gy * (a / b) / b if needs[1] else None


@op(Div, example=lambda draw: {"input": draw(2, 3), "other": draw(3)}, domain=NONZERO)
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    r"""$y = a / b$, with broadcasting; integers divide to floats.

    Arguments:
        rounding_mode: None, "trunc" (towards zero) or "floor"; the rounded quotient has gradient zero.
    """
    if rounding_mode is None:
        a, b = promoted(input, other)
        return Div()(floating(a), floating(b))
    if rounding_mode not in ("trunc", "floor"):
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    a, b = promoted(input, other)
    y = (floor if rounding_mode == "floor" else trunc)(Div()(floating(a), floating(b)))
    return as_tensor(y.array.astype(a.array.dtype)) if a.array.dtype.kind in "iub" else y


class Neg(Function):
    formula = r"y = -x"
    adjoint = r"\bar x = -\bar y"
    on_arrays = True

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (-gy,)


@op(Neg, example=lambda draw: {"input": draw(2, 3)})
def neg(input: Operand) -> Tensor:
    """$y = -x$."""
    return Neg()(as_tensor(input))


class PowNumber(Function):
    formula = r"y = x^{n}"
    adjoint = r"\bar x = n\, x^{n-1} \odot \bar y"
    __slots__ = ("n",)
    saves_inputs = (0,)

    def __init__(self, n: float) -> None:
        self.n = n if isinstance(n, int) else float(n)  # a NumPy float64 would widen float32

    def forward(self, x: Array) -> Array:
        return x**self.n

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        if self.n == 0:
            return (where(False, gy, 0),)
        return (gy * (x if self.n == 2 else pow(x, self.n - 1)) * self.n,)


class Pow(Broadcasting):
    formula = r"y = x^{n}"
    adjoint = r"\bar x = n\, x^{n-1} \odot \bar y,\quad \bar n = \ln x \odot y \odot \bar y"
    saves_inputs = (0, 1)
    saves_output = True

    def forward(self, x: Array, n: Array) -> Array:
        return x**n

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x, n), (y,) = self.saved_inputs, self.saved_outputs
        gx = gn = None
        if needs[0]:  # n x^(n-1), which is 0 for n = 0 even where x is 0
            gx = where(n == 0, 0, gy * n * pow(x, where(n == 0, 1, n - 1)))
        if needs[1]:  # y ln x, continued by 0 where x is 0
            gn = where(x == 0, 0, gy * y * log(where(x == 0, 1, x)))
        return gx, gn


@op(Pow, PowNumber, example=lambda draw: {"input": draw(2, 3), "exponent": draw(3)}, domain=POSITIVE)
def pow(input: Operand, exponent: Operand) -> Tensor:
    """$y = x^n$; the derivative of $x^0$ is 0 everywhere, also at $x = 0$."""
    if isinstance(exponent, int | float) and not isinstance(exponent, bool):
        x = as_tensor(input)
        if x.array.dtype.kind in "fc":
            return PowNumber(exponent)(x)
        if isinstance(exponent, float):
            return PowNumber(exponent)(floating(x))
        if exponent < 0:
            raise RuntimeError(f"pow: integers to the negative power {exponent} are not integers; use .float() first")
    return Pow()(*promoted(input, exponent))


@op(formula=r"y = 1 / \sqrt{x}", adjoint=r"\bar x = -\tfrac12 x^{-3/2} \odot \bar y",
    example=lambda draw: {"input": draw(2, 3)}, domain=POSITIVE)  # fmt: skip
def rsqrt(input: Operand) -> Tensor:
    r"""$y = 1/\sqrt x$."""
    return pow(floating(input), -0.5)


@op(formula=r"y = 1 / x", adjoint=r"\bar x = -\bar y \oslash x^2",
    example=lambda draw: {"input": draw(2, 3)}, domain=NONZERO)  # fmt: skip
def reciprocal(input: Operand) -> Tensor:
    """$y = 1/x$."""
    return div(1.0, floating(input))


@op(formula=r"y = x^2", adjoint=r"\bar x = 2x \odot \bar y", example=lambda draw: {"input": draw(2, 3)})
def square(input: Operand) -> Tensor:
    """$y = x^2$."""
    return pow(input, 2)


@op(example=lambda draw: {"input": draw(2, 3), "other": 0.7}, oracle="richardson",
    formula=r"y = a - b \lfloor a / b \rfloor",
    adjoint=r"\bar a = \bar y,\quad \bar b = -\lfloor a / b \rfloor\, \bar y")  # fmt: skip
def remainder(input: Operand, other: Operand) -> Tensor:
    """a modulo b, with the sign of b, as Python's %."""
    a, b = promoted(input, other)
    if a.array.dtype.kind in "iub":
        return as_tensor(a.array % b.array)
    return a - b * floor(as_tensor(a.array / b.array))
