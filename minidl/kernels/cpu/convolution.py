"""Convolution and its gradients: by Winograd's tiles (`winograd`) where they pay, otherwise directly (`direct`).

Images with nan, infinity or outliers (`winograd.is_moderate`) are left out by the tiles and computed directly. float64
and other dtypes go to the products of unfolded images in `portable`.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu import direct, winograd, winograd_convolution, winograd_weights
from minidl.kernels.cpu.arrays import dense
from minidl.kernels.geometry import Padding, Pair, check_gy, convolution


def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    """See `reference.conv2d`."""
    if not is_float32(x, w, b):
        return portable.conv2d(x, w, b, stride, padding, dilation, groups)
    s = convolution("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    y = np.empty((s.N, s.O, s.windows.OH, s.windows.OW), np.float32)
    if y.size == 0:
        return y
    images = dense(x)
    if not winograd.pays(s):
        direct.conv2d(images, w, b, s, y)
        return y
    rest = winograd_convolution.conv2d(images, w, b, s, y)
    if rest.size:
        few = y[rest]
        direct.conv2d(images[rest], w, b, s._replace(N=rest.size), few)
        y[rest] = few
    return y


def conv2d_input_grad(
    gy: Array, w: Array, input_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """See `reference.conv2d_input_grad`."""
    if not is_float32(gy, w):
        return portable.conv2d_input_grad(gy, w, input_hw, stride, padding, dilation, groups)
    shape = (gy.shape[0], w.shape[1] * groups, *input_hw)
    s = convolution("conv2d_input_grad", shape, w.shape, stride, padding, dilation, groups)
    check_gy("conv2d_input_grad", gy.shape, (s.N, s.O, s.windows.OH, s.windows.OW))
    gx = np.empty(shape, np.float32)
    if gx.size == 0:
        return gx
    gradients = dense(gy)
    if not winograd.pays_back(s):
        direct.conv2d_input_grad(gradients, w, s, gx)
        return gx
    rest = winograd_convolution.conv2d_input_grad(gradients, w, s, gx)
    if rest.size:
        few = gx[rest]
        direct.conv2d_input_grad(gradients[rest], w, s._replace(N=rest.size), few)
        gx[rest] = few
    return gx


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """See `reference.conv2d_weight_grad`."""
    if not is_float32(x, gy):
        return portable.conv2d_weight_grad(x, gy, kernel_hw, stride, padding, dilation, groups)
    w_shape = (gy.shape[1], x.shape[1] // groups, *kernel_hw)
    s = convolution("conv2d_weight_grad", x.shape, w_shape, stride, padding, dilation, groups)
    check_gy("conv2d_weight_grad", gy.shape, (s.N, s.O, s.windows.OH, s.windows.OW))
    if s.N == 0:
        return np.zeros(w_shape, np.float32)
    images, gradients = dense(x), dense(gy)
    if not winograd_weights.pays(s):
        return direct.conv2d_weight_grad(images, gradients, s)
    gw, rest = winograd_weights.weight_grad(images, gradients, None, s)
    if rest.size:
        gw += direct.conv2d_weight_grad(images[rest], gradients[rest], s._replace(N=rest.size))
    return gw


def is_float32(*arrays: Array | None) -> bool:
    """True if all arrays are float32, which the tiles are made for."""
    return all(array is None or array.dtype == np.float32 for array in arrays)
