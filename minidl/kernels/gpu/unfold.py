"""Windows laid out as columns, and back: `unfold.cu`."""

from __future__ import annotations

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.geometry import Padding, Pair, check_gy, conv_windows
from minidl.kernels.gpu.launcher import FLOATS, Kernel, is_float, planes, ready

_IM2COL = Kernel("unfold.cu", "im2col", FLOATS)
_COL2IM = Kernel("unfold.cu", "col2im", FLOATS)


def im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """See `reference.im2col`."""
    if not is_float(x.dtype):
        return portable.im2col(x, kernel, stride, padding, dilation)
    N, C, H, W = x.shape
    v = conv_windows("im2col", (H, W), kernel, stride, padding, dilation)
    cols: Array = array_module(x).empty((N, C * v.KH * v.KW, v.OH * v.OW), x.dtype)
    rows = N * C * v.KH * v.KW
    _IM2COL((x.dtype,), *planes(rows, v.OH * v.OW), ready(x), cols, v, rows)
    return cols


def col2im(cols: Array, input_hw: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """See `reference.col2im`."""
    if not is_float(cols.dtype):
        return portable.col2im(cols, input_hw, kernel, stride, padding, dilation)
    v = conv_windows("col2im", input_hw, kernel, stride, padding, dilation)
    N, C = cols.shape[0], cols.shape[1] // (v.KH * v.KW)
    check_gy("col2im", cols.shape, (N, C * v.KH * v.KW, v.OH * v.OW))
    x: Array = array_module(cols).empty((N, C, v.H, v.W), cols.dtype)
    _COL2IM((x.dtype,), *planes(N * C, v.H * v.W), ready(cols), x, v, N * C)
    return x
