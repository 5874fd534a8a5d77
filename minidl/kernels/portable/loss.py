"""Cross-entropy of rows of logits with their labels, as array expressions."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module


def softmax_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array, Array]:
    """See `reference.softmax_cross_entropy`."""
    xp = array_module(x)
    shift = x.real.max(axis=1)
    y = x - shift[:, None]
    chosen = y[xp.arange(x.shape[0]), labels]
    total = xp.exp(y, out=y).sum(axis=1, dtype=np.float32 if x.dtype == np.float16 else None)
    return xp.log(total) - chosen, shift, total


def softmax_cross_entropy_grad(gy: Array, x: Array, labels: Array, shift: Array, total: Array) -> Array:
    """See `reference.softmax_cross_entropy_grad`."""
    xp = array_module(x)
    p = x - shift[:, None]
    xp.exp(p, out=p)
    p /= total[:, None].astype(x.dtype, copy=False)
    p[xp.arange(x.shape[0]), labels] -= 1
    p *= gy.astype(x.dtype, copy=False)[:, None]
    return p
