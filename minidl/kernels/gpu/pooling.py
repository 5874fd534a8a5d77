"""Max and average over windows, and the ways back: `pooling.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.geometry import Padding, Pair, Windows, check_gy, pool_windows, window_divisors
from minidl.kernels.gpu.launcher import FLOATS, Kernel, is_float, planes, ready, resident
from minidl.kernels.portable.pooling import gather_windows as gather_windows
from minidl.kernels.selection import may_wait

_MAX = Kernel("pooling.cu", "max_pool", FLOATS)
_SCATTER = Kernel("pooling.cu", "scatter_windows", FLOATS)
_AVERAGE = Kernel("pooling.cu", "avg_pool", FLOATS)
_AVERAGE_GRADIENT = Kernel("pooling.cu", "avg_pool_gradient", FLOATS)


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, out_hw: Pair
) -> tuple[Array, Array]:
    """See `reference.max_pool2d`."""
    if not is_float(x.dtype):
        return portable.max_pool2d(x, kernel, stride, padding, dilation, out_hw)
    N, C, H, W = x.shape
    v = pool_windows("max_pool2d", (H, W), kernel, stride, padding, dilation, out_hw)
    xp = array_module(x)
    y: Array = xp.empty((N, C, v.OH, v.OW), x.dtype)
    indices: Array = xp.empty(y.shape, np.int64)
    _MAX((x.dtype,), *planes(N * C, v.OH * v.OW), ready(x), y, indices, v, N * C)
    return y, indices


def scatter_windows(gy: Array, indices: Array, input_hw: Pair) -> Array:
    """See `reference.scatter_windows`; every sum is made in the order of the windows."""
    if not is_float(gy.dtype):
        return portable.scatter_windows(gy, indices, input_hw)
    check_gy("scatter_windows", gy.shape, indices.shape)
    xp, (H, W) = array_module(gy), input_hw
    if indices.size and may_wait(xp) and (int(indices.min()) < 0 or int(indices.max()) >= H * W):
        raise IndexError(
            f"window indices {int(indices.min())} … {int(indices.max())} lie outside the plane's {H * W} pixels"
        )
    count = gy.shape[0] * gy.shape[1]
    gx: Array = xp.empty((*gy.shape[:2], H, W), wide(gy.dtype))
    windows = gy.shape[2] * gy.shape[3]
    _SCATTER(
        (gy.dtype,), (min(count, 1 << 20),), (256,), ready(gy), ready(indices, np.dtype(np.int64)), gx, windows, H * W,
        count,
    )  # fmt: skip
    return gx.astype(gy.dtype, copy=False)


def wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which kernels add up."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    out_hw: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """See `reference.avg_pool2d`."""
    if not is_float(x.dtype):
        return portable.avg_pool2d(x, kernel, stride, padding, out_hw, count_include_pad, divisor_override)
    N, C, H, W = x.shape
    v = pool_windows("avg_pool2d", (H, W), kernel, stride, padding, (1, 1), out_hw)
    y: Array = array_module(x).empty((N, C, v.OH, v.OW), x.dtype)
    divisors = _divisors(x, v, count_include_pad, divisor_override)
    _AVERAGE((x.dtype,), *planes(N * C, v.OH * v.OW), ready(x), divisors, y, v, N * C)
    return y


def avg_pool2d_grad(
    gy: Array,
    input_hw: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """See `reference.avg_pool2d_grad`."""
    if not is_float(gy.dtype):
        return portable.avg_pool2d_grad(gy, input_hw, kernel, stride, padding, count_include_pad, divisor_override)
    v = pool_windows("avg_pool2d_grad", input_hw, kernel, stride, padding, (1, 1), (gy.shape[2], gy.shape[3]))
    count = gy.shape[0] * gy.shape[1]
    gx: Array = array_module(gy).empty((*gy.shape[:2], v.H, v.W), gy.dtype)
    divisors = _divisors(gy, v, count_include_pad, divisor_override)
    _AVERAGE_GRADIENT((gy.dtype,), *planes(count, v.H * v.W), ready(gy), divisors, gx, v, count)
    return gx


def _divisors(like: Array, v: Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    divisors = window_divisors(v, count_include_pad, divisor_override).astype(wide(like.dtype))
    return resident(like, divisors)
