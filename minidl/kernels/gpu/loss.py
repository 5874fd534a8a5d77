"""The loss of a classifier and its gradient: `softmax_cross_entropy.cu`."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu.launcher import FLOATS, Kernel, Sizes, is_float, ready
from minidl.kernels.gpu.pooling import wide

_LOSS = Kernel("softmax_cross_entropy.cu", "softmax_cross_entropy", FLOATS)
_GRADIENT = Kernel("softmax_cross_entropy.cu", "softmax_cross_entropy_gradient", FLOATS)


def softmax_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array, Array]:
    """See `reference.softmax_cross_entropy`; a label that is no class gives nan."""
    if not is_float(x.dtype):
        return portable.softmax_cross_entropy(x, labels)
    xp, (N, K) = array_module(x), x.shape
    y, shift, total = (xp.empty(N, dtype) for dtype in (wide(x.dtype), x.dtype, wide(x.dtype)))
    _LOSS((x.dtype,), *_rows(N), ready(x), ready(labels, np.dtype(np.int64)), y, shift, total, N, K)
    return y, shift, total


def softmax_cross_entropy_grad(gy: Array, x: Array, labels: Array, shift: Array, total: Array) -> Array:
    """See `reference.softmax_cross_entropy_grad`."""
    if not is_float(x.dtype):
        return portable.softmax_cross_entropy_grad(gy, x, labels, shift, total)
    N, K = x.shape
    gx: Array = array_module(x).empty(x.shape, x.dtype)
    given = ready(gy, x.dtype), ready(x), ready(labels, np.dtype(np.int64)), ready(shift), ready(total)
    _GRADIENT((x.dtype,), *_rows(N), *given, gx, N, K)
    return gx


def _rows(N: int) -> tuple[Sizes, Sizes]:
    return (min(N, 1 << 20),), (128,)
