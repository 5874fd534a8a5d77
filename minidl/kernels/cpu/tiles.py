"""Small blocks of a matrix product that fit into the vector registers: the innermost loops of float32 convolutions.

The right-hand matrix is never built. Its row k is a shifted window into a flat buffer, `x[start + offsets[k] :]`; for a
convolution the shifts are the kernel's taps, for a plain product they are the rows.
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

# Sums held at once: ROWS·WIDE registers, and room for WIDE loads and one splat. Measured on AVX-512: 8×3 reaches 95 %
# of the multiply-add peak.
ROWS = 8 if simd.REGISTERS == 32 else 4
WIDE = 3
TILE = WIDE * simd.LANES
"""Pixels in a wide tile."""
STRIP = simd.LANES
"""Pixels in a narrow tile."""
DOT_ROWS, DOT_TAPS = (4, 6) if simd.REGISTERS == 32 else (3, 3)
"""Output channels and taps of one block of the weight gradient."""


def _product_tile(vectors: int) -> Callable[..., Any]:
    """out[oo + r·ldo + p] = bias[bo + r] + Σ_k w[wo + k·ROWS + r]·x[xo + offsets[ko + k] + p] for ROWS rows."""
    if INTERPRETED:

        def interpreted(
            w: Array,
            wo: int,
            x: Array,
            xo: int,
            offsets: Array,
            ko: int,
            K: int,
            bias: Array,
            bo: int,
            out: Array,
            oo: int,
            ldo: int,
        ) -> None:
            pixels = np.arange(vectors * simd.LANES)
            windows = x[xo + offsets[ko : ko + K, None] + pixels]
            with np.errstate(all="ignore"):  # as silent as the machine code
                tile = w[wo : wo + K * ROWS].reshape(K, ROWS).T @ windows + bias[bo : bo + ROWS, None]
            out[oo + ldo * np.arange(ROWS)[:, None] + pixels] = tile

        return interpreted

    @intrinsic(prefer_literal=True)
    def tile(
        typing: Any,
        w: Any,
        wo: Any,
        x: Any,
        xo: Any,
        offsets: Any,
        ko: Any,
        K: Any,
        bias: Any,
        bo: Any,
        out: Any,
        oo: Any,
        ldo: Any,
    ) -> Any:
        index = types.int64
        signature = types.void(w, index, x, index, offsets, index, index, bias, index, out, index, index)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            w, wo, x, xo, offsets, ko, K, bias, bo, out, oo, ldo = arguments
            weights = simd.pointer(context, builder, kinds[0], w, wo)
            pixels = simd.pointer(context, builder, kinds[2], x, xo)
            shifts = simd.pointer(context, builder, kinds[4], offsets, ko)
            biases = simd.pointer(context, builder, kinds[7], bias, bo)
            target = simd.pointer(context, builder, kinds[9], out, oo)
            sums = []
            for r in range(ROWS):
                sums += [simd.splat(builder, builder.load(simd.moved(builder, biases, r)))] * vectors
            loop = simd.Loop(builder, K, [*sums, weights])
            *sums, weights = loop.carried
            window = simd.moved(builder, pixels, builder.load(simd.moved(builder, shifts, loop.index)))
            values = [simd.load(builder, simd.moved(builder, window, v * simd.LANES)) for v in range(vectors)]
            for r in range(ROWS):
                weight = simd.splat(builder, builder.load(simd.moved(builder, weights, r)))
                for v in range(vectors):
                    i = r * vectors + v
                    sums[i] = simd.fma(builder, weight, values[v], sums[i])
            *sums, _ = loop.end([*sums, simd.moved(builder, weights, ROWS)])
            for r in range(ROWS):
                row = simd.moved(builder, target, builder.mul(simd.constant(r), ldo))
                for v in range(vectors):
                    simd.store(builder, sums[r * vectors + v], simd.moved(builder, row, v * simd.LANES))
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = tile
    return result


wide_tile = _product_tile(WIDE)
middle_tile = _product_tile(2)
narrow_tile = _product_tile(1)


def _dot_tile() -> Callable[..., Any]:
    """out[oo + r·ldo + t] += Σ_n Σ_p g[rows[ro + r] + n·gs + p]·x[offsets[ko + t] + n·xs + p], p over S strips."""
    if INTERPRETED:

        def interpreted(
            g: Array,
            rows: Array,
            ro: int,
            gs: int,
            x: Array,
            offsets: Array,
            ko: int,
            xs: int,
            N: int,
            S: int,
            out: Array,
            oo: int,
            ldo: int,
        ) -> None:
            pixels = np.arange(S * simd.LANES)
            total = np.zeros((DOT_ROWS, DOT_TAPS), np.float32)
            for n in range(N):
                left = g[rows[ro : ro + DOT_ROWS, None] + n * gs + pixels]
                with np.errstate(all="ignore"):
                    total += left @ x[offsets[ko : ko + DOT_TAPS, None] + n * xs + pixels].T
            out[oo + ldo * np.arange(DOT_ROWS)[:, None] + np.arange(DOT_TAPS)] += total

        return interpreted

    @intrinsic(prefer_literal=True)
    def tile(
        typing: Any,
        g: Any,
        rows: Any,
        ro: Any,
        gs: Any,
        x: Any,
        offsets: Any,
        ko: Any,
        xs: Any,
        N: Any,
        S: Any,
        out: Any,
        oo: Any,
        ldo: Any,
    ) -> Any:
        i = types.int64
        signature = types.void(g, rows, i, i, x, offsets, i, i, i, i, out, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            g, rows, ro, gs, x, offsets, ko, xs, N, S, out, oo, ldo = arguments
            row_table = simd.pointer(context, builder, kinds[1], rows, ro)
            tap_table = simd.pointer(context, builder, kinds[5], offsets, ko)
            target = simd.pointer(context, builder, kinds[10], out, oo)
            lefts = [builder.load(simd.moved(builder, row_table, r)) for r in range(DOT_ROWS)]
            rights = [builder.load(simd.moved(builder, tap_table, t)) for t in range(DOT_TAPS)]
            images = simd.Loop(builder, N, [simd.zeros()] * (DOT_ROWS * DOT_TAPS))
            left = simd.pointer(context, builder, kinds[0], g, builder.mul(images.index, gs))
            right = simd.pointer(context, builder, kinds[4], x, builder.mul(images.index, xs))
            left_rows = [simd.moved(builder, left, offset) for offset in lefts]
            right_rows = [simd.moved(builder, right, offset) for offset in rights]
            strips = simd.Loop(builder, S, images.carried)
            sums = list(strips.carried)
            p = builder.mul(strips.index, simd.constant(simd.LANES))
            values = [simd.load(builder, simd.moved(builder, row, p)) for row in left_rows]
            for t in range(DOT_TAPS):
                window = simd.load(builder, simd.moved(builder, right_rows[t], p))
                for r in range(DOT_ROWS):
                    sums[r * DOT_TAPS + t] = simd.fma(builder, values[r], window, sums[r * DOT_TAPS + t])
            sums = images.end(strips.end(sums))
            totals = simd.lane_sums(builder, sums)
            for r in range(DOT_ROWS):
                row = simd.moved(builder, target, builder.mul(simd.constant(r), ldo))
                for t in range(DOT_TAPS):
                    place, total = simd.moved(builder, row, t), totals[r * DOT_TAPS + t]
                    builder.store(builder.fadd(builder.load(place), total), place)
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = tile
    return result


dot_tile = _dot_tile()
