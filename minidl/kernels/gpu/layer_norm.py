"""Rows brought to mean 0 and variance 1: `layer_norm.cu`."""

from __future__ import annotations

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu.launcher import FLOATS, MOST_BLOCKS, Kernel, Sizes, is_float, ready
from minidl.kernels.gpu.pooling import wide
from minidl.kernels.gpu.slices import add_slices

_NORM = Kernel("layer_norm.cu", "layer_norm", FLOATS)
_GRADIENT = Kernel("layer_norm.cu", "layer_norm_gradient", FLOATS)
_COLUMN_SUMS = Kernel("layer_norm.cu", "column_sums", FLOATS)

# Rows that one thread adds up; not chosen by the GPU, so that the order of a sum is the same on all.
_SLICE = 64


def layer_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """See `reference.layer_norm`."""
    if not is_float(x.dtype):
        return portable.layer_norm(x, w, b, eps)
    xp, (M, L) = array_module(x), x.shape
    y, mean, inv_std = (xp.empty(shape, x.dtype) for shape in (x.shape, M, M))
    w, b = (None if p is None else ready(p, x.dtype) for p in (w, b))
    _NORM((x.dtype,), *_rows(M), ready(x), w, b, y, mean, inv_std, M, L, eps)
    return y, mean, inv_std


def layer_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """See `reference.layer_norm_grad`."""
    if not is_float(x.dtype):
        return portable.layer_norm_grad(gy, x, w, mean, inv_std)
    xp, (M, L) = array_module(x), x.shape
    gy, x, mean, inv_std = ready(gy, x.dtype), ready(x), ready(mean, x.dtype), ready(inv_std, x.dtype)
    gx: Array = xp.empty(x.shape, x.dtype)
    weights = None if w is None else ready(w, x.dtype)
    _GRADIENT((x.dtype,), *_rows(M), gy, x, weights, mean, inv_std, gx, M, L)
    rows = max(_SLICE, -(-M // MOST_BLOCKS[1]))
    slices = max(1, -(-M // rows))
    parts = xp.empty((2, slices, L), wide(x.dtype))
    _COLUMN_SUMS((x.dtype,), (-(-L // 128), slices), (128,), gy, x, mean, inv_std, parts, M, L, rows)
    gw, gb = (add_slices(part, xp.empty(L, x.dtype)) for part in parts)
    return gx, gw, gb


def _rows(M: int) -> tuple[Sizes, Sizes]:
    return (min(M, 1 << 20),), (128,)
