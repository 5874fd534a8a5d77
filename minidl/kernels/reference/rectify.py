"""ReLU and its gradient, number by number."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array


def relu(x: Array) -> Array:
    """The larger of x and 0; nan stays nan.

    Arguments:
        x: real, any shape.

    Returns:
        The shape and dtype of x.
    """
    y = np.empty(x.shape, x.dtype)
    for i in np.ndindex(x.shape):
        y[i] = 0 if x[i] <= 0 else x[i]
    return y


def relu_grad(gy: Array, y: Array) -> Array:
    """gy where y is above 0, and 0 elsewhere, even where gy is infinite.

    Arguments:
        gy: the gradient of the output, real. y: the output, of the same shape; where it is nan, gy passes.

    Returns:
        The shape and dtype of gy.
    """
    gx = np.empty(gy.shape, gy.dtype)
    for i in np.ndindex(gy.shape):
        gx[i] = 0 if y[i] <= 0 else gy[i]
    return gx
