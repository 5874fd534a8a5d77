"""Copies of short runs of numbers: rows of a face image are 10 to 100 long, and a compiled loop is slow at its ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED


def _copy(step: int) -> Callable[..., Any]:
    """out[oo + i] = x[xo + step·i] for 0 ≤ i < n, reading and writing nothing else; step is 1 or 2."""
    if INTERPRETED:

        def interpreted(x: Array, xo: int, out: Array, oo: int, n: int) -> None:
            out[oo : oo + n] = x[xo : xo + step * n : step][:n]

        return interpreted

    def copy_vector(builder: Any, source: Any, target: Any, i: Any, width: int) -> None:
        place = simd.moved(builder, source, builder.mul(i, simd.constant(step)))
        if width == 1:
            value = builder.load(place)
        elif step == 1:
            value = simd.load(builder, place, width)
        else:  # the even lanes of one load and the odd lanes of another, so that the last number read is needed
            low = simd.load(builder, place, width)
            high = simd.load(builder, simd.moved(builder, place, width - 1), width)
            lanes = [2 * k for k in range(width // 2)] + [width + 2 * k + 1 for k in range(width // 2)]
            value = simd.picked(builder, low, high, lanes)
        simd.store(builder, value, simd.moved(builder, target, i))

    @intrinsic(prefer_literal=True)
    def copy(typing: Any, x: Any, xo: Any, out: Any, oo: Any, n: Any) -> Any:
        index = types.int64
        signature = types.void(x, index, out, index, index)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, xo, out, oo, n = arguments
            source = simd.pointer(context, builder, signature.args[0], x, xo)
            target = simd.pointer(context, builder, signature.args[2], out, oo)
            simd.in_vectors(builder, n, lambda i, width: copy_vector(builder, source, target, i, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = copy
    return result


copy_run = _copy(1)
copy_even = _copy(2)


def _between(zipping: bool) -> Callable[..., Any]:
    """out[2i] = x[i] and out[2i + 1] = x[other + i] for 0 ≤ i < n if zipping, else the way back; from xo and oo on."""
    if INTERPRETED:

        def interpreted(x: Array, xo: int, out: Array, oo: int, other: int, n: int) -> None:
            for odd in (0, 1):
                if zipping:
                    out[oo + odd : oo + odd + 2 * n : 2] = x[xo + odd * other : xo + odd * other + n]
                else:
                    out[oo + odd * other : oo + odd * other + n] = x[xo + odd : xo + odd + 2 * n : 2]

        return interpreted

    def vector(builder: Any, x: Any, out: Any, other: Any, i: Any, width: int) -> None:
        pairs, single = (x, out) if not zipping else (out, x)
        pair = simd.moved(builder, pairs, builder.mul(i, simd.constant(2)))
        firsts = simd.moved(builder, single, i)
        seconds = simd.moved(builder, firsts, other)
        sources, targets = ([firsts, seconds], [pair, simd.moved(builder, pair, width)])
        lanes = [k // 2 + width * (k % 2) for k in range(2 * width)]
        if not zipping:
            sources, targets = targets, sources
            lanes = [*range(0, 2 * width, 2), *range(1, 2 * width, 2)]
        low, high = (simd.load(builder, place, width) for place in sources)
        simd.store(builder, simd.picked(builder, low, high, lanes[:width]), targets[0])
        simd.store(builder, simd.picked(builder, low, high, lanes[width:]), targets[1])

    @intrinsic(prefer_literal=True)
    def between(typing: Any, x: Any, xo: Any, out: Any, oo: Any, other: Any, n: Any) -> Any:
        index = types.int64
        signature = types.void(x, index, out, index, index, index)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, xo, out, oo, other, n = arguments
            source = simd.pointer(context, builder, signature.args[0], x, xo)
            target = simd.pointer(context, builder, signature.args[2], out, oo)
            simd.in_vectors(builder, n, lambda i, width: vector(builder, source, target, other, i, width))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = between
    return result


zip_runs = _between(zipping=True)
unzip_run = _between(zipping=False)
