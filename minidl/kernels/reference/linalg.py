"""Products of matrices."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product y[…,i,j] = Σ_k a[…,i,k]·b[…,k,j], with the broadcasting of `numpy.matmul`.

    Arguments:
        a: (…,M,K) or (K,). b: (…,K,N) or (K,). out: where to write the result, or None.

    Returns:
        y (…,M,N); an axis that a 1-d operand lacks is dropped.

    Raises:
        ValueError: the inner sizes differ.
    """
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ValueError(f"matmul: the inner sizes differ: {a.shape} @ {b.shape}")
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows = np.broadcast_to(rows, batch + rows.shape[-2:])
    columns = np.broadcast_to(columns, batch + columns.shape[-2:])
    y = np.zeros((*batch, rows.shape[-2], columns.shape[-1]), wide(a.dtype, b.dtype))
    for *at, i, j in np.ndindex(*y.shape):
        for k in range(rows.shape[-1]):
            y[*at, i, j] += y.dtype.type(rows[*at, i, k]) * columns[*at, k, j]
    y = y[..., 0] if b.ndim == 1 else y
    y = (y[..., 0, :] if b.ndim > 1 else y[..., 0]) if a.ndim == 1 else y
    result: Array = np.asarray(y).astype(np.result_type(a, b))
    if out is None:
        return result
    out[...] = result
    return out


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """A dense layer: y[m,j] = b[j] + Σ_k x[m,k]·w[j,k].

    Arguments:
        x: (M,K). w: (N,K). b: (N,) or None.

    Returns:
        y (M,N).
    """
    (M, K), N = x.shape, w.shape[0]
    y = np.zeros((M, N), wide(x.dtype, w.dtype))
    for m, j in np.ndindex(M, N):
        if b is not None:
            y[m, j] = b[j]
        for k in range(K):
            y[m, j] += y.dtype.type(x[m, k]) * w[j, k]
    result: Array = y.astype(np.result_type(x, w))
    return result
