"""ReLU and 2×2 max pooling of two rows at a time, and the way back, in vector registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED
from minidl.kernels.geometry import DEAD

_BYTE = ir.IntType(8)


def _pool_pairs() -> Callable[..., Any]:
    """y[yo + q], codes[yo + q] = the largest of z[upper + 2q …+1] and z[lower + 2q …+1], cut at 0, and which it was."""
    if INTERPRETED:

        def interpreted(z: Array, upper: int, lower: int, y: Array, codes: Array, yo: int, n: int) -> None:
            four = np.concatenate([z[upper : upper + 2 * n].reshape(n, 2), z[lower : lower + 2 * n].reshape(n, 2)], 1)
            best, code = four[:, 0], np.zeros(n, np.uint8)
            for k in range(1, 4):
                better = (four[:, k] > best) | np.isnan(four[:, k])
                best, code = np.where(better, four[:, k], best), np.where(better, k, code)
            y[yo : yo + n] = np.where(best <= 0, 0, best)
            codes[yo : yo + n] = np.where(best <= 0, DEAD, code)

        return interpreted

    def pool_vector(builder: Any, rows: list[Any], outs: list[Any], q: Any, width: int) -> None:
        y, codes = outs
        four = []
        for row in rows:
            place = simd.moved(builder, row, builder.mul(q, simd.constant(2)))
            left, right = simd.load(builder, place, width), simd.load(builder, simd.moved(builder, place, width), width)
            for odd in (0, 1):
                four.append(simd.picked(builder, left, right, [2 * k + odd for k in range(width)]))
        byte = ir.VectorType(_BYTE, width)
        best, code = four[0], ir.Constant(byte, [0] * width)
        for k in range(1, 4):
            larger = builder.fcmp_ordered(">", four[k], best)
            better = builder.or_(larger, builder.fcmp_unordered("uno", four[k], four[k]))
            best = builder.select(better, four[k], best)
            code = builder.select(better, ir.Constant(byte, [k] * width), code)
        zero = ir.Constant(best.type, [0.0] * width)
        alive = builder.fcmp_unordered(">", best, zero)  # true for NaN, which passes a ReLU
        simd.store(builder, builder.select(alive, best, zero), simd.moved(builder, y, q))
        code = builder.select(alive, code, ir.Constant(byte, [DEAD] * width))
        place = builder.bitcast(simd.moved(builder, codes, q), byte.as_pointer())
        builder.store(code, place).align = 1

    @intrinsic(prefer_literal=True)
    def pool(typing: Any, z: Any, upper: Any, lower: Any, y: Any, codes: Any, yo: Any, n: Any) -> Any:
        i = types.int64
        signature = types.void(z, i, i, y, codes, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            z, upper, lower, y, codes, yo, n = arguments
            kinds = signature.args
            rows = [simd.pointer(context, builder, kinds[0], z, row) for row in (upper, lower)]
            outs = [
                simd.pointer(context, builder, kinds[3], y, yo),
                simd.pointer(context, builder, kinds[4], codes, yo),
            ]
            simd.in_vectors(builder, n, lambda q, width: pool_vector(builder, rows, outs, q, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = pool
    return result


def _spread_pairs() -> Callable[..., Any]:
    """Of window q's four places, z[upper + 2q …+1] and z[lower + 2q …+1], the winner gets gy[go + q], the rest 0."""
    if INTERPRETED:

        def interpreted(gy: Array, codes: Array, go: int, z: Array, upper: int, lower: int, n: int) -> None:
            won = codes[go : go + n, None] == np.arange(4)
            four = np.where(won, gy[go : go + n, None], np.float32(0))
            z[upper : upper + 2 * n] = four[:, :2].ravel()
            z[lower : lower + 2 * n] = four[:, 2:].ravel()

        return interpreted

    def spread_vector(builder: Any, ins: list[Any], rows: list[Any], q: Any, width: int) -> None:
        gy, codes = ins
        byte = ir.VectorType(_BYTE, width)
        value = simd.load(builder, simd.moved(builder, gy, q), width)
        code = builder.load(builder.bitcast(simd.moved(builder, codes, q), byte.as_pointer()))
        code.align = 1
        zero = ir.Constant(value.type, [0.0] * width)
        for k, row in ((0, rows[0]), (2, rows[1])):
            left, right = (
                builder.select(builder.icmp_unsigned("==", code, ir.Constant(byte, [k + odd] * width)), value, zero)
                for odd in (0, 1)
            )
            place = simd.moved(builder, row, builder.mul(q, simd.constant(2)))
            zipped = [i // 2 + width * (i % 2) for i in range(2 * width)]
            simd.store(builder, simd.picked(builder, left, right, zipped[:width]), place)
            simd.store(builder, simd.picked(builder, left, right, zipped[width:]), simd.moved(builder, place, width))

    @intrinsic(prefer_literal=True)
    def spread(typing: Any, gy: Any, codes: Any, go: Any, z: Any, upper: Any, lower: Any, n: Any) -> Any:
        i = types.int64
        signature = types.void(gy, codes, i, z, i, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            gy, codes, go, z, upper, lower, n = arguments
            kinds = signature.args
            ins = [
                simd.pointer(context, builder, kinds[0], gy, go),
                simd.pointer(context, builder, kinds[1], codes, go),
            ]
            rows = [simd.pointer(context, builder, kinds[3], z, row) for row in (upper, lower)]
            simd.in_vectors(builder, n, lambda q, width: spread_vector(builder, ins, rows, q, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = spread
    return result


pool_pairs = _pool_pairs()
spread_pairs = _spread_pairs()
