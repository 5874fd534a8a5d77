"""The loss of a classifier and its gradient: `softmax_cross_entropy.cu`."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.gpu.launcher import FLOATS, Kernel, ready
from minidl.kernels.gpu.pooling import wide

_LOSS = Kernel("softmax_cross_entropy.cu", "softmax_cross_entropy", FLOATS)


def softmax_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array]:
    """The losses −ln softmax(x)_c of rows of scores with their labels c, and their gradient, softmax(x) − [k = c].

    Arguments:
        x: (N, K), floating. labels: (N,), integers in [0, K).

    Returns:
        losses (N,), float32 for float16, and gx (N, K), in the dtype of x.
    """
    xp, (N, K) = array_module(x), x.shape
    losses: Array = xp.empty(N, wide(x.dtype))
    gx: Array = xp.empty(x.shape, x.dtype)
    _LOSS((x.dtype,), (min(N, 1 << 20),), (128,), ready(x), ready(labels, np.dtype(np.int64)), losses, gx, N, K)
    return losses, gx


def softmax_cross_entropy_grad(gy: Array, x: Array, labels: Array, unit: Array) -> Array:
    """The gradient of x for that of the losses, gy (N,); `unit` is what `softmax_cross_entropy` kept, for gy = 1."""
    gx: Array = unit * gy.astype(unit.dtype, copy=False)[:, None]
    return gx
