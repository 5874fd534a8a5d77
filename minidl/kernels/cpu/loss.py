"""Cross-entropy of rows of logits with their labels, a row at a time: nothing as large as x is kept in between."""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.vectors import Number, elementwise, exp, largest
from minidl.kernels.threads import parallel_for

_CHUNK = 1 << 17  # numbers of one chunk: about 40 µs


def softmax_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array, Array]:
    """See `reference.softmax_cross_entropy`."""
    if x.dtype != np.float32 or not x.size:
        return portable.softmax_cross_entropy(x, labels)
    N, K = x.shape
    y, shift, total = np.empty(N, np.float32), np.empty(N, np.float32), np.empty(N, np.float32)
    rows, classes = dense(x).reshape(-1), dense(labels.astype(np.int64, copy=False))
    parallel_for(N, max(1, _CHUNK // K), lambda i, j: _losses(rows, classes, K, y, shift, total, i, j))
    return y, shift, total


def softmax_cross_entropy_grad(gy: Array, x: Array, labels: Array, shift: Array, total: Array) -> Array:
    """See `reference.softmax_cross_entropy_grad`."""
    if x.dtype != np.float32 or gy.dtype != np.float32 or not x.size:
        return portable.softmax_cross_entropy_grad(gy, x, labels, shift, total)
    N, K = x.shape
    gx = np.empty(x.shape, np.float32)
    rows, classes, gys, flat = (
        dense(x).reshape(-1),
        dense(labels.astype(np.int64, copy=False)),
        dense(gy),
        gx.reshape(-1),
    )
    parallel_for(N, max(1, _CHUNK // K), lambda i, j: _grads(gys, rows, classes, K, shift, total, flat, i, j))
    return gx


@elementwise(outputs=0, sums=1)
def _weights(x: Number, shift: Number) -> tuple[Number]:
    return (exp(x - shift),)


@elementwise(outputs=1)
def _shares(x: Number, shift: Number, factor: Number) -> tuple[Number]:
    return (exp(x - shift) * factor,)


@jit
def _losses(x: Array, labels: Array, K: int, y: Array, shift: Array, total: Array, start: int, stop: int) -> None:
    for n in range(start, stop):
        m = largest(K, x, n * K)
        s = _weights(K, x, n * K, m)
        y[n], shift[n], total[n] = math.log(s) - (x[n * K + labels[n]] - m), m, s


@jit
def _grads(
    gy: Array, x: Array, labels: Array, K: int, shift: Array, total: Array, gx: Array, start: int, stop: int
) -> None:
    for n in range(start, stop):
        _shares(K, x, n * K, shift[n], gy[n] / total[n], gx, n * K)
        gx[n * K + labels[n]] -= gy[n]
