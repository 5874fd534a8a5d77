"""3×3 convolution, ReLU and 2×2 max pooling by Winograd's tiles: the four outputs of a tile are one pooling window.

So the outputs are never laid side by side. On the way back a window's gradient goes to one of the four planes that
the tiles of the input gradient are read from, and again nothing is laid side by side.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.pairs import pool_planes
from minidl.kernels.cpu.planes import Layout, layout_of
from minidl.kernels.cpu.shares import shares
from minidl.kernels.cpu.simd import LANES
from minidl.kernels.cpu.tiles import ROWS, TILE
from minidl.kernels.cpu.winograd import (
    PLACES,
    forward_filters,
    gradient_filters,
    gradient_of,
    part_of,
    tiles_of,
)
from minidl.kernels.cpu.winograd_convolution import convolve_tiles
from minidl.kernels.cpu.winograd_strips import (
    BLOCK,
    Buffers,
    Tables,
    buffers_of,
    multiply_strip,
    put_tiles,
    put_windows,
    tables_of,
    transform_strip,
)
from minidl.kernels.geometry import Convolution, Pair
from minidl.kernels.threads import parallel_for


def conv2d_relu_max_pool2d(x: Array, w: Array, b: Array | None, s: Convolution, y: Array, argmax: Array) -> Array:
    """Write y and argmax (N,O,PH,PW); returns the numbers of the images left out."""
    filters, moderate = forward_filters(w, s)
    if not moderate:
        return np.arange(s.N)
    tiles = tiles_of(s, *y.shape[2:])
    m, tables = layout_of(tiles), tables_of(filters, b, s, tiles)
    parts, chunk = shares(s.N, -(-m.OH * m.OW // LANES), s.O * tables.steps.size * PLACES * m.OH * m.OW)
    flat_x, flat_y, codes, left_out = x.reshape(-1), y.reshape(-1), argmax.reshape(-1), np.zeros(s.N, np.bool_)

    def run(start: int, stop: int) -> None:
        _pool_items(flat_x, m, tables, parts, start, stop, buffers_of(m, tables), flat_y, codes, left_out)

    parallel_for(s.N * parts, chunk, run)
    return np.flatnonzero(left_out)


def input_grad(gy: Array, argmax: Array, w: Array, s: Convolution, gx: Array) -> Array:
    """Write gx (N,C,H,W) from the gradient of the pooled output; returns the numbers of the images left out."""
    filters, moderate = gradient_filters(w, s)
    if not moderate:
        return np.arange(s.N)
    back, v = gradient_of(s), s.windows
    tiles = tiles_of(back, -(-v.H // 2), -(-v.W // 2))
    m, tables = layout_of(tiles), tables_of(filters, None, back, tiles)
    _, chunk = shares(s.N, 1, s.O * tables.steps.size * PLACES * m.OH * m.OW)
    flat_gy, codes, flat_gx, left_out = gy.reshape(-1), argmax.reshape(-1), gx.reshape(-1), np.zeros(s.N, np.bool_)

    def run(start: int, stop: int) -> None:
        _back_items(
            flat_gy, codes, gy.shape[2:], m, tables, start, stop, buffers_of(m, tables), flat_gx, v.H, v.W, left_out
        )

    parallel_for(s.N, chunk, run)
    return np.flatnonzero(left_out)


@jit
def _pool_items(
    x: Array,
    m: Layout,
    tables: Tables,
    parts: int,
    start: int,
    stop: int,
    work: Buffers,
    y: Array,
    argmax: Array,
    left_out: Array,
) -> None:
    channels, windows = m.O // m.G, m.OH * m.OW
    blocks = (channels + ROWS - 1) // ROWS
    for item in range(start, stop):
        n = item // parts
        first, last = part_of(windows, item % parts, parts)
        if not put_tiles(x, n * m.C * m.H * m.W, first, last, m, work.planes):
            left_out[n] = True
            continue
        for tile in range(first, last, TILE):
            count = min(TILE, last - tile)
            transform_strip(m, tables.taps, tile, count, work)
            for block in range(m.G * blocks):
                multiply_strip(m, tables, block, count, work)
                above = block % blocks * ROWS
                plane = n * m.O + block // blocks * channels + above
                for r in range(min(ROWS, channels - above)):
                    target = (plane + r) * windows + tile
                    pool_planes(work.outputs, r * TILE, 2 * BLOCK, BLOCK, y, argmax, target, count)


@jit
def _back_items(
    gy: Array,
    codes: Array,
    pooled: Pair,
    m: Layout,
    tables: Tables,
    start: int,
    stop: int,
    work: Buffers,
    gx: Array,
    H: int,
    W: int,
    left_out: Array,
) -> None:
    size = m.C * pooled[0] * pooled[1]
    for n in range(start, stop):
        if put_windows(gy, codes, n * size, pooled, m, work.planes):
            convolve_tiles(m, tables, 0, m.OH * m.OW, work, gx, n * m.O * H * W, H, W)
        else:
            left_out[n] = True
