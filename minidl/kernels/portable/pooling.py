"""Max and average over windows, one array expression per kernel position, and the ways back."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.geometry import Padding, Pair, Windows, check_gy, pool_windows, window_divisors
from minidl.kernels.portable.padding import bordered_hw, inside_border, kernel_positions, with_border


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
    xp = array_module(x)
    padded = with_border(x, v, -np.inf)
    y = xp.full((N, C, v.OH, v.OW), -np.inf, x.dtype)
    indices = xp.empty(y.shape, np.int64)
    indices[...] = xp.asarray(_first_pixels(v))
    rows, columns = np.arange(v.OH) * v.SH - v.top, np.arange(v.OW) * v.SW - v.left
    for i, j, pixels in kernel_positions(v):
        value = padded[pixels]
        better = (value.real > y.real) | xp.isnan(value.real)
        place = xp.asarray(((rows + i * v.DH) * W)[:, None] + columns + j * v.DW)
        y = xp.where(better, value, y)
        indices = xp.where(better, place, indices)
    return y, indices


def _first_pixels(v: Windows) -> Array:
    """Where each window's first pixel inside the plane is, (OH, OW) int64: the answer if all of them are −∞."""
    first = []
    for count, S, D, before in ((v.OH, v.SH, v.DH, v.top), (v.OW, v.SW, v.DW, v.left)):
        start = np.arange(count) * S - before
        first.append(np.where(start < 0, start + -(start // D) * D, start))
    return first[0][:, None] * v.W + first[1]


def scatter_windows(gy: Array, indices: Array, input_hw: Pair) -> Array:
    """Add every gy[n,c,oh,ow] to the pixel indices[n,c,oh,ow] of its plane: the adjoint of `gather_windows`.

    Arguments:
        gy: (N,C,OH,OW). indices: the same shape, h·W + w. input_hw: (H, W).

    Returns:
        gx (N,C,H,W), in the dtype of gy.
    """
    check_gy("scatter_windows", gy.shape, indices.shape)
    xp = array_module(gy)
    H, W = input_hw
    planes = gy.shape[0] * gy.shape[1]
    gx = xp.zeros(planes * H * W, gy.dtype)
    places = indices.reshape(planes, indices.shape[2] * indices.shape[3]) + (xp.arange(planes) * (H * W))[:, None]
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= H * W):
        raise IndexError(
            f"window indices {int(indices.min())} … {int(indices.max())} lie outside the plane's {H * W} pixels"
        )
    xp.add.at(gx, places.ravel(), gy.ravel())
    result: Array = gx.reshape(*gy.shape[:2], H, W)
    return result


def gather_windows(x: Array, indices: Array) -> Array:
    """Read the pixel that each window chose: y[n,c,oh,ow] = x[n,c] at indices[n,c,oh,ow].

    Arguments:
        x: (N,C,H,W). indices: (N,C,OH,OW), h·W + w.

    Returns:
        y (N,C,OH,OW), in the dtype of x.
    """
    xp = array_module(x)
    N, C, H, W = x.shape
    places = indices.reshape(N, C, indices.shape[2] * indices.shape[3])
    y: Array = xp.take_along_axis(x.reshape(N, C, H * W), places, axis=2)
    return y.reshape(indices.shape)


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
    xp = array_module(x)
    work = np.result_type(x.dtype, np.float32)
    padded = with_border(x, v, 0)
    y = xp.zeros((N, C, v.OH, v.OW), work)
    for _, _, pixels in kernel_positions(v):
        y += padded[pixels]
    y /= xp.asarray(window_divisors(v, count_include_pad, divisor_override).astype(y.real.dtype))
    result: Array = y.astype(x.dtype, copy=False)
    return result


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
    xp = array_module(gy)
    work = np.result_type(gy.dtype, np.float32)
    padded = xp.zeros((*gy.shape[:2], *bordered_hw(v)), work)
    divisors = window_divisors(v, count_include_pad, divisor_override).astype(padded.real.dtype)
    share = gy / xp.asarray(divisors)
    for _, _, pixels in kernel_positions(v):
        padded[pixels] += share
    result: Array = inside_border(padded, v).astype(gy.dtype, copy=False)
    return result
