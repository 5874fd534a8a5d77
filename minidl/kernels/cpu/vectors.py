"""Formulas in vector instructions: a Python function of numbers becomes a loop over arrays that fills whole registers.

    @elementwise(outputs=1)
    def scaled_tanh(x, s):
        return (tanh(x) * s,)

    scaled_tanh(n, x, xo, 0.5, y, yo)        y[yo + i] = tanh(x[xo + i]) · 0.5 for i < n

Numba turns a loop over more than a few arrays into vector instructions only sometimes, and calls the C library for
every exp and tanh. Here the formula is run once, on `Vector`s, and every operator emits its instruction. Under
NUMBA_DISABLE_JIT=1 the same formula runs on NumPy arrays.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic

from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED

Number: TypeAlias = Any
"""A `Vector`, a constant, or in interpreted kernels a NumPy array."""


class Vector:
    """LANES float32 in a register; operators emit instructions at the builder's place."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: simd.Value) -> None:
        self.builder, self.value = builder, value

    def _of(self, other: Number) -> simd.Value:
        if isinstance(other, Vector):
            return other.value
        return ir.Constant(self.value.type, [float(np.float32(other))] * simd.LANES)

    def _emit(self, instruction: str, a: simd.Value, b: simd.Value) -> Vector:
        return Vector(self.builder, getattr(self.builder, instruction)(a, b, flags=("contract", "reassoc", "nsz")))

    def __add__(self, other: Number) -> Vector:
        return self._emit("fadd", self.value, self._of(other))

    def __sub__(self, other: Number) -> Vector:
        return self._emit("fsub", self.value, self._of(other))

    def __rsub__(self, other: Number) -> Vector:
        return self._emit("fsub", self._of(other), self.value)

    def __neg__(self) -> Vector:
        return Vector(self.builder, self.builder.fneg(self.value))

    def __mul__(self, other: Number) -> Vector:
        return self._emit("fmul", self.value, self._of(other))

    def __truediv__(self, other: Number) -> Vector:
        return self._emit("fdiv", self.value, self._of(other))

    def __rtruediv__(self, other: Number) -> Vector:
        return self._emit("fdiv", self._of(other), self.value)

    def __lt__(self, other: Number) -> simd.Value:
        return self.builder.fcmp_ordered("<", self.value, self._of(other))

    def __gt__(self, other: Number) -> simd.Value:
        return self.builder.fcmp_ordered(">", self.value, self._of(other))

    __radd__ = __add__
    __rmul__ = __mul__


def select(condition: Any, yes: Number, no: Number) -> Number:
    """yes where the condition holds, otherwise no; one of the two is no constant."""
    either = yes if isinstance(yes, Vector) else no
    if not isinstance(either, Vector):
        return np.asarray(np.where(condition, yes, no), np.float32)
    return Vector(either.builder, either.builder.select(condition, either._of(yes), either._of(no)))


def minimum(x: Number, bound: Number) -> Number:
    """The smaller one; nan where x is nan."""
    return select(x > bound, bound, x)


def maximum(x: Number, bound: Number) -> Number:
    """The larger one; nan where x is nan."""
    return select(x < bound, bound, x)


def sqrt(x: Number) -> Number:
    """The square root."""
    return Vector(x.builder, simd.sqrt(x.builder, x.value)) if isinstance(x, Vector) else np.sqrt(x)


def multiply_add(a: Number, b: Number, c: Number) -> Number:
    """a·b + c."""
    if isinstance(a, Vector):
        return Vector(a.builder, simd.fma(a.builder, a.value, a._of(b), a._of(c)))
    return a * b + c


def polynomial(x: Number, *coefficients: float) -> Number:
    """By Horner's rule, the coefficient of the highest power first."""
    y = multiply_add(x, coefficients[0], coefficients[1])
    for c in coefficients[2:]:
        y = multiply_add(y, x, c)
    return y


def tanh(x: Number) -> Number:
    """The hyperbolic tangent, to 4e-7 of it: a quotient of polynomials in x², fitted by least squares on |x| ≤ 9."""
    x = minimum(maximum(x, -9.0), 9.0)
    s = x * x
    above = polynomial(s, 1.335447892e-08, 2.060894712e-05, 3.495579868e-03, 1.338101871e-01, 1.0)
    below = polynomial(s, 7.776482397e-07, 3.285621318e-04, 2.587695082e-02, 4.671433430e-01, 1.0)
    return minimum(maximum(x * above / below, -1.0), 1.0)


def sigmoid(x: Number) -> Number:
    """1/(1 + e⁻ˣ) as (tanh(x/2) + 1)/2, which cannot overflow."""
    return multiply_add(tanh(x * 0.5), 0.5, 0.5)


_SMALLEST, _LARGEST = -86.6, 88.72
_ROUNDING = 1.5 * 2.0**23  # a sum with it has no bits left behind the point


def exp(x: Number) -> Number:
    """e to the x, to 2e-7 of it: 2ⁿ eʳ with |r| ≤ ln(2)/2, eʳ a polynomial; 0 below e⁻⁸⁶, ∞ above e⁸⁸·⁷."""
    if not isinstance(x, Vector):
        return np.exp(x)
    within = minimum(maximum(x, _SMALLEST), _LARGEST)
    turned = simd.fma(x.builder, within.value, within._of(1 / math.log(2)), within._of(_ROUNDING))
    n = Vector(x.builder, x.builder.fsub(turned, within._of(_ROUNDING)))
    r = multiply_add(n, -3.194618494528623e-05, multiply_add(n, -0.693115234375, within))  # ln 2 in two parts
    e = polynomial(r, 1.381446685e-3, 8.368780418e-3, 4.166839422e-2, 1.666652011e-1, 4.999999341e-1, 1.0, 1.0)
    y = Vector(x.builder, simd.times_power_of_two(x.builder, e.value, turned))
    return select(x > _LARGEST, float("inf"), select(x < _SMALLEST, 0.0, y))


# ── loops ─────────────────────────────────────────────────────────────────────────────────────────


def elementwise(
    outputs: int, sums: int = 0, combine: str = "add"
) -> Callable[[Callable[..., tuple[Any, ...]]], Callable[..., Any]]:
    """Make a formula a kernel: `kernel(n, arguments …, targets …)`, each array followed by the place to begin at.

    Arguments:
        outputs: how many of the formula's results are written to the targets, after all were computed.
        sums: how many further results are added up over the n elements and returned: one number, or a tuple.
        combine: "add", or "max" for the largest instead of the sum (which of them, if one is nan, is left open).

    The formula's arguments are flat float32 arrays or single numbers.
    """

    def make(formula: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
        inputs = len(inspect.signature(formula).parameters)
        kernel = _interpreted if INTERPRETED else _compiled
        return kernel(formula, inputs, outputs, sums, combine)

    return make


def _pairs(arguments: Sequence[Any], is_array: Callable[[Any], bool]) -> list[tuple[Any, Any]]:
    """(array, place) or (number, None), in order."""
    pairs, rest = [], list(arguments)
    while rest:
        x = rest.pop(0)
        pairs.append((x, rest.pop(0) if is_array(x) else None))
    return pairs


def _interpreted(formula: Callable[..., Any], inputs: int, outputs: int, sums: int, combine: str) -> Callable[..., Any]:
    def kernel(n: int, *arguments: Any) -> Any:
        pairs = _pairs(arguments, lambda x: isinstance(x, np.ndarray) and x.ndim == 1)
        assert all(place is None or 0 <= place <= x.size - n for x, place in pairs), "outside of an array"
        with np.errstate(all="ignore"):  # as silent as the machine code
            given = [np.float32(x) if place is None else x[place : place + n].copy() for x, place in pairs[:inputs]]
            results = [np.broadcast_to(np.asarray(r, np.float32), n) for r in formula(*given)]
            reduce = np.add.reduce if combine == "add" else np.maximum.reduce
            initial = np.float32(0 if combine == "add" else -np.inf)
            totals = [reduce(r, initial=initial) for r in results[outputs:]]
        for (y, place), result in zip(pairs[inputs:], results, strict=False):
            y[place : place + n] = result
        return None if not sums else totals[0] if sums == 1 else tuple(totals)

    return kernel


_star: Any = types.StarArgTuple.from_types
_unpacked: Any = unpack_tuple


def _compiled(formula: Callable[..., Any], inputs: int, outputs: int, sums: int, combine: str) -> Callable[..., Any]:
    # a sum waits for the sum before it, so several are kept; a formula that also writes has enough to do meanwhile
    turns = 4 if sums and not outputs else 1

    @intrinsic(prefer_literal=True)
    def kernel(typing: Any, n: Any, *arguments: Any) -> Any:
        kinds: list[Any] = []
        for a in arguments:
            is_place = bool(kinds) and isinstance(kinds[-1], types.Array)
            kinds.append(a if isinstance(a, types.Array) else types.int64 if is_place else types.float32)
        many: Any = types.UniTuple
        result = types.void if not sums else types.float32 if sums == 1 else many(types.float32, sums)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            n, packed = values
            values = _unpacked(builder, packed)
            pairs = _pairs([*zip(kinds, values, strict=True)], lambda x: isinstance(x[0], types.Array))
            places = [
                simd.splat(builder, x[1]) if place is None else simd.pointer(context, builder, x[0], x[1], place[1])
                for x, place in pairs
            ]

            def turn(start: Any, mask: Any) -> list[Any]:
                """Read, compute and write LANES elements; returns what is to be added up."""
                read = []
                for (_, place), x in zip(pairs[:inputs], places, strict=False):
                    is_number = place is None
                    value = x if is_number else simd.load_part(builder, simd.moved(builder, x, start), mask)
                    read.append(Vector(builder, value))
                results = [r.value if isinstance(r, Vector) else read[0]._of(r) for r in formula(*read)]
                for y, target in zip(results[:outputs], places[inputs:], strict=True):
                    simd.store_part(builder, y, simd.moved(builder, target, start), mask)
                return results[outputs:]

            totals = simd.over_vectors(builder, n, turn, sums, turns, combine)
            numbers = [simd.across(builder, total, combine) for total in totals]
            if not sums:
                return context.get_dummy_value()
            return numbers[0] if sums == 1 else context.make_tuple(builder, signature.return_type, numbers)

        return result(types.int64, _star(kinds)), emit

    result: Callable[..., Any] = kernel
    return result


@elementwise(outputs=0, sums=1, combine="max")
def largest(x: Number) -> tuple[Number]:
    """The largest of x."""
    return (x,)


@elementwise(outputs=0, sums=1)
def total(x: Number) -> tuple[Number]:
    """The sum of x."""
    return (x,)


@elementwise(outputs=1)
def copied(x: Number) -> tuple[Number]:
    """x itself."""
    return (x,)


@elementwise(outputs=1)
def filled(value: Number) -> tuple[Number]:
    """One number everywhere."""
    return (value,)


@elementwise(outputs=1)
def scaled(x: Number, factor: Number) -> tuple[Number]:
    """x times a number."""
    return (x * factor,)
