"""Windows laid out as columns, and back, one copy per kernel position."""

from __future__ import annotations

from minidl.backend import Array, array_module
from minidl.kernels.geometry import Padding, Pair, check_gy, conv_windows
from minidl.kernels.portable.padding import bordered_hw, inside_border, kernel_positions, with_border


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
    padded = with_border(x, v, 0)
    cols: Array = array_module(x).empty((N, C, v.KH, v.KW, v.OH, v.OW), x.dtype)
    for i, j, pixels in kernel_positions(v):
        cols[:, :, i, j] = padded[pixels]
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
    padded = array_module(cols).zeros((N, C, *bordered_hw(v)), cols.dtype)
    for i, j, pixels in kernel_positions(v):
        padded[pixels] += columns[:, :, i, j]
    return inside_border(padded, v)
