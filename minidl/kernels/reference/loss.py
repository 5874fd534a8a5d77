"""Cross-entropy of rows of logits with their labels."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def softmax_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array, Array]:
    """y[n] = ln Σ_k exp(x[n,k] − m[n]) − (x[n,c] − m[n]), with m the largest of the row and c its label.

    Arguments:
        x: logits (N,K), K ≥ 1. labels: (N,), integers in [0, K).

    Returns:
        y (N,), m (N,) and the sums Σ exp(x − m) (N,); y and the sums at least float32.
    """
    dtype = np.result_type(x.dtype, np.float32)
    y, shift, total = np.zeros(x.shape[0], dtype), np.zeros(x.shape[0], x.real.dtype), np.zeros(x.shape[0], dtype)
    for n in range(x.shape[0]):
        shift[n] = x[n].real.max()
        row = x[n].astype(wide(x.dtype)) - shift[n]
        total[n] = np.exp(row).sum()
        y[n] = np.log(np.exp(row).sum()) - row[labels[n]]
    return y, shift, total


def softmax_cross_entropy_grad(gy: Array, x: Array, labels: Array, shift: Array, total: Array) -> Array:
    """gx[n,k] = (exp(x[n,k] − m[n]) / Σ − [k = c]) gy[n].

    Arguments:
        gy: (N,). The others as `softmax_cross_entropy` got and gave them.

    Returns:
        gx (N,K), in the dtype of x.
    """
    gx = np.zeros(x.shape, wide(x.dtype))
    for n, k in np.ndindex(*x.shape):
        p = np.exp(gx.dtype.type(x[n, k]) - shift[n]) / total[n]
        gx[n, k] = (p - (k == labels[n])) * gy[n]
    return gx.astype(x.dtype)
