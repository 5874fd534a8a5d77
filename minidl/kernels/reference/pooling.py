"""Max and average over windows, and the ways back."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.geometry import Padding, Pair, check_gy, pool_windows, window_divisors
from minidl.kernels.reference.walk import wide, window_pixels


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, out_hw: Pair
) -> tuple[Array, Array]:
    """The largest pixel of every window, y[n,c,oh,ow] = max over the window of x[n,c,h,w], and where it was.

    Padding is −∞, so it never wins. Of equal pixels the first wins, row by row. A NaN wins over any number. Complex
    numbers (the complex-step check) compare by their real part.

    Arguments:
        x: (N,C,H,W). kernel, stride, dilation: (h, w). padding: (top, bottom, left, right).
        out_hw: (OH, OW), so that the caller may round up (ceil_mode).

    Returns:
        y (N,C,OH,OW) in the dtype of x, and indices (N,C,OH,OW) int64, h·W + w in the plane.
    """
    N, C, H, W = x.shape
    v = pool_windows("max_pool2d", (H, W), kernel, stride, padding, dilation, out_hw)
    y = np.zeros((N, C, v.OH, v.OW), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for n, c, oh, ow in np.ndindex(*y.shape):
        best = None
        for _, _, row, column in window_pixels(v, oh, ow):
            value = x[n, c, row, column]
            if best is None or value.real > best.real or np.isnan(value.real):
                best = value
                indices[n, c, oh, ow] = row * W + column
        y[n, c, oh, ow] = best
    return y, indices


def scatter_windows(gy: Array, indices: Array, input_hw: Pair) -> Array:
    """Add every gy[n,c,oh,ow] to the pixel indices[n,c,oh,ow] of its plane: the adjoint of `gather_windows`.

    Arguments:
        gy: (N,C,OH,OW). indices: the same shape, h·W + w. input_hw: (H, W).

    Returns:
        gx (N,C,H,W), in the dtype of gy.
    """
    check_gy("scatter_windows", gy.shape, indices.shape)
    gx = np.zeros((*gy.shape[:2], input_hw[0] * input_hw[1]), wide(gy.dtype))
    for n, c, oh, ow in np.ndindex(*gy.shape):
        gx[n, c, indices[n, c, oh, ow]] += gy[n, c, oh, ow]
    return gx.reshape(*gy.shape[:2], *input_hw).astype(gy.dtype)


def gather_windows(x: Array, indices: Array) -> Array:
    """Read the pixel that each window chose: y[n,c,oh,ow] = x[n,c] at indices[n,c,oh,ow].

    Arguments:
        x: (N,C,H,W). indices: (N,C,OH,OW), h·W + w.

    Returns:
        y (N,C,OH,OW), in the dtype of x.
    """
    y = np.zeros(indices.shape, x.dtype)
    for n, c, oh, ow in np.ndindex(*indices.shape):
        row, column = divmod(int(indices[n, c, oh, ow]), x.shape[3])
        y[n, c, oh, ow] = x[n, c, row, column]
    return y


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    out_hw: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """The mean of every window: y[n,c,oh,ow] = Σ over the window of x[n,c,h,w] / divisor[oh,ow].

    The divisor counts the window's cells, cut where the padded plane ends; without `count_include_pad` only those
    that are pixels; `divisor_override` replaces it.

    Arguments:
        x: (N,C,H,W). kernel, stride: (h, w). padding: (top, bottom, left, right). out_hw: (OH, OW).

    Returns:
        y (N,C,OH,OW), in the dtype of x.
    """
    N, C, H, W = x.shape
    v = pool_windows("avg_pool2d", (H, W), kernel, stride, padding, (1, 1), out_hw)
    divisors = window_divisors(v, count_include_pad, divisor_override)
    y = np.zeros((N, C, v.OH, v.OW), wide(x.dtype))
    for n, c, oh, ow in np.ndindex(*y.shape):
        for _, _, row, column in window_pixels(v, oh, ow):
            y[n, c, oh, ow] += x[n, c, row, column]
        y[n, c, oh, ow] /= divisors[oh, ow]
    return y.astype(x.dtype)


def avg_pool2d_grad(
    gy: Array,
    input_hw: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Share every gy[n,c,oh,ow] / divisor[oh,ow] with the pixels of its window: the adjoint of `avg_pool2d`.

    Arguments:
        gy: (N,C,OH,OW). input_hw: (H, W). The rest as in `avg_pool2d`.

    Returns:
        gx (N,C,H,W), in the dtype of gy.
    """
    v = pool_windows("avg_pool2d_grad", input_hw, kernel, stride, padding, (1, 1), (gy.shape[2], gy.shape[3]))
    divisors = window_divisors(v, count_include_pad, divisor_override)
    gx = np.zeros((*gy.shape[:2], v.H, v.W), wide(gy.dtype))
    for n, c, oh, ow in np.ndindex(*gy.shape):
        for _, _, row, column in window_pixels(v, oh, ow):
            gx[n, c, row, column] += gy[n, c, oh, ow] / divisors[oh, ow]
    return gx.astype(gy.dtype)
