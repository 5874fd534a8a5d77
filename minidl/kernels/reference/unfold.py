"""Windows laid out as columns, and back."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.geometry import Padding, Pair, check_gy, conv_windows
from minidl.kernels.reference.walk import wide, window_pixels


def im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """Write every window of the image as one column: cols[n, (c·KH + i)·KW + j, oh·OW + ow] = x[n,c,h,w].

    Here h = oh·SH − top + i·DH and w = ow·SW − left + j·DW; outside the image it is 0.

    Arguments:
        x: (N,C,H,W). kernel, stride, dilation: (h, w). padding: (top, bottom, left, right).

    Returns:
        cols (N, C·KH·KW, OH·OW), in the dtype of x.
    """
    N, C, H, W = x.shape
    v = conv_windows("im2col", (H, W), kernel, stride, padding, dilation)
    cols = np.zeros((N, C, v.KH, v.KW, v.OH, v.OW), x.dtype)
    for n, c, oh, ow in np.ndindex(N, C, v.OH, v.OW):
        for i, j, row, column in window_pixels(v, oh, ow):
            cols[n, c, i, j, oh, ow] = x[n, c, row, column]
    return cols.reshape(N, C * v.KH * v.KW, v.OH * v.OW)


def col2im(cols: Array, input_hw: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """Add every column back to where its window lay, the adjoint of `im2col`: overlapping windows add up.

    Arguments:
        cols: (N, C·KH·KW, OH·OW). input_hw: (H, W) of the result. The rest as in `im2col`.

    Returns:
        x (N,C,H,W), in the dtype of cols.
    """
    v = conv_windows("col2im", input_hw, kernel, stride, padding, dilation)
    N, C = cols.shape[0], cols.shape[1] // (v.KH * v.KW)
    check_gy("col2im", cols.shape, (N, C * v.KH * v.KW, v.OH * v.OW))
    columns = cols.reshape(N, C, v.KH, v.KW, v.OH, v.OW)
    x = np.zeros((N, C, v.H, v.W), wide(cols.dtype))
    for n, c, oh, ow in np.ndindex(N, C, v.OH, v.OW):
        for i, j, row, column in window_pixels(v, oh, ow):
            x[n, c, row, column] += columns[n, c, i, j, oh, ow]
    return x.astype(cols.dtype)
