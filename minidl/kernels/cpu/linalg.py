"""Products of large float32 matrices by our own blocks of registers; all others go to `portable`.

The smaller operand is copied into panels (`products`), once, shared by all threads; then every thread takes some rows
of the result and some panels. K is cut into pieces whose panels stay in the cache.

    for rows and panels of C, shared out over threads
        for pieces of K
            product of a piece of the rows of A and of the panels of B, added to C, which a bias has filled before
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.arrays import dense, scratch
from minidl.kernels.cpu.jit import INTERPRETED, jit
from minidl.kernels.cpu.products import PANEL, ROWS, product
from minidl.kernels.cpu.vectors import copied
from minidl.kernels.threads import parallel_for

_FLOAT = np.dtype(np.float32)
_SMALL = 1 << 17  # multiply-adds up to which BLAS, called at once, is as fast
_CHUNK = 1 << 22  # multiply-adds of one chunk: some 50 µs
_FEW = 64  # rows for which B is read as it lies
_MANY = 8  # blocks of rows that are enough to share out
_KEPT = 1 << 22  # numbers of panels that a thread keeps room for
_STRIP = 4 * simd.LANES  # rows of Aᵀ copied side by side
_NONE = np.empty(0, np.float32)  # no bias
_DEPTH = 512  # numbers of K in a piece: a panel of them takes 96 KiB


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """See `portable.matmul`."""
    if out is None and a.dtype is _FLOAT and b.dtype is _FLOAT and a.ndim == b.ndim == 2 and _is_small(a, b):
        return a.dot(b)  # calls BLAS sooner than `np.matmul` does
    if not (a.dtype is _FLOAT and b.dtype is _FLOAT and b.ndim == 2 and a.ndim >= 2 and a.shape[-1] == b.shape[0]):
        return portable.matmul(a, b, out)
    K, N = b.shape
    M = a.size // K if K else 0
    if M * N * K <= _SMALL or min(M, N) < ROWS or (a.ndim > 2 and not a.flags.c_contiguous):
        return portable.matmul(a, b, out)
    shape = (*a.shape[:-1], N)
    if out is not None and not (out.shape == shape and out.dtype is _FLOAT and out.flags.c_contiguous):
        return portable.matmul(a, b, out)
    y = np.empty(shape, np.float32) if out is None else out
    _multiply(a.reshape(M, K), b, y.reshape(M, N))
    return y


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """See `portable.linear`."""
    (M, K), N = x.shape, w.shape[0]
    shared = M * N * K > _SMALL and min(M, N) >= ROWS and w.shape[1] == K
    if b is None or not shared or not (x.dtype is w.dtype is b.dtype is _FLOAT):
        y = matmul(x, w.T)
        if b is not None:
            y += b
        return y
    y = np.empty((M, N), np.float32)
    _multiply(x, w.T, y, dense(b))
    return y


def _is_small(a: Array, b: Array) -> bool:
    K, N = b.shape
    return a.shape[1] == K and a.size * N <= _SMALL


def _multiply(a: Array, b: Array, y: Array, bias: Array = _NONE) -> None:
    """y = a b, plus a bias for each column if there is one."""
    (M, K), N = a.shape, b.shape[1]
    if 2 * M < N and b.strides[0] <= b.strides[1]:  # (Bᵀ Aᵀ)ᵀ: the other one is shorter to copy, and Bᵀ lies in rows
        turned = np.empty((N, M), np.float32)
        _multiply(b.T, a.T, turned)
        np.add(turned.T, bias if bias.size else 0, out=y)
        return
    left, rs, ks = _lying(a)
    right, k_stride, column_stride = _lying(b)
    panels = -(-N // PANEL)
    if M <= _FEW and column_stride == 1 and N % simd.LANES == 0:  # too few rows to pay for a copy
        packed, ldb, panel = right, N, PANEL
    else:
        size = panels * K * PANEL
        packed, ldb, panel = scratch("panels", size) if size <= _KEPT else np.empty(size, np.float32), PANEL, K * PANEL
        at_once = max(1, (1 << 17) // (K * PANEL))
        parallel_for(panels, at_once, lambda i, j: pack(right, k_stride, column_stride, K, N, packed, i, j))
    rows, wide = _shares(M, panels, K)
    blocks = -(-M // rows)
    target = y.reshape(-1)

    def run(start: int, stop: int) -> None:
        copy = scratch("rows of A", _DEPTH * _STRIP)
        for item in range(start, stop):
            m, p = item % blocks * rows, item // blocks * wide
            here = m, min(m + rows, M), p, min(p + wide, panels)
            _rows(left, rs, ks, packed, ldb, panel, bias, target, N, K, *here, copy)

    parallel_for(blocks * -(-panels // wide), 1, run)


def _lying(x: Array) -> tuple[Array, int, int]:
    """The numbers of a matrix in a row, and how far apart rows and columns are."""
    if x.T.flags.c_contiguous and not x.flags.c_contiguous:
        return dense(x.T).reshape(-1), 1, x.shape[0]
    return dense(x).reshape(-1), x.shape[1], 1


def _shares(M: int, panels: int, K: int) -> tuple[int, int]:
    """Rows and panels of a chunk: all panels, so that a piece of A is read once; fewer where there are few rows."""
    work = max(1, PANEL * K)
    rows = min(M, 256, max(64, _CHUNK // (work * panels)))
    rows = -(-rows // ROWS) * ROWS
    wide = panels if _MANY * rows <= M else max(1, _CHUNK // (work * rows))
    return rows, min(panels, wide)


def _turning() -> Callable[..., Any]:
    """panels[po + k·PANEL + j] = b[bo + j·js + k] for j and k below LANES."""
    if INTERPRETED:

        def interpreted(b: Array, bo: int, js: int, panels: Array, po: int) -> None:
            i, j = np.arange(simd.LANES)[:, None], np.arange(simd.LANES)
            panels[po + i * PANEL + j] = b[bo + j * js + i]

        return interpreted

    @intrinsic
    def turn(typing: Any, b: Any, bo: Any, js: Any, panels: Any, po: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            b, bo, js, panels, po = arguments
            source = simd.pointer(context, builder, signature.args[0], b, bo)
            target = simd.pointer(context, builder, signature.args[3], panels, po)
            steps = [builder.mul(simd.constant(j), js) for j in range(simd.LANES)]
            rows = [simd.load(builder, simd.moved(builder, source, step)) for step in steps]
            for k, row in enumerate(simd.transposed(builder, rows)):
                simd.store(builder, row, simd.moved(builder, target, k * PANEL))
            return context.get_dummy_value()

        return types.void(b, types.int64, types.int64, panels, types.int64), emit

    result: Callable[..., Any] = turn
    return result


_turn = _turning()


@jit
def pack(b: Array, ks: int, js: int, K: int, N: int, panels: Array, start: int, stop: int) -> None:
    """Panels start … stop − 1 of B (K, N) as in `products.packed`, B[k, j] being b[k·ks + j·js]; ks or js is 1."""
    for p in range(start, stop):
        columns = min(PANEL, N - p * PANEL)
        target = p * K * PANEL
        if columns < PANEL:
            panels[target : target + K * PANEL] = 0
        if js == 1:
            for k in range(K):
                copied(columns, b, k * ks + p * PANEL, panels, target + k * PANEL)
        else:
            high, wide = K // simd.LANES * simd.LANES, columns // simd.LANES * simd.LANES
            for j in range(0, wide, simd.LANES):
                for k in range(0, high, simd.LANES):
                    _turn(b, (p * PANEL + j) * js + k, js, panels, target + k * PANEL + j)
            for j in range(columns):
                for k in range(high if j < wide else 0, K):
                    panels[target + k * PANEL + j] = b[(p * PANEL + j) * js + k]


@jit
def _rows(
    a: Array, rs: int, ks: int, b: Array, ldb: int, panel: int, bias: Array, c: Array, N: int, K: int, first: int,
    last: int, begin: int, end: int, copy: Array,
) -> None:  # fmt: skip
    """Rows first … last − 1 of the result, in the panels begin … end − 1."""
    columns = min(N, end * PANEL) - begin * PANEL
    if bias.size:
        for m in range(first, last):
            copied(columns, bias, begin * PANEL, c, m * N + begin * PANEL)
    for k in range(0, K, _DEPTH):
        depth = min(_DEPTH, K - k)
        right, target, add = begin * panel + k * ldb, first * N + begin * PANEL, int(k > 0 or bias.size > 0)
        if ks == 1:
            left = first * rs + k
            product(last - first, columns, depth, a, left, rs, 1, b, right, ldb, panel, c, target, N, add)
            continue
        for m in range(first, last, _STRIP):
            height = min(_STRIP, last - m)
            for i in range(depth):
                copied(height, a, m + (k + i) * ks, copy, i * _STRIP)
            left = target + (m - first) * N
            product(height, columns, depth, copy, 0, 1, _STRIP, b, right, ldb, panel, c, left, N, add)
