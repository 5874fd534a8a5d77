"""Questions about numbers: comparisons, tests and logic. Their answers are bool and have no gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.autograd.variable import Variable
from minidl.backend import array_module
from minidl.ops.broadcasting import Operand, as_tensor, promoted

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _compared(name: str, input: Operand, other: Operand) -> Tensor:
    a, b = (x.array for x in promoted(input, other))
    xp: Any = array_module(a)
    return Variable._wrap(xp.asarray(getattr(xp, name)(a, b)))


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
    x = as_tensor(input).array
    xp: Any = array_module(x)
    return Variable._wrap(xp.asarray(getattr(xp, name)(x)))


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
    arrays = [x.array for x in (promoted(input, *others) if others else (as_tensor(input),))]
    if arrays[0].dtype.kind not in "iub":
        raise TypeError(f"{name}: expected bool or integer tensors, got {arrays[0].dtype.name}")
    xp: Any = array_module(arrays[0])
    return Variable._wrap(xp.asarray(getattr(xp, name)(*arrays)))


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
