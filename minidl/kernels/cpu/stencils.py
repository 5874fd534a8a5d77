"""Formulas that read several places of one array and write several of another, in vector registers.

    @stencil(inputs=3, outputs=2)
    def differences(a, b, c):
        return b - a, c - b

    differences(n, x, xo, xs, y, yo, ys)

computes, for i < n, the formula of x[xo + xs(k) + i], k = 0 … inputs−1, and writes result k to y[yo + ys(k) + i]. The
places xs and ys are a table, xs(k) = xs[k], or a step, xs(k) = k·xs. It is `vectors.elementwise` for formulas with too
many arguments to be named one by one; the operators of `vectors.Vector` are its words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED
from minidl.kernels.cpu.vectors import Vector


def stencil(inputs: int, outputs: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a formula of `inputs` numbers with `outputs` results a kernel over flat float32 arrays."""

    def make(formula: Callable[..., Any]) -> Callable[..., Any]:
        return (_interpreted if INTERPRETED else _compiled)(formula, inputs, outputs)

    return make


def _interpreted(formula: Callable[..., Any], inputs: int, outputs: int) -> Callable[..., Any]:
    def places(start: int, shifts: Array | int, count: int, n: int, size: int) -> list[slice]:
        starts = [start + int(k * shifts if isinstance(shifts, int) else shifts[k]) for k in range(count)]
        assert n <= 0 or all(0 <= place <= size - n for place in starts), "outside of an array"
        return [slice(place, place + n) for place in starts]

    def kernel(n: int, x: Array, xo: int, xs: Array | int, y: Array, yo: int, ys: Array | int) -> None:
        with np.errstate(all="ignore"):  # as silent as the machine code
            results = formula(*[x[place].copy() for place in places(xo, xs, inputs, n, x.size)])
        for place, result in zip(places(yo, ys, outputs, n, y.size), results, strict=True):
            y[place] = result

    return kernel


def _compiled(formula: Callable[..., Any], inputs: int, outputs: int) -> Callable[..., Any]:
    @intrinsic(prefer_literal=True)
    def kernel(typing: Any, n: Any, x: Any, xo: Any, xs: Any, y: Any, yo: Any, ys: Any) -> Any:
        index = types.int64
        shifts = [s if isinstance(s, types.Array) else index for s in (xs, ys)]
        signature = types.void(index, x, index, shifts[0], y, index, shifts[1])

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            n, x, xo, xs, y, yo, ys = arguments
            kinds = signature.args

            def places(kind: Any, array: Any, start: Any, shift_kind: Any, shifts: Any, count: int) -> list[Any]:
                first = simd.pointer(context, builder, kind, array, start)
                if not isinstance(shift_kind, types.Array):
                    return [simd.moved(builder, first, builder.mul(simd.constant(k), shifts)) for k in range(count)]
                table = simd.pointer(context, builder, shift_kind, shifts, simd.constant(0))
                return [simd.moved(builder, first, builder.load(simd.moved(builder, table, k))) for k in range(count)]

            sources = places(kinds[1], x, xo, kinds[3], xs, inputs)
            targets = places(kinds[4], y, yo, kinds[6], ys, outputs)

            def turn(start: Any, mask: Any) -> list[Any]:
                read = [simd.load_part(builder, simd.moved(builder, place, start), mask) for place in sources]
                results = formula(*[Vector(builder, value) for value in read])
                for place, result in zip(targets, results, strict=True):
                    simd.store_part(builder, result.value, simd.moved(builder, place, start), mask)
                return []

            simd.over_vectors(builder, n, turn, 0, 1, "add")
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = kernel
    return result
