"""Max and average over windows, and the ways back, plane by plane."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense, is_compiled
from minidl.kernels.cpu.jit import jit
from minidl.kernels.geometry import Padding, Pair, Windows, check_gy, pool_windows, window_divisors
from minidl.kernels.threads import parallel_for

_CHUNK = 1 << 16  # pixels looked at by one call: about 50 µs
_MOVED = 1 << 18  # pixels of a plane that only get or give what others chose: about as long


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, out_hw: Pair
) -> tuple[Array, Array]:
    """See `reference.max_pool2d`."""
    if not is_compiled(x):
        return portable.max_pool2d(x, kernel, stride, padding, dilation, out_hw)
    N, C, H, W = x.shape
    v = pool_windows("max_pool2d", (H, W), kernel, stride, padding, dilation, out_hw)
    planes = dense(x).reshape(N * C, H, W)
    y = np.empty((N * C, v.OH, v.OW), x.dtype)
    indices = np.empty(y.shape, np.int64)
    pool = _max_of_pairs if _is_halving(v) else _max_planes
    parallel_for(
        N * C,
        max(1, _CHUNK // (v.OH * v.OW * v.KH * v.KW)),
        lambda start, stop: pool(planes[start:stop], y[start:stop], indices[start:stop], v),
    )
    return y.reshape(N, C, v.OH, v.OW), indices.reshape(N, C, v.OH, v.OW)


def scatter_windows(gy: Array, indices: Array, input_hw: Pair) -> Array:
    """See `reference.scatter_windows`."""
    if not is_compiled(gy):
        return portable.scatter_windows(gy, indices, input_hw)
    check_gy("scatter_windows", gy.shape, indices.shape)
    N, C, OH, OW = gy.shape
    pixels = input_hw[0] * input_hw[1]
    gx = np.empty((N * C, pixels), gy.dtype)
    values, places = dense(gy).reshape(N * C, OH * OW), dense(indices).reshape(N * C, OH * OW)
    parallel_for(
        N * C,
        max(1, _MOVED // max(1, pixels)),
        lambda start, stop: _refuse(_scatter(values[start:stop], places[start:stop], gx[start:stop]), pixels),
    )
    return gx.reshape(N, C, *input_hw)


def gather_windows(x: Array, indices: Array) -> Array:
    """See `reference.gather_windows`."""
    if not is_compiled(x):
        return portable.gather_windows(x, indices)
    N, C, H, W = x.shape
    pixels = indices.shape[2] * indices.shape[3]
    planes, places = dense(x).reshape(N * C, H * W), dense(indices).reshape(N * C, pixels)
    y = np.empty((N * C, pixels), x.dtype)
    parallel_for(
        N * C,
        max(1, _MOVED // max(1, pixels)),
        lambda start, stop: _refuse(_gather(planes[start:stop], places[start:stop], y[start:stop]), H * W),
    )
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
    """See `reference.avg_pool2d`."""
    if not is_compiled(x):
        return portable.avg_pool2d(x, kernel, stride, padding, out_hw, count_include_pad, divisor_override)
    N, C, H, W = x.shape
    v = pool_windows("avg_pool2d", (H, W), kernel, stride, padding, (1, 1), out_hw)
    factors = (1 / window_divisors(v, count_include_pad, divisor_override)).astype(x.dtype)
    planes = dense(x).reshape(N * C, H, W)
    y = np.empty((N * C, v.OH, v.OW), x.dtype)
    parallel_for(
        N * C,
        max(1, _CHUNK // (v.OH * v.OW * v.KH * v.KW)),
        lambda start, stop: _mean_planes(planes[start:stop], factors, y[start:stop], v),
    )
    return y.reshape(N, C, v.OH, v.OW)


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
    if not is_compiled(gy):
        return portable.avg_pool2d_grad(gy, input_hw, kernel, stride, padding, count_include_pad, divisor_override)
    N, C, OH, OW = gy.shape
    v = pool_windows("avg_pool2d_grad", input_hw, kernel, stride, padding, (1, 1), (OH, OW))
    factors = (1 / window_divisors(v, count_include_pad, divisor_override)).astype(gy.dtype)
    planes = dense(gy).reshape(N * C, OH, OW)
    gx = np.empty((N * C, v.H, v.W), gy.dtype)
    parallel_for(
        N * C,
        max(1, _CHUNK // (v.OH * v.OW * v.KH * v.KW)),
        lambda start, stop: _share_planes(planes[start:stop], factors, gx[start:stop], v),
    )
    return gx.reshape(N, C, v.H, v.W)


def _refuse(outside: int, pixels: int) -> None:
    if outside:
        raise IndexError(f"{outside} window indices lie outside the plane's {pixels} pixels")


def _is_halving(v: Windows) -> bool:
    """True for whole 2×2 windows side by side, the pooling of almost every network."""
    side_by_side = (v.KH, v.KW, v.SH, v.SW, v.DH, v.DW) == (2, 2, 2, 2, 1, 1)
    return side_by_side and v.top == v.left == 0 and 2 * v.OH <= v.H and 2 * v.OW <= v.W


@jit
def _max_planes(planes: Array, y: Array, indices: Array, v: Windows) -> None:
    for p in range(planes.shape[0]):
        plane = planes[p]
        for oh in range(v.OH):
            row = oh * v.SH - v.top
            i_first = 0 if row >= 0 else (-row + v.DH - 1) // v.DH
            for ow in range(v.OW):
                column = ow * v.SW - v.left
                j_first = 0 if column >= 0 else (-column + v.DW - 1) // v.DW
                h, w = row + i_first * v.DH, column + j_first * v.DW
                best, place = plane[h, w], h * v.W + w
                for i in range(i_first, v.KH):
                    h = row + i * v.DH
                    if h >= v.H:
                        break
                    for j in range(j_first, v.KW):
                        w = column + j * v.DW
                        if w >= v.W:
                            break
                        value = plane[h, w]
                        if value > best or np.isnan(value):
                            best, place = value, h * v.W + w
                y[p, oh, ow], indices[p, oh, ow] = best, place


@jit
def _max_of_pairs(planes: Array, y: Array, indices: Array, v: Windows) -> None:
    # No branch and no inner loop: the compiler turns this into vector instructions, 4 times as fast.
    for p in range(planes.shape[0]):
        for oh in range(v.OH):
            upper, lower = planes[p, 2 * oh], planes[p, 2 * oh + 1]
            for ow in range(v.OW):
                best, place = upper[2 * ow], 2 * oh * v.W + 2 * ow
                start = place
                value = upper[2 * ow + 1]
                better = value > best or np.isnan(value)
                best, place = (value if better else best), (start + 1 if better else place)
                value = lower[2 * ow]
                better = value > best or np.isnan(value)
                best, place = (value if better else best), (start + v.W if better else place)
                value = lower[2 * ow + 1]
                better = value > best or np.isnan(value)
                y[p, oh, ow] = value if better else best
                indices[p, oh, ow] = start + v.W + 1 if better else place


@jit
def _scatter(values: Array, places: Array, gx: Array) -> int:
    outside = 0
    for p in range(values.shape[0]):
        gx[p] = 0  # plane by plane, so that it is still in the cache when the winners come
        for i in range(values.shape[1]):
            place = places[p, i]
            if 0 <= place < gx.shape[1]:
                gx[p, place] += values[p, i]
            else:
                outside += 1
    return outside


@jit
def _gather(planes: Array, places: Array, y: Array) -> int:
    outside = 0
    for p in range(y.shape[0]):
        for i in range(y.shape[1]):
            place = places[p, i]
            if 0 <= place < planes.shape[1]:
                y[p, i] = planes[p, place]
            else:
                outside += 1
    return outside


@jit
def _mean_planes(planes: Array, factors: Array, y: Array, v: Windows) -> None:
    for p in range(planes.shape[0]):
        for oh in range(v.OH):
            row = oh * v.SH - v.top
            h_first, h_last = max(0, row), min(v.H, row + v.KH)
            for ow in range(v.OW):
                column = ow * v.SW - v.left
                total = planes.dtype.type(0)
                for h in range(h_first, h_last):
                    for w in range(max(0, column), min(v.W, column + v.KW)):
                        total += planes[p, h, w]
                y[p, oh, ow] = total * factors[oh, ow]


@jit
def _share_planes(planes: Array, factors: Array, gx: Array, v: Windows) -> None:
    gx[:] = 0
    for p in range(planes.shape[0]):
        for oh in range(v.OH):
            row = oh * v.SH - v.top
            h_first, h_last = max(0, row), min(v.H, row + v.KH)
            for ow in range(v.OW):
                column = ow * v.SW - v.left
                share = planes[p, oh, ow] * factors[oh, ow]
                for h in range(h_first, h_last):
                    for w in range(max(0, column), min(v.W, column + v.KW)):
                        gx[p, h, w] += share
