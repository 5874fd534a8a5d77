"""Convolution, ReLU and max pooling as one function, spelled out as the three."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.geometry import DEAD, Padding, Pair, convolution, pooled_hw
from minidl.kernels.reference.convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from minidl.kernels.reference.pooling import max_pool2d
from minidl.kernels.reference.walk import wide


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
    z = conv2d(x, w, b, stride, padding, dilation, groups)
    y, indices = max_pool2d(z, pool_kernel, pool_stride, (0, 0, 0, 0), (1, 1), pooled_hw(s, pool_kernel, pool_stride))
    argmax = np.full(y.shape, DEAD, np.uint8)
    for n, o, ph, pw in np.ndindex(*y.shape):
        if y[n, o, ph, pw].real <= 0:
            y[n, o, ph, pw] = 0
        else:
            row, column = divmod(int(indices[n, o, ph, pw]), s.windows.OW)
            i, j = row - ph * pool_stride[0], column - pw * pool_stride[1]
            argmax[n, o, ph, pw] = i * pool_kernel[1] + j
    return y, argmax


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
    gz = np.zeros((s.N, s.O, s.windows.OH, s.windows.OW), wide(gy.dtype))
    for n, o, ph, pw in np.ndindex(*gy.shape):
        if argmax[n, o, ph, pw] != DEAD:
            i, j = divmod(int(argmax[n, o, ph, pw]), pool_kernel[1])
            gz[n, o, ph * pool_stride[0] + i, pw * pool_stride[1] + j] += gy[n, o, ph, pw]
    window = (stride, padding, dilation, groups)
    gx = conv2d_input_grad(gz, w, (x.shape[2], x.shape[3]), *window).astype(x.dtype) if needs[0] else None
    gw = conv2d_weight_grad(x, gz, (w.shape[2], w.shape[3]), *window).astype(w.dtype) if needs[1] else None
    gb = gz.sum(axis=(0, 2, 3)).astype(gy.dtype) if needs[2] else None
    return gx, gw, gb
