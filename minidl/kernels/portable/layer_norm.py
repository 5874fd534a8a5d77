"""Rows brought to mean 0 and variance 1, as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, array_module


def layer_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """See `reference.layer_norm`."""
    mean = _row_mean(x)
    y = x - mean[:, None]
    inv_std: Array = 1 / array_module(x).sqrt(_row_mean(y * y) + y.real.dtype.type(eps))
    y *= inv_std[:, None]
    if w is not None:
        y *= w
    if b is not None:
        y += b
    return y, mean, inv_std


def layer_norm_grad(gy: Array, x: Array, w: Array | None, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """See `reference.layer_norm_grad`."""
    normalized = (x - mean[:, None]) * inv_std[:, None]
    gw = (gy * normalized).sum(axis=0, dtype=_wide(x)).astype(x.dtype, copy=False)
    gb = gy.sum(axis=0, dtype=_wide(x)).astype(x.dtype, copy=False)
    gx = gy.copy() if w is None else gy * w
    along = _row_mean(gx * normalized)
    gx -= _row_mean(gx)[:, None]
    gx -= normalized * along[:, None]
    gx *= inv_std[:, None]
    return gx, gw, gb


def _wide(x: Array) -> np.dtype[Any]:
    """The dtype to add in: float16 adds up in float32."""
    return np.result_type(x.dtype, np.float32)


def _row_mean(x: Array) -> Array:
    mean: Array = x.mean(axis=1, dtype=_wide(x)).astype(x.dtype, copy=False)
    return mean
