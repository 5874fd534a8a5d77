"""Convolution, ReLU and max pooling as one: `correlate.cu` for windows of 2×2, else `pooled_relu.cu` after it.

After the tensor cores too: they compute the convolution many times faster than its result is written and read again.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.geometry import Padding, Pair, Windows, check_gy, conv_windows, convolution, pooled_hw
from minidl.kernels.gpu.convolution import as_correlation, conv2d_input_grad, conv2d_weight_grad, correlate
from minidl.kernels.gpu.launcher import FLOATS, Kernel, is_float, planes, ready
from minidl.kernels.gpu.pooling import wide
from minidl.kernels.precision import tensor_core_factors

_POOL = Kernel("pooled_relu.cu", "relu_max_pool", FLOATS)
_POOL_GRADIENT = Kernel("pooled_relu.cu", "relu_max_pool_gradient", FLOATS)


def _pooling(out_hw: Pair, kernel: Pair, stride: Pair) -> Windows:
    return conv_windows("conv2d_relu_max_pool2d", out_hw, kernel, stride, (0, 0, 0, 0), (1, 1))


def conv2d_relu_max_pool2d(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    pool_kernel: Pair,
    pool_stride: Pair,
) -> tuple[Array, Array]:
    """See `reference.conv2d_relu_max_pool2d`."""
    s = convolution("conv2d_relu_max_pool2d", x.shape, w.shape, stride, padding, dilation, groups)
    out_hw = pooled_hw(s, pool_kernel, pool_stride)
    dtype = np.result_type(x, w)
    if not is_float(dtype):
        window = (stride, padding, dilation, groups)
        return portable.conv2d_relu_max_pool2d(x, w, b, *window, pool_kernel, pool_stride)
    xp = array_module(x)
    y: Array = xp.empty((s.N, s.O, *out_hw), dtype)
    codes: Array = xp.empty(y.shape, np.uint8)
    if pool_kernel == pool_stride == (2, 2) and tensor_core_factors(y) is None:
        correlate(as_correlation(s), w, x, b, y, codes)
        return y, codes
    z = xp.empty((s.N, s.O, s.windows.OH, s.windows.OW), dtype)
    correlate(as_correlation(s), w, x, b, z)
    v = _pooling((s.windows.OH, s.windows.OW), pool_kernel, pool_stride)
    _POOL((dtype,), *planes(s.N * s.O, v.OH * v.OW), z, y, codes, v, s.N * s.O)
    return y, codes


def conv2d_relu_max_pool2d_grad(
    gy: Array,
    argmax: Array,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    pool_kernel: Pair,
    pool_stride: Pair,
    needs: tuple[bool, bool, bool],
) -> tuple[Array | None, Array | None, Array | None]:
    """See `reference.conv2d_relu_max_pool2d_grad`."""
    window = (stride, padding, dilation, groups)
    if not is_float(gy.dtype):
        return portable.conv2d_relu_max_pool2d_grad(gy, argmax, x, w, *window, pool_kernel, pool_stride, needs)
    s = convolution("conv2d_relu_max_pool2d_grad", x.shape, w.shape, *window)
    check_gy("conv2d_relu_max_pool2d_grad", gy.shape, (s.N, s.O, *pooled_hw(s, pool_kernel, pool_stride)))
    v = _pooling((s.windows.OH, s.windows.OW), pool_kernel, pool_stride)
    gz: Array = array_module(gy).empty((s.N, s.O, v.H, v.W), gy.dtype)
    codes = ready(argmax, np.dtype(np.uint8))
    _POOL_GRADIENT((gy.dtype,), *planes(s.N * s.O, v.H * v.W), ready(gy), codes, gz, v, s.N * s.O)
    gx = conv2d_input_grad(gz, w, (x.shape[2], x.shape[3]), *window) if needs[0] else None
    gw = conv2d_weight_grad(x, gz, (w.shape[2], w.shape[3]), *window) if needs[1] else None
    gb = gz.sum(axis=(0, 2, 3), dtype=wide(gy.dtype)).astype(gy.dtype, copy=False) if needs[2] else None
    return gx, gw, gb
