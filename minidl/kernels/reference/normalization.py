"""Batch normalization over each channel of a batch (Ioffe and Szegedy 2015)."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel: m[c] = Σ x/M and v[c] = Σ (x − m[c])²/M over M = N·pixels values.

    Arguments:
        x: (N,C,…).

    Returns:
        mean (C,) and var (C,), in the dtype of x.

    Raises:
        ValueError: there is no value to take the mean of.
    """
    channels = _channels(x)
    C, M = channels.shape
    mean, var = np.zeros(C, channels.dtype), np.zeros(C, channels.dtype)
    for c in range(C):
        for value in channels[c]:
            mean[c] += value / M
        for value in channels[c]:
            var[c] += (value - mean[c]) ** 2 / M
    return mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array, Array]:
    """Normalize each channel over the batch: y = (x − mean)·inv_std·w + b with inv_std = 1/√(var + eps).

    Arguments:
        x: (N,C,…). w, b: (C,), scale and shift; None is 1 and 0. eps: added to the variance.

    Returns:
        y (N,C,…), mean (C,), var (C,) biased, inv_std (C,), all in the dtype of x.
    """
    mean, var = batch_norm_stats(x)
    inv_std = (1 / np.sqrt(var.astype(wide(x.dtype)) + eps)).astype(x.dtype)
    y = np.zeros(x.shape, wide(x.dtype))
    for n, c in np.ndindex(*x.shape[:2]):
        scale = 1 if w is None else w[c]
        y[n, c] = (x[n, c].astype(y.dtype) - mean[c]) * inv_std[c] * scale + (0 if b is None else b[c])
    return y.astype(x.dtype), mean, var, inv_std


def batch_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """The gradients of `batch_norm`, mean and variance depending on x.

    With x̂ = (x − mean)·inv_std: gb = Σ gy, gw = Σ gy·x̂, gx = w·inv_std·(gy − gb/M − x̂·gw/M).

    Arguments:
        gy, x: (N,C,…). w: (C,) or None. mean, inv_std: (C,), as `batch_norm` returned them.

    Returns:
        gx (N,C,…), gw (C,), gb (C,), in the dtype of x.
    """
    dtype = wide(x.dtype)
    C, M = x.shape[1], x.size // max(x.shape[1], 1)
    gx, gw, gb = np.zeros(x.shape, dtype), np.zeros(C, dtype), np.zeros(C, dtype)
    for c in range(C):
        normalized = (x[:, c].astype(dtype) - mean[c]) * inv_std[c]
        for g, value in zip(gy[:, c].ravel(), normalized.ravel(), strict=True):
            gb[c] += g
            gw[c] += g * value
        scale = inv_std[c] * (1 if w is None else w[c])
        gx[:, c] = scale * (gy[:, c] - gb[c] / M - normalized * gw[c] / M)
    return gx.astype(x.dtype), gw.astype(x.dtype), gb.astype(x.dtype)


def _channels(x: Array) -> Array:
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"batch_norm: needs at least one value per channel, x has shape {x.shape}")
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(wide(x.dtype))
