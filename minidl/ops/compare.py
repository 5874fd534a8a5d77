"""Questions about numbers: comparisons, tests and logic. Their answers are bool and have no gradient.

They are operations all the same, so that a recorder hears of them: who knows what was asked can ask it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, as_tensor, promoted

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Question(Function):
    """A question about each element, by NumPy's name for it; its name on the tape is that in capitals: LessEqual."""

    __slots__ = ("asked",)

    def __init__(self, asked: str) -> None:
        self.asked = asked

    def forward(self, *xs: Array) -> Array:
        xp: Any = array_module(xs[0])
        return xp.asarray(getattr(xp, self.asked)(*xs))

    @property
    def name(self) -> str:
        return self.asked.title().replace("_", "")


def _compared(name: str, input: Operand, other: Operand) -> Tensor:
    answer: Tensor = Question(name)(*promoted(input, other))
    return answer


def eq(input: Operand, other: Operand) -> Tensor:
    """a = b, element by element."""
    return _compared("equal", input, other)


def ne(input: Operand, other: Operand) -> Tensor:
    """a ≠ b, element by element."""
    return _compared("not_equal", input, other)


def lt(input: Operand, other: Operand) -> Tensor:
    """a < b, element by element."""
    return _compared("less", input, other)


def le(input: Operand, other: Operand) -> Tensor:
    """a ≤ b, element by element."""
    return _compared("less_equal", input, other)


def gt(input: Operand, other: Operand) -> Tensor:
    """a > b, element by element."""
    return _compared("greater", input, other)


def ge(input: Operand, other: Operand) -> Tensor:
    """a ≥ b, element by element."""
    return _compared("greater_equal", input, other)


def _asked(name: str, input: Operand) -> Tensor:
    answer: Tensor = Question(name)(as_tensor(input))
    return answer


def isnan(input: Operand) -> Tensor:
    """True where x is not a number."""
    return _asked("isnan", input)


def isinf(input: Operand) -> Tensor:
    """True where x is +∞ or −∞."""
    return _asked("isinf", input)


def isfinite(input: Operand) -> Tensor:
    """True where x is neither infinite nor nan."""
    return _asked("isfinite", input)


def _logic(name: str, input: Operand, *others: Operand) -> Tensor:
    """Bitwise on integers, logical on bool."""
    xs = promoted(input, *others) if others else (as_tensor(input),)
    if xs[0].array.dtype.kind not in "iub":
        raise TypeError(f"{name}: expected bool or integer tensors, got {xs[0].array.dtype.name}")
    answer: Tensor = Question(name)(*xs)
    return answer


def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """a and b, for bool and integers."""
    return _logic("bitwise_and", input, other)


def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """a or b, for bool and integers."""
    return _logic("bitwise_or", input, other)


def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """Exactly one of a and b, for bool and integers."""
    return _logic("bitwise_xor", input, other)


def bitwise_not(input: Operand) -> Tensor:
    """Not a, for bool and integers."""
    return _logic("bitwise_not", input)


def _as_bool(x: Operand) -> Tensor:
    x = as_tensor(x)
    return x if x.array.dtype.kind == "b" else ne(x, 0)


def logical_and(input: Operand, other: Operand) -> Tensor:
    """a and b, where every number but 0 is true."""
    return bitwise_and(_as_bool(input), _as_bool(other))


def logical_or(input: Operand, other: Operand) -> Tensor:
    """a or b, where every number but 0 is true."""
    return bitwise_or(_as_bool(input), _as_bool(other))


def logical_not(input: Operand) -> Tensor:
    """Not a, where every number but 0 is true."""
    return bitwise_not(_as_bool(input))


def equal(input: Operand, other: Operand) -> bool:
    """True when shapes and all elements are equal."""
    a, b = as_tensor(input).array, as_tensor(other).array
    return a.shape == b.shape and bool((a == b).all())


def isclose(input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """|a − b| ≤ atol + rtol·|b|, element by element."""
    a, b = (x.array for x in promoted(input, other))
    xp: Any = array_module(a)
    return Variable._wrap(xp.asarray(xp.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)))


def allclose(input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True when `isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())
