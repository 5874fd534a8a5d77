"""Convolution, ReLU and max pooling as one function: what the convolution gives never leaves the cache.

By Winograd's tiles (`winograd_pool`) where they pay, otherwise directly (`direct_pool`). float32 only; other dtypes go
to `portable`.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu import direct_pool, winograd, winograd_pool, winograd_weights
from minidl.kernels.cpu.arrays import dense
from minidl.kernels.cpu.convolution import is_float32
from minidl.kernels.cpu.direct_pool import Pool, live_sum
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.shares import WORK
from minidl.kernels.geometry import Convolution, Padding, Pair, check_gy, convolution, pooled_hw
from minidl.kernels.threads import parallel_for


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
    """See `reference.conv2d_relu_max_pool2d`."""
    if not is_float32(x, w, b):
        return portable.conv2d_relu_max_pool2d(x, w, b, stride, padding, dilation, groups, pool_kernel, pool_stride)
    s = convolution("conv2d_relu_max_pool2d", x.shape, w.shape, stride, padding, dilation, groups)
    y = np.empty((s.N, s.O, *pooled_hw(s, pool_kernel, pool_stride)), np.float32)
    argmax = np.empty(y.shape, np.uint8)
    if y.size == 0:
        return y, argmax
    pool = (*pool_kernel, *pool_stride, *y.shape[2:])
    images = dense(x)
    if not (winograd.pays(s) and pool[:4] == (2, 2, 2, 2)):
        direct_pool.conv2d_relu_max_pool2d(images, w, b, s, pool, y, argmax)
        return y, argmax
    rest = winograd_pool.conv2d_relu_max_pool2d(images, w, b, s, y, argmax)
    if rest.size:
        few = y[rest], argmax[rest]
        direct_pool.conv2d_relu_max_pool2d(images[rest], w, b, s._replace(N=rest.size), pool, *few)
        y[rest], argmax[rest] = few
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
    """See `reference.conv2d_relu_max_pool2d_grad`."""
    if not is_float32(gy, x, w):
        return portable.conv2d_relu_max_pool2d_grad(
            gy, argmax, x, w, stride, padding, dilation, groups, pool_kernel, pool_stride, needs
        )
    s = convolution("conv2d_relu_max_pool2d_grad", x.shape, w.shape, stride, padding, dilation, groups)
    out_hw = pooled_hw(s, pool_kernel, pool_stride)
    check_gy("conv2d_relu_max_pool2d_grad", gy.shape, (s.N, s.O, *out_hw))
    check_gy("conv2d_relu_max_pool2d_grad", argmax.shape, gy.shape)
    pool = (*pool_kernel, *pool_stride, *out_hw)
    gy, argmax, x = dense(gy), dense(argmax), dense(x)
    tiled = s.N > 0 and pool[:4] == (2, 2, 2, 2)
    by_tiles = [needs[0] and tiled and winograd.pays_back(s), needs[1] and tiled and winograd_weights.pays(s)]
    gx = _tiled_input_grad(gy, argmax, x, w, s, pool) if by_tiles[0] else None
    gw = _tiled_weight_grad(gy, argmax, x, w, s, pool) if by_tiles[1] else None
    if by_tiles == [*needs[:2]]:
        return gx, gw, _bias_grad(gy, argmax) if needs[2] else None
    rest = (needs[0] and not by_tiles[0], needs[1] and not by_tiles[1], needs[2])
    direct_gx, direct_gw, gb = direct_pool.conv2d_relu_max_pool2d_grad(gy, argmax, x, w, s, pool, rest)
    return direct_gx if gx is None else gx, direct_gw if gw is None else gw, gb


def _tiled_input_grad(gy: Array, argmax: Array, x: Array, w: Array, s: Convolution, pool: Pool) -> Array:
    gx = np.empty(x.shape, np.float32)
    rest = winograd_pool.input_grad(gy, argmax, w, s, gx)
    if rest.size:
        few = (gy[rest], argmax[rest], x[rest], w, s._replace(N=rest.size), pool)
        gx[rest] = direct_pool.conv2d_relu_max_pool2d_grad(*few, (True, False, False))[0]
    return gx


def _tiled_weight_grad(gy: Array, argmax: Array, x: Array, w: Array, s: Convolution, pool: Pool) -> Array:
    gw, rest = winograd_weights.weight_grad(x, gy, argmax, s)
    if rest.size:
        few = (gy[rest], argmax[rest], x[rest], w, s._replace(N=rest.size), pool)
        gw += direct_pool.conv2d_relu_max_pool2d_grad(*few, (False, True, False))[1]
    return gw


def _bias_grad(gy: Array, argmax: Array) -> Array:
    N, O, windows = gy.shape[0], gy.shape[1], gy.shape[2] * gy.shape[3]
    sums, gradients, codes = np.empty((N, O)), gy.reshape(-1), argmax.reshape(-1)
    flat = sums.reshape(-1)

    def run(start: int, stop: int) -> None:
        _sum_planes(gradients, codes, windows, start, stop, flat)

    parallel_for(N * O, max(1, WORK // (8 * windows)), run)
    return sums.sum(axis=0).astype(np.float32)


@jit
def _sum_planes(gy: Array, codes: Array, windows: int, start: int, stop: int, sums: Array) -> None:
    for plane in range(start, stop):
        sums[plane] = live_sum(gy, codes, plane * windows, windows)
