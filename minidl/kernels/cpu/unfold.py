"""Windows laid out as columns, and back, plane by plane."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense, is_compiled
from minidl.kernels.cpu.jit import jit
from minidl.kernels.geometry import Padding, Pair, Windows, check_gy, conv_windows
from minidl.kernels.threads import parallel_for

_CHUNK = 1 << 17  # numbers copied by one call: about 50 µs


def im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """See `reference.im2col`."""
    if not is_compiled(x):
        return portable.im2col(x, kernel, stride, padding, dilation)
    N, C, H, W = x.shape
    v = conv_windows("im2col", (H, W), kernel, stride, padding, dilation)
    planes = dense(x).reshape(N * C, H, W)
    cols = np.empty((N * C, v.KH * v.KW, v.OH, v.OW), x.dtype)
    chunk = max(1, _CHUNK // (v.KH * v.KW * v.OH * v.OW))
    parallel_for(N * C, chunk, lambda start, stop: _unfold_planes(planes[start:stop], cols[start:stop], v))
    return cols.reshape(N, C * v.KH * v.KW, v.OH * v.OW)


def col2im(cols: Array, input_hw: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """See `reference.col2im`."""
    if not is_compiled(cols):
        return portable.col2im(cols, input_hw, kernel, stride, padding, dilation)
    v = conv_windows("col2im", input_hw, kernel, stride, padding, dilation)
    N, C = cols.shape[0], cols.shape[1] // (v.KH * v.KW)
    check_gy("col2im", cols.shape, (N, C * v.KH * v.KW, v.OH * v.OW))
    columns = dense(cols).reshape(N * C, v.KH * v.KW, v.OH, v.OW)
    planes = np.empty((N * C, v.H, v.W), cols.dtype)
    chunk = max(1, _CHUNK // (v.KH * v.KW * v.OH * v.OW))
    parallel_for(N * C, chunk, lambda start, stop: _fold_planes(columns[start:stop], planes[start:stop], v))
    return planes.reshape(N, C, v.H, v.W)


@jit
def inside(count: int, stride: int, offset: int, size: int) -> tuple[int, int]:
    """The range of o in 0 … count−1 for which 0 ≤ o·stride + offset < size."""
    first = 0 if offset >= 0 else (stride - 1 - offset) // stride
    last = (size - offset + stride - 1) // stride if offset < size else 0
    first = min(first, count)
    return first, max(first, min(last, count))


@jit
def _unfold_planes(planes: Array, cols: Array, v: Windows) -> None:
    for p in range(planes.shape[0]):
        for i in range(v.KH):
            h_first, h_last = inside(v.OH, v.SH, i * v.DH - v.top, v.H)
            for j in range(v.KW):
                column = j * v.DW - v.left
                w_first, w_last = inside(v.OW, v.SW, column, v.W)
                col = cols[p, i * v.KW + j]
                col[:h_first] = 0
                col[h_last:] = 0
                for oh in range(h_first, h_last):
                    source, target = planes[p, oh * v.SH + i * v.DH - v.top], col[oh]
                    target[:w_first] = 0
                    target[w_last:] = 0
                    for ow in range(w_first, w_last):
                        target[ow] = source[ow * v.SW + column]


@jit
def _fold_planes(cols: Array, planes: Array, v: Windows) -> None:
    planes[:] = 0
    for p in range(planes.shape[0]):
        for i in range(v.KH):
            h_first, h_last = inside(v.OH, v.SH, i * v.DH - v.top, v.H)
            for j in range(v.KW):
                column = j * v.DW - v.left
                w_first, w_last = inside(v.OW, v.SW, column, v.W)
                for oh in range(h_first, h_last):
                    target, source = planes[p, oh * v.SH + i * v.DH - v.top], cols[p, i * v.KW + j, oh]
                    for ow in range(w_first, w_last):
                        target[ow * v.SW + column] += source[ow]
