"""Convolution, ReLU and max pooling as one function, made of the three."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.geometry import DEAD, Padding, Pair, check_gy, convolution, pooled_hw
from minidl.kernels.portable.convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from minidl.kernels.portable.pooling import max_pool2d, scatter_windows


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
    """Convolution, ReLU and max pooling in one: y = max(0, max over each window of conv2d(x, w, b)).

    Neither the convolution's output nor its ReLU is kept; a byte per window remembers the winner.

    Arguments:
        x, w, b, stride, padding, dilation, groups: as in `conv2d`.
        pool_kernel, pool_stride: (h, w); only whole windows count, without padding.

    Returns:
        y (N,O,PH,PW), in the dtype of x, and argmax (N,O,PH,PW) uint8: i·KW + j of the first largest pixel in its
        window, or `DEAD` where that pixel is not above 0.
    """
    s = convolution("conv2d_relu_max_pool2d", x.shape, w.shape, stride, padding, dilation, groups)
    out_hw = pooled_hw(s, pool_kernel, pool_stride)
    xp = array_module(x)
    z = conv2d(x, w, b, stride, padding, dilation, groups)
    y, indices = max_pool2d(z, pool_kernel, pool_stride, (0, 0, 0, 0), (1, 1), out_hw)
    rows = indices // s.windows.OW - (xp.arange(out_hw[0]) * pool_stride[0])[:, None]
    columns = indices % s.windows.OW - xp.arange(out_hw[1]) * pool_stride[1]
    dead = y.real <= 0
    argmax = xp.where(dead, DEAD, rows * pool_kernel[1] + columns).astype(np.uint8)
    return xp.where(dead, y.dtype.type(0), y), argmax


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
    """The gradients of `conv2d_relu_max_pool2d`: every gy goes to its window's winner, and from there through conv2d.

    Arguments:
        gy: (N,O,PH,PW). argmax: as the forward function returned it. x, w and the rest: as given to it.
        needs: whether the gradients of (x, w, b) are wanted.

    Returns:
        gx (N,C,H,W), gw (O,C/G,KH,KW), gb (O,); None for each that is not wanted.
    """
    s = convolution("conv2d_relu_max_pool2d_grad", x.shape, w.shape, stride, padding, dilation, groups)
    out_hw = pooled_hw(s, pool_kernel, pool_stride)
    check_gy("conv2d_relu_max_pool2d_grad", gy.shape, (s.N, s.O, *out_hw))
    xp = array_module(x)
    dead = argmax == DEAD
    position = xp.where(dead, 0, argmax).astype(np.int64)
    rows = position // pool_kernel[1] + (xp.arange(out_hw[0]) * pool_stride[0])[:, None]
    columns = position % pool_kernel[1] + xp.arange(out_hw[1]) * pool_stride[1]
    alive = xp.where(dead, gy.dtype.type(0), gy)
    gz = scatter_windows(alive, rows * s.windows.OW + columns, (s.windows.OH, s.windows.OW))
    window = (stride, padding, dilation, groups)
    gx = conv2d_input_grad(gz, w, (x.shape[2], x.shape[3]), *window) if needs[0] else None
    gw = conv2d_weight_grad(x, gz, (w.shape[2], w.shape[3]), *window) if needs[1] else None
    wide = np.result_type(gy.dtype, np.float64)
    gb = alive.sum(axis=(0, 2, 3), dtype=wide).astype(gy.dtype) if needs[2] else None
    return gx, gw, gb
