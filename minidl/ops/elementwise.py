"""Arithmetic and functions of one number, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Broadcasting, Operand, as_tensor, floating, promoted
from minidl.ops.registry import DISTINCT, NONZERO, POSITIVE, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Pair = "tuple[Tensor | None, Tensor | None]"


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────


class Add(Broadcasting):
    formula = r"y = a + b"
    adjoint = r"\bar a = \bar y,\quad \bar b = \bar y"

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


# ── analytic functions ────────────────────────────────────────────────────────────────────────────


class Exp(Function):
    formula = r"y = e^{x}"
    adjoint = r"\bar x = y \odot \bar y"
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


class Sin(Function):
    formula = r"y = \sin x"
    adjoint = r"\bar x = \cos x \odot \bar y"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).sin(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (gy * cos(x),)


@op(Sin, example=lambda draw: {"input": draw(2, 3)})
def sin(input: Operand) -> Tensor:
    r"""$y = \sin x$, x in radians."""
    return Sin()(floating(input))


class Cos(Function):
    formula = r"y = \cos x"
    adjoint = r"\bar x = -\sin x \odot \bar y"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).cos(x)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (-gy * sin(x),)


@op(Cos, example=lambda draw: {"input": draw(2, 3)})
def cos(input: Operand) -> Tensor:
    r"""$y = \cos x$, x in radians."""
    return Cos()(floating(input))


# ── functions with kinks ──────────────────────────────────────────────────────────────────────────


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


@op(example=lambda draw: {"input": draw(2, 3), "other": 0.7}, oracle="richardson",
    formula=r"y = a - b \lfloor a / b \rfloor",
    adjoint=r"\bar a = \bar y,\quad \bar b = -\lfloor a / b \rfloor\, \bar y")  # fmt: skip
def remainder(input: Operand, other: Operand) -> Tensor:
    """a modulo b, with the sign of b, as Python's %."""
    a, b = promoted(input, other)
    if a.array.dtype.kind in "iub":
        return as_tensor(a.array % b.array)
    return a - b * floor(as_tensor(a.array / b.array))


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
        x = where(as_tensor(min) > x, *promoted(min, x))
    return x if max is None else where(as_tensor(max) < x, *promoted(max, x))


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


@op(Where, example=lambda draw: {"condition": draw(2, 3) > 0, "input": draw(2, 3), "other": draw(3)})
def where(condition: Operand, input: Operand, other: Operand) -> Tensor:
    """Elements of `input` where the condition holds, of `other` elsewhere, with broadcasting."""
    c = as_tensor(condition)
    if c.array.dtype != np.bool_:
        raise TypeError(f"where: the condition must be bool, got {c.array.dtype.name}")
    return Where()(c, *promoted(input, other))
