"""Convolution (cross-correlation, as everywhere in deep learning) and its two gradients."""

from __future__ import annotations

from itertools import product

import numpy as np

from minidl.backend import Array
from minidl.kernels.geometry import Padding, Pair, check_gy, convolution
from minidl.kernels.reference.walk import wide, window_pixels


def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    """Slide every filter over the image: y[n,o,oh,ow] = b[o] + Σ_c Σ_i Σ_j x[n,c,h,w]·w[o,c,i,j].

    Here h = oh·SH − top + i·DH and w = ow·SW − left + j·DW; outside the image x is 0. Output channel o sees only the
    C/G input channels of its own group.

    Arguments:
        x: (N,C,H,W). w: (O,C/G,KH,KW). b: (O,) or None.
        stride, dilation: (h, w). padding: (top, bottom, left, right). groups: G, divides C and O.

    Returns:
        y (N,O,OH,OW), in the dtype of x.
    """
    s = convolution("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    v = s.windows
    y = np.zeros((s.N, s.O, v.OH, v.OW), wide(x.dtype, w.dtype))
    for n, o, oh, ow in np.ndindex(*y.shape):
        total = b[o] if b is not None else 0
        for c, (i, j, row, column) in product(range(s.C // s.G), window_pixels(v, oh, ow)):
            channel = o // (s.O // s.G) * (s.C // s.G) + c
            total = total + y.dtype.type(x[n, channel, row, column]) * w[o, c, i, j]
        y[n, o, oh, ow] = total
    return y.astype(np.result_type(x, w))


def conv2d_input_grad(
    gy: Array, w: Array, input_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """What each input pixel did to the output: gx[n,c,h,w] = Σ gy[n,o,oh,ow]·w[o,c,i,j] over all windows it was in.

    It is also the transposed convolution.

    Arguments:
        gy: (N,O,OH,OW). w: (O,C/G,KH,KW). input_hw: (H, W). The rest as in `conv2d`.

    Returns:
        gx (N,C,H,W), in the dtype of gy.
    """
    N, C = gy.shape[0], w.shape[1] * groups
    s = convolution("conv2d_input_grad", (N, C, *input_hw), w.shape, stride, padding, dilation, groups)
    v = s.windows
    check_gy("conv2d_input_grad", gy.shape, (s.N, s.O, v.OH, v.OW))
    gx = np.zeros((s.N, s.C, v.H, v.W), wide(gy.dtype, w.dtype))
    for n, o, oh, ow in np.ndindex(*gy.shape):
        for c, (i, j, row, column) in product(range(s.C // s.G), window_pixels(v, oh, ow)):
            channel = o // (s.O // s.G) * (s.C // s.G) + c
            gx[n, channel, row, column] += gx.dtype.type(gy[n, o, oh, ow]) * w[o, c, i, j]
    return gx.astype(np.result_type(gy, w))


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """What each weight did to the output: gw[o,c,i,j] = Σ gy[n,o,oh,ow]·x[n,c,h,w] over all windows and images.

    Arguments:
        x: (N,C,H,W). gy: (N,O,OH,OW). kernel_hw: (KH, KW). The rest as in `conv2d`.

    Returns:
        gw (O,C/G,KH,KW), in the dtype of x.
    """
    w_shape = (gy.shape[1], x.shape[1] // groups, *kernel_hw)
    s = convolution("conv2d_weight_grad", x.shape, w_shape, stride, padding, dilation, groups)
    v = s.windows
    check_gy("conv2d_weight_grad", gy.shape, (s.N, s.O, v.OH, v.OW))
    gw = np.zeros(w_shape, wide(x.dtype, gy.dtype))
    for n, o, oh, ow in np.ndindex(*gy.shape):
        for c, (i, j, row, column) in product(range(s.C // s.G), window_pixels(v, oh, ow)):
            channel = o // (s.O // s.G) * (s.C // s.G) + c
            gw[o, c, i, j] += gw.dtype.type(gy[n, o, oh, ow]) * x[n, channel, row, column]
    return gw.astype(np.result_type(x, gy))
