"""Batch normalization: `batch_norm.cu`."""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu.launcher import FLOATS, MOST_BLOCKS, Kernel, Sizes, is_float, ready

_SUMS = Kernel("batch_norm.cu", "channel_sums", FLOATS)
_SQUARES = Kernel("batch_norm.cu", "channel_squares", FLOATS)
_GRADIENTS = Kernel("batch_norm.cu", "channel_gradients", FLOATS)
_ADD = Kernel("batch_norm.cu", "add_stretches", FLOATS)
_NORMALIZE = Kernel("batch_norm.cu", "normalize", FLOATS)
_NORMALIZE_GRADIENT = Kernel("batch_norm.cu", "normalize_gradient", FLOATS)

# Numbers of a channel that one block adds up. Not chosen by the GPU: the order of a sum shall be the same on all.
_STRETCH = 8192


class _Channels:
    """x (N, C, …) seen as C channels of M numbers, and how their sums are cut."""

    def __init__(self, x: Array) -> None:
        self.N, self.C = x.shape[:2]
        self.pixels = math.prod(x.shape[2:])
        self.M = self.N * self.pixels
        self.stretches = max(1, -(-self.M // _STRETCH))
        self.xp, self.dtype = array_module(x), x.dtype

    def sums(self, kernel: Kernel, *arrays: Array, count: int = 1, factor: float = 1.0) -> tuple[Array, Array]:
        """(count · C) sums over the channels, times a factor: as float64, and rounded."""
        rows = count * self.C
        parts = self.xp.empty((rows, self.stretches), np.float64)
        grid = (self.stretches, min(self.C, MOST_BLOCKS[1]))
        kernel((self.dtype,), grid, (256,), *arrays, parts, self.C, self.pixels, self.M, _STRETCH)
        totals, rounded = self.xp.empty(rows, np.float64), self.xp.empty(rows, self.dtype)
        _ADD((self.dtype,), (rows,), (32,), parts, totals, rounded, self.stretches, factor)
        return totals, rounded

    @property
    def all(self) -> tuple[Sizes, Sizes]:
        """A grid over all numbers: x in a channel, y over channels."""
        return (min(-(-self.M // 256), 4096), min(self.C, MOST_BLOCKS[1])), (256,)


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """See `reference.batch_norm_stats`."""
    if not is_float(x.dtype) or x.ndim < 2 or x.size == 0:
        return portable.batch_norm_stats(x)
    x, s = ready(x), _Channels(x)
    exact, mean = s.sums(_SUMS, x, factor=1 / s.M)
    return mean, s.sums(_SQUARES, x, exact, factor=1 / s.M)[1]


def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array, Array]:
    """See `reference.batch_norm`."""
    if not is_float(x.dtype):
        return portable.batch_norm(x, w, b, eps)
    mean, var = batch_norm_stats(x)
    x, s = ready(x), _Channels(x)
    y, inv_std = s.xp.empty(x.shape, x.dtype), s.xp.empty(s.C, x.dtype)
    w, b = _as_x(w, x), _as_x(b, x)
    _NORMALIZE((x.dtype,), *s.all, x, w, b, mean, var, y, inv_std, s.C, s.pixels, s.M, eps)
    return y, mean, var, inv_std


def batch_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """See `reference.batch_norm_grad`."""
    if not is_float(x.dtype):
        return portable.batch_norm_grad(gy, x, w, mean, inv_std)
    x, gy, s = ready(x), ready(gy, x.dtype), _Channels(x)
    mean, inv_std = ready(mean, x.dtype), ready(inv_std, x.dtype)
    totals, rounded = s.sums(_GRADIENTS, gy, x, mean, inv_std, count=2)
    gx: Array = s.xp.empty(x.shape, x.dtype)
    w = _as_x(w, x)
    _NORMALIZE_GRADIENT((x.dtype,), *s.all, gy, x, w, mean, inv_std, totals, gx, s.C, s.pixels, s.M)
    return gx, rounded[s.C :], rounded[: s.C]


def _as_x(parameter: Array | None, x: Array) -> Array | None:
    return None if parameter is None else ready(parameter, x.dtype)
