"""Products of small matrices, C += A B, in vector registers: what recurrent steps and tiles of attention are made of.

The outermost loops go over blocks of C that fit into registers, `ROWS` rows of at most `WIDE` vectors. For such a block
the loop over k loads a piece of a row of B and multiplies it by one number of each row of A:

    for columns of C, WIDE·LANES at a time
        for rows of C, ROWS at a time
            for k:  C[rows, columns] += A[rows, k] · B[k, columns]       one register each, written once at the end

A is read number by number, so its strides are free and Aᵀ needs no copy. B is read in whole vectors: its rows must lie
in full, the last one followed by what may be read; `packed` lays it out in panels as wide as a block, so that each
panel stays in the nearest cache while all rows of A pass by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED, jit

# ROWS·WIDE sums, WIDE vectors of B and one number of A in every lane fill the registers: 24 + 3 + 1 of 32, 12 + 3 + 1
# of 16.
ROWS = 8 if simd.REGISTERS == 32 else 4
WIDE = 3
PANEL = WIDE * simd.LANES
"""Columns of a panel."""


def packed(b: Array) -> Array:
    """b (K, N) in panels of PANEL columns, one after the other, each (K, PANEL); the last filled with zeros."""
    K, N = b.shape
    panels = np.zeros((-(-N // PANEL), K, PANEL), np.float32)
    for p, panel in enumerate(panels):
        columns = b[:, p * PANEL : (p + 1) * PANEL]
        panel[:, : columns.shape[1]] = columns
    return panels.reshape(-1)


def _tile(rows: int, vectors: int) -> Callable[..., Any]:
    """C[co + r·ldc + j] = (itself if add) + Σ_k A[ao + r·rs + k·ks]·B[bo + k·ldb + j], of `columns` columns j."""
    if INTERPRETED:

        def interpreted(
            a: Array, ao: int, rs: int, ks: int, K: int, b: Array, bo: int, ldb: int, c: Array, co: int, ldc: int,
            columns: int, add: int,
        ) -> None:  # fmt: skip
            ks_, rows_, columns_ = np.arange(K), np.arange(rows)[:, None], np.arange(columns)
            assert K == 0 or bo + (K - 1) * ldb + vectors * simd.LANES <= b.size, "reads behind the end of B"
            place = co + rows_ * ldc + columns_
            with np.errstate(all="ignore"):  # as silent as the machine code
                product = a[ao + rows_ * rs + ks_ * ks] @ b[bo + ks_[:, None] * ldb + columns_]
                c[place] = c[place] + product if add else product

        return interpreted

    @intrinsic(prefer_literal=True)
    def tile(
        typing: Any, a: Any, ao: Any, rs: Any, ks: Any, K: Any, b: Any, bo: Any, ldb: Any, c: Any, co: Any, ldc: Any,
        columns: Any, add: Any,
    ) -> Any:  # fmt: skip
        i = types.int64
        signature = types.void(a, i, i, i, i, b, i, i, c, i, i, i, i)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            a, ao, rs, ks, K, b, bo, ldb, c, co, ldc, columns, add = arguments
            left = simd.pointer(context, builder, kinds[0], a, ao)
            right = simd.pointer(context, builder, kinds[5], b, bo)
            target = simd.pointer(context, builder, kinds[8], c, co)
            begun = builder.sub(columns, simd.constant((vectors - 1) * simd.LANES))
            masks = [None] * (vectors - 1) + [simd.first_lanes(builder, begun)]
            places = []
            for r in range(rows):
                row = simd.moved(builder, target, builder.mul(simd.constant(r), ldc))
                places += [simd.moved(builder, row, v * simd.LANES) for v in range(vectors)]
            # the sums start from C or from 0: a loop of one turn or none reads C
            reading = simd.Loop(builder, add, [simd.zeros()] * (rows * vectors))
            sums = reading.end([simd.load_part(builder, p, masks[i % vectors]) for i, p in enumerate(places)])
            lefts = [builder.mul(simd.constant(r), rs) for r in range(rows)]
            loop = simd.Loop(builder, K, [*sums, left, right])
            *sums, left, right = loop.carried
            values = [simd.load(builder, simd.moved(builder, right, v * simd.LANES)) for v in range(vectors)]
            for r in range(rows):
                number = simd.splat(builder, builder.load(simd.moved(builder, left, lefts[r])))
                for v in range(vectors):
                    sums[r * vectors + v] = simd.fma(builder, number, values[v], sums[r * vectors + v])
            *sums, _, _ = loop.end([*sums, simd.moved(builder, left, ks), simd.moved(builder, right, ldb)])
            for i, (place, value) in enumerate(zip(places, sums, strict=True)):
                simd.store_part(builder, value, place, masks[i % vectors])
            return context.get_dummy_value()

        return signature, emit

    result: Callable[..., Any] = tile
    return result


_block_3, _block_2, _block_1 = _tile(ROWS, 3), _tile(ROWS, 2), _tile(ROWS, 1)
_row_3, _row_2, _row_1 = _tile(1, 3), _tile(1, 2), _tile(1, 1)


@jit
def product(
    M: int, N: int, K: int, a: Array, ao: int, rs: int, ks: int, b: Array, bo: int, ldb: int, panel: int, c: Array,
    co: int, ldc: int, add: int,
) -> None:  # fmt: skip
    """C (M, N) = A (M, K) B (K, N), added to what is there if add is 1; all flat float32 arrays.

    Arguments:
        a, ao, rs, ks: A[m, k] is a[ao + m·rs + k·ks].
        b, bo, ldb, panel: B[k, j] is b[bo + (j // PANEL)·panel + k·ldb + j % PANEL]; of a `packed` B ldb = PANEL and
            panel = K·PANEL, of one as it lies panel = PANEL. Rows are read to the next multiple of LANES.
        c, co, ldc: C[m, j] is c[co + m·ldc + j].
    """
    blocks = M // ROWS * ROWS
    for p in range((N + PANEL - 1) // PANEL):
        first, right = p * PANEL, bo + p * panel
        columns = min(PANEL, N - first)
        for m in range(0, blocks, ROWS):
            left, target = ao + m * rs, co + m * ldc + first
            if columns > 2 * simd.LANES:
                _block_3(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
            elif columns > simd.LANES:
                _block_2(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
            else:
                _block_1(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
        for m in range(blocks, M):
            left, target = ao + m * rs, co + m * ldc + first
            if columns > 2 * simd.LANES:
                _row_3(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
            elif columns > simd.LANES:
                _row_2(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
            else:
                _row_1(a, left, rs, ks, K, b, right, ldb, c, target, ldc, columns, add)
