"""Rows brought to mean 0 and variance 1 (Ba, Kiros and Hinton, arXiv:1607.06450)."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def layer_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """Normalize each row: y = (x − mean)·inv_std·w + b with inv_std = 1/√(var + eps), var biased.

    Arguments:
        x: (M,L), L ≥ 1. w, b: (L,); None is 1 and 0. eps: added to the variance.

    Returns:
        y (M,L), mean (M,), inv_std (M,), all in the dtype of x.
    """
    dtype = wide(x.dtype)
    y, mean, inv_std = np.zeros(x.shape, dtype), np.zeros(x.shape[0], dtype), np.zeros(x.shape[0], dtype)
    for m in range(x.shape[0]):
        row = x[m].astype(dtype)
        mean[m] = sum(row) / len(row)
        inv_std[m] = 1 / np.sqrt(sum((row - mean[m]) ** 2) / len(row) + eps)
        y[m] = (row - mean[m]) * inv_std[m] * (1 if w is None else w) + (0 if b is None else b)
    return y.astype(x.dtype), mean.astype(x.dtype), inv_std.astype(x.dtype)


def layer_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """The gradients of `layer_norm`, mean and variance depending on x.

    With x̂ = (x − mean)·inv_std and g = w·gy: gx = inv_std·(g − Σg/L − x̂·Σg·x̂/L), gw = Σ gy·x̂, gb = Σ gy over rows.

    Arguments:
        gy, x: (M,L). w: (L,) or None. mean, inv_std: (M,), as `layer_norm` returned them.

    Returns:
        gx (M,L), gw (L,), gb (L,), in the dtype of x.
    """
    dtype = wide(x.dtype)
    gx, gw, gb = np.zeros(x.shape, dtype), np.zeros(x.shape[1], dtype), np.zeros(x.shape[1], dtype)
    for m in range(x.shape[0]):
        normalized = (x[m].astype(dtype) - mean[m]) * inv_std[m]
        g = gy[m].astype(dtype)
        gw += g * normalized
        gb += g
        g = g if w is None else g * w
        gx[m] = inv_std[m] * (g - sum(g) / len(g) - normalized * (sum(g * normalized) / len(g)))
    return gx.astype(x.dtype), gw.astype(x.dtype), gb.astype(x.dtype)
