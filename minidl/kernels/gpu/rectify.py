"""ReLU and its gradient: `rectify.cu`."""

from __future__ import annotations

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu.launcher import FLOATS, Kernel, is_float, ready, spread

_RELU = Kernel("rectify.cu", "relu", FLOATS)
_GRADIENT = Kernel("rectify.cu", "relu_gradient", FLOATS)


def relu(x: Array) -> Array:
    """See `reference.relu`."""
    if not is_float(x.dtype):
        return portable.relu(x)
    y: Array = array_module(x).empty(x.shape, x.dtype)
    _RELU((x.dtype,), *spread(x.size), ready(x), y, x.size)
    return y


def relu_grad(gy: Array, y: Array) -> Array:
    """See `reference.relu_grad`."""
    if not is_float(gy.dtype) or y.dtype != gy.dtype or y.shape != gy.shape:
        return portable.relu_grad(gy, y)
    gx: Array = array_module(gy).empty(gy.shape, gy.dtype)
    _GRADIENT((gy.dtype,), *spread(gy.size), ready(gy), ready(y), gx, gy.size)
    return gx
