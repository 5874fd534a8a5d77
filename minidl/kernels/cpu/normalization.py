"""Batch normalization over each channel of a batch, one channel at a time, added up in float64."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense, is_compiled
from minidl.kernels.cpu.jit import jit
from minidl.kernels.threads import parallel_for

_CHUNK = 1 << 16  # values normalized by one call: about 50 µs


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """See `reference.batch_norm_stats`."""
    if not is_compiled(x) or x.ndim < 2 or x.size == 0:
        return portable.batch_norm_stats(x)
    planes = dense(x).reshape(x.shape[0], x.shape[1], -1)
    mean, var = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    parallel_for(x.shape[1], _channels_at_once(planes), lambda start, stop: _moments(planes, mean, var, start, stop))
    return mean, var


def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array, Array]:
    """See `reference.batch_norm`."""
    if not is_compiled(x, w, b) or x.ndim < 2 or x.size == 0:
        return portable.batch_norm(x, w, b, eps)
    C = x.shape[1]
    planes = dense(x).reshape(x.shape[0], C, -1)
    y = np.empty(planes.shape, x.dtype)
    mean, var = np.empty(C, x.dtype), np.empty(C, x.dtype)
    inv_std = np.empty(C, x.dtype)
    scale = np.ones(C, x.dtype) if w is None else dense(w)
    shift = np.zeros(C, x.dtype) if b is None else dense(b)

    def channels(start: int, stop: int) -> None:
        _moments(planes, mean, var, start, stop)
        inv_std[start:stop] = 1 / np.sqrt(var[start:stop].astype(np.float64) + eps)
        _normalize(planes, mean, inv_std, scale, shift, y, start, stop)

    parallel_for(C, _channels_at_once(planes), channels)
    return y.reshape(x.shape), mean, var, inv_std


def batch_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """See `reference.batch_norm_grad`."""
    if not is_compiled(gy, x, w, mean, inv_std) or x.size == 0:
        return portable.batch_norm_grad(gy, x, w, mean, inv_std)
    C = x.shape[1]
    planes = dense(x).reshape(x.shape[0], C, -1)
    gy_planes = dense(gy).reshape(planes.shape)
    gx = np.empty(planes.shape, x.dtype)
    gw, gb = np.empty(C, x.dtype), np.empty(C, x.dtype)
    scale = np.ones(C, x.dtype) if w is None else dense(w)
    m, s = dense(mean), dense(inv_std)
    parallel_for(
        C,
        _channels_at_once(planes),
        lambda start, stop: _normalize_grad(gy_planes, planes, scale, m, s, gx, gw, gb, start, stop),
    )
    return gx.reshape(x.shape), gw, gb


def _channels_at_once(planes: Array) -> int:
    chunk: int = _CHUNK // max(1, planes.shape[0] * planes.shape[2])
    return max(1, chunk)


@jit
def _moments(x: Array, mean: Array, var: Array, start: int, stop: int) -> None:
    N, L = x.shape[0], x.shape[2]
    for c in range(start, stop):
        total = 0.0
        for n in range(N):
            row = x[n, c]
            for i in range(L):
                total += row[i]
        m = total / (N * L)
        total = 0.0
        for n in range(N):
            row = x[n, c]
            for i in range(L):
                total += (row[i] - m) * (row[i] - m)
        mean[c], var[c] = m, total / (N * L)


@jit
def _normalize(x: Array, mean: Array, inv_std: Array, w: Array, b: Array, y: Array, start: int, stop: int) -> None:
    for c in range(start, stop):
        m, scale, shift = mean[c], inv_std[c] * w[c], b[c]
        for n in range(x.shape[0]):
            row, out = x[n, c], y[n, c]
            for i in range(x.shape[2]):
                out[i] = (row[i] - m) * scale + shift


@jit
def _normalize_grad(
    gy: Array,
    x: Array,
    w: Array,
    mean: Array,
    inv_std: Array,
    gx: Array,
    gw: Array,
    gb: Array,
    start: int,
    stop: int,
) -> None:
    N, L = x.shape[0], x.shape[2]
    for c in range(start, stop):
        m, s = mean[c], inv_std[c]
        sum_g, sum_gx = 0.0, 0.0
        for n in range(N):
            g, row = gy[n, c], x[n, c]
            for i in range(L):
                value = float(g[i])
                sum_g += value
                sum_gx += value * ((row[i] - m) * s)
        gw[c], gb[c] = sum_gx, sum_g
        # gx = w·s·(g − gb/M − x̂·gw/M), written as a line in g and x
        scale = s * w[c]
        shift = x.dtype.type(sum_g / (N * L))
        slope = x.dtype.type(sum_gx / (N * L) * s)
        for n in range(N):
            g, row, out = gy[n, c], x[n, c], gx[n, c]
            for i in range(L):
                out[i] = scale * (g[i] - shift - (row[i] - m) * slope)
