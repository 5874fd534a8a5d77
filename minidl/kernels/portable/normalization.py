"""Batch normalization over each channel of a batch (Ioffe and Szegedy 2015), added up in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, array_module


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel: m[c] = Σ x/M and v[c] = Σ (x − m[c])²/M over M = N·pixels values.

    Arguments:
        x: (N,C,…).

    Returns:
        mean (C,) and var (C,), in the dtype of x.

    Raises:
        ValueError: there is no value to take the mean of.
    """
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"batch_norm: needs at least one value per channel, x has shape {x.shape}")
    wide = x.astype(_wide(x), copy=False)
    axes = (0, *range(2, x.ndim))
    mean = wide.mean(axis=axes, keepdims=True)
    # The square of the difference, not the difference of the squares, which cancels; no |·|, which is not analytic.
    var = ((wide - mean) ** 2).mean(axis=axes)
    return mean.reshape(-1).astype(x.dtype), var.astype(x.dtype)


def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array, Array]:
    """Normalize each channel over the batch: y = (x − mean)·inv_std·w + b with inv_std = 1/√(var + eps).

    Arguments:
        x: (N,C,…). w, b: (C,), scale and shift; None is 1 and 0. eps: added to the variance.

    Returns:
        y (N,C,…), mean (C,), var (C,) biased, inv_std (C,), all in the dtype of x.
    """
    xp = array_module(x)
    mean, var = batch_norm_stats(x)
    inv_std = (1 / xp.sqrt(var.astype(_wide(x), copy=False) + eps)).astype(x.dtype)
    along = (1, -1) + (1,) * (x.ndim - 2)
    scale = inv_std if w is None else inv_std * w
    y = (x - mean.reshape(along)) * scale.reshape(along)
    if b is not None:
        y += b.reshape(along)
    return y.astype(x.dtype, copy=False), mean, var, inv_std


def batch_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """The gradients of `batch_norm`, mean and variance depending on x.

    With x̂ = (x − mean)·inv_std: gb = Σ gy, gw = Σ gy·x̂, gx = w·inv_std·(gy − gb/M − x̂·gw/M).

    Arguments:
        gy, x: (N,C,…). w: (C,) or None. mean, inv_std: (C,), as `batch_norm` returned them.

    Returns:
        gx (N,C,…), gw (C,), gb (C,), in the dtype of x.
    """
    axes = (0, *range(2, x.ndim))
    along = (1, -1) + (1,) * (x.ndim - 2)
    M = x.size // max(x.shape[1], 1)
    wide_gy = gy.astype(_wide(x), copy=False)
    normalized = (x.astype(_wide(x), copy=False) - mean.reshape(along)) * inv_std.reshape(along)
    gb = wide_gy.sum(axis=axes)
    gw = (wide_gy * normalized).sum(axis=axes)
    scale = inv_std if w is None else inv_std * w
    gx = scale.reshape(along) * (wide_gy - gb.reshape(along) / M - normalized * (gw.reshape(along) / M))
    return gx.astype(x.dtype), gw.astype(x.dtype), gb.astype(x.dtype)


def _wide(x: Array) -> np.dtype[Any]:
    return np.result_type(x.dtype, np.float64)
