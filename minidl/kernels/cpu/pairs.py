"""ReLU and 2×2 max pooling, and the way back, in vector registers: windows of two rows, or of four planes.

Pixel (i, j) of window q is z[zo + i·down + j·right + across·q]. In an image the windows of two rows are two columns
apart: across = 2, right = 1. Tiles of outputs come as four planes (`winograd`): across = 1, and down and right go from
plane to plane.
"""

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


def _winners(four: Array) -> tuple[Array, Array]:
    """The largest of each row, cut at 0, and its index."""
    best, code = four[:, 0], np.zeros(len(four), np.uint8)
    for k in range(1, 4):
        better = (four[:, k] > best) | np.isnan(four[:, k])
        best, code = np.where(better, four[:, k], best), np.where(better, k, code)
    return np.where(best <= 0, 0, best), np.where(best <= 0, DEAD, code)


def _store_winners(builder: Any, four: list[Any], y: Any, codes: Any, width: int) -> None:
    """The same of four vectors, into two places."""
    byte = ir.VectorType(_BYTE, width)
    best, code = four[0], ir.Constant(byte, [0] * width)
    for k in range(1, 4):
        larger = builder.fcmp_ordered(">", four[k], best)
        better = builder.or_(larger, builder.fcmp_unordered("uno", four[k], four[k]))
        best = builder.select(better, four[k], best)
        code = builder.select(better, ir.Constant(byte, [k] * width), code)
    zero = ir.Constant(best.type, [0.0] * width)
    alive = builder.fcmp_unordered(">", best, zero)  # true for NaN, which passes a ReLU
    simd.store(builder, builder.select(alive, best, zero), y)
    code = builder.select(alive, code, ir.Constant(byte, [DEAD] * width))
    builder.store(code, builder.bitcast(codes, byte.as_pointer())).align = 1


def _places(zo: int, down: int, right: int, across: int, n: int) -> list[slice]:
    """Where the n windows have each of their four pixels."""
    starts = [zo + i * down + j * right for i in (0, 1) for j in (0, 1)]
    return [slice(start, start + across * n, across) for start in starts]


def _pool(across: int) -> Callable[..., Any]:
    """y[yo + q], codes[yo + q] = the largest of window q's pixels, cut at 0, and which it was, for 0 ≤ q < n."""
    if INTERPRETED:

        def interpreted(z: Array, zo: int, down: int, right: int, y: Array, codes: Array, yo: int, n: int) -> None:
            four = np.stack([z[place][:n] for place in _places(zo, down, right, across, n)], 1)
            y[yo : yo + n], codes[yo : yo + n] = _winners(four)

        return interpreted

    def pool_vector(builder: Any, z: Any, down: Any, right: Any, outs: list[Any], q: Any, width: int) -> None:
        four = []
        for row in (z, simd.moved(builder, z, down)):
            place = simd.moved(builder, row, builder.mul(q, simd.constant(across)))
            if across == 2:
                left, other = (simd.load(builder, simd.moved(builder, place, i), width) for i in (0, width))
                four += [simd.picked(builder, left, other, list(range(odd, 2 * width, 2))) for odd in (0, 1)]
            else:
                four += [simd.load(builder, at, width) for at in (place, simd.moved(builder, place, right))]
        y, codes = (simd.moved(builder, out, q) for out in outs)
        _store_winners(builder, four, y, codes, width)

    @intrinsic(prefer_literal=True)
    def pool(typing: Any, z: Any, zo: Any, down: Any, right: Any, y: Any, codes: Any, yo: Any, n: Any) -> Any:
        i = types.int64
        signature = types.void(z, i, i, i, y, codes, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            z, zo, down, right, y, codes, yo, n = arguments
            kinds = signature.args
            source = simd.pointer(context, builder, kinds[0], z, zo)
            outs = [
                simd.pointer(context, builder, kinds[4], y, yo),
                simd.pointer(context, builder, kinds[5], codes, yo),
            ]
            simd.in_vectors(builder, n, lambda q, width: pool_vector(builder, source, down, right, outs, q, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = pool
    return result


def _spread(across: int) -> Callable[..., Any]:
    """Of window q's pixels the winner gets gy[go + q], the rest 0, for 0 ≤ q < n."""
    if INTERPRETED:

        def interpreted(gy: Array, codes: Array, go: int, z: Array, zo: int, down: int, right: int, n: int) -> None:
            for k, place in enumerate(_places(zo, down, right, across, n)):
                z[place][:n] = np.where(codes[go : go + n] == k, gy[go : go + n], np.float32(0))

        return interpreted

    def spread_vector(builder: Any, ins: list[Any], z: Any, down: Any, right: Any, q: Any, width: int) -> None:
        gy, codes = (simd.moved(builder, place, q) for place in ins)
        byte = ir.VectorType(_BYTE, width)
        value = simd.load(builder, gy, width)
        code = builder.load(builder.bitcast(codes, byte.as_pointer()))
        code.align = 1
        zero = ir.Constant(value.type, [0.0] * width)
        for k, row in ((0, z), (2, simd.moved(builder, z, down))):
            left, other = (
                builder.select(builder.icmp_unsigned("==", code, ir.Constant(byte, [k + odd] * width)), value, zero)
                for odd in (0, 1)
            )
            place = simd.moved(builder, row, builder.mul(q, simd.constant(across)))
            if across == 2:
                zipped = [i // 2 + width * (i % 2) for i in range(2 * width)]
                halves = [simd.picked(builder, left, other, lanes) for lanes in (zipped[:width], zipped[width:])]
                simd.store(builder, halves[0], place)
                simd.store(builder, halves[1], simd.moved(builder, place, width))
            else:
                simd.store(builder, left, place)
                simd.store(builder, other, simd.moved(builder, place, right))

    @intrinsic(prefer_literal=True)
    def spread(typing: Any, gy: Any, codes: Any, go: Any, z: Any, zo: Any, down: Any, right: Any, n: Any) -> Any:
        i = types.int64
        signature = types.void(gy, codes, i, z, i, i, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            gy, codes, go, z, zo, down, right, n = arguments
            kinds = signature.args
            ins = [
                simd.pointer(context, builder, kinds[0], gy, go),
                simd.pointer(context, builder, kinds[1], codes, go),
            ]
            target = simd.pointer(context, builder, kinds[3], z, zo)
            simd.in_vectors(builder, n, lambda q, width: spread_vector(builder, ins, target, down, right, q, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = spread
    return result


pool_pairs, pool_planes = _pool(across=2), _pool(across=1)
spread_pairs, spread_planes = _spread(across=2), _spread(across=1)
