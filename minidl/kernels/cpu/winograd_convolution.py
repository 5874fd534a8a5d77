"""3×3 convolution and its input gradient by Winograd's tiles (`winograd`).

An image with nan or infinity, or with a few numbers that outweigh all others, is left out, for the caller to convolve
directly: in a transform such a number, or its rounding error, would reach pixels that do not see it.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.planes import Layout, layout_of
from minidl.kernels.cpu.runs import zip_runs
from minidl.kernels.cpu.shares import shares
from minidl.kernels.cpu.simd import LANES
from minidl.kernels.cpu.tiles import ROWS, TILE
from minidl.kernels.cpu.winograd import PLACES, forward_filters, gradient_filters, gradient_of, part_of, tiles_of
from minidl.kernels.cpu.winograd_strips import (
    BLOCK,
    Buffers,
    Tables,
    buffers_of,
    multiply_strip,
    put_tiles,
    tables_of,
    transform_strip,
)
from minidl.kernels.geometry import Convolution
from minidl.kernels.threads import parallel_for


def conv2d(x: Array, w: Array, b: Array | None, s: Convolution, y: Array) -> Array:
    """Write y (N,O,OH,OW); returns the numbers of the images left out."""
    filters, moderate = forward_filters(w, s)
    return _convolve(x, filters, b, s, y) if moderate else np.arange(s.N)


def conv2d_input_grad(gy: Array, w: Array, s: Convolution, gx: Array) -> Array:
    """Write gx (N,C,H,W), which is gy convolved with the filters turned; returns the numbers of those left out."""
    filters, moderate = gradient_filters(w, s)
    return _convolve(gy, filters, None, gradient_of(s), gx) if moderate else np.arange(s.N)


def _convolve(x: Array, filters: Array, b: Array | None, s: Convolution, y: Array) -> Array:
    v = s.windows
    tiles = tiles_of(s, -(-v.OH // 2), -(-v.OW // 2))
    m, tables = layout_of(tiles), tables_of(filters, b, s, tiles)
    parts, chunk = shares(s.N, -(-m.OH * m.OW // LANES), s.O * tables.steps.size * PLACES * m.OH * m.OW)
    flat_x, flat_y, left_out = x.reshape(-1), y.reshape(-1), np.zeros(s.N, np.bool_)

    def run(start: int, stop: int) -> None:
        _convolve_items(flat_x, m, tables, parts, start, stop, buffers_of(m, tables), flat_y, v.OH, v.OW, left_out)

    parallel_for(s.N * parts, chunk, run)
    return np.flatnonzero(left_out)


@jit
def _convolve_items(
    x: Array,
    m: Layout,
    tables: Tables,
    parts: int,
    start: int,
    stop: int,
    work: Buffers,
    y: Array,
    OH: int,
    OW: int,
    left_out: Array,
) -> None:
    for item in range(start, stop):
        n = item // parts
        first, last = part_of(m.OH * m.OW, item % parts, parts)
        if put_tiles(x, n * m.C * m.H * m.W, first, last, m, work.planes):
            convolve_tiles(m, tables, first, last, work, y, n * m.O * OH * OW, OH, OW)
        else:
            left_out[n] = True


@jit
def convolve_tiles(
    m: Layout, tables: Tables, first: int, last: int, work: Buffers, y: Array, target: int, OH: int, OW: int
) -> None:
    """Write what tiles first … last − 1 of the image in the planes give into y[target:] (O,OH,OW)."""
    channels = m.O // m.G
    blocks = (channels + ROWS - 1) // ROWS
    for tile in range(first, last, TILE):
        count = min(TILE, last - tile)
        transform_strip(m, tables.taps, tile, count, work)
        for block in range(m.G * blocks):
            multiply_strip(m, tables, block, count, work)
            above = block % blocks * ROWS
            plane = target + (block // blocks * channels + above) * OH * OW
            _put_outputs(work.outputs, min(ROWS, channels - above), tile, count, m.OW, y, plane, OH, OW)


@jit
def _put_outputs(
    outputs: Array, rows: int, first: int, count: int, TW: int, y: Array, target: int, OH: int, OW: int
) -> None:
    """Lay the four outputs of every tile side by side, but for those outside of the plane."""
    done = 0
    while done < count:
        h, column = 2 * ((first + done) // TW), 2 * ((first + done) % TW)
        n = min(count - done, TW - column // 2)
        pairs = min(n, (OW - column) // 2)
        for r in range(rows):
            upper = r * TILE + done
            lower, place = upper + 2 * BLOCK, target + (r * OH + h) * OW + column
            zip_runs(outputs, upper, y, place, BLOCK, pairs)
            if pairs < n:
                y[place + 2 * pairs] = outputs[upper + pairs]
            if h + 1 < OH:
                zip_runs(outputs, lower, y, place + OW, BLOCK, pairs)
                if pairs < n:
                    y[place + OW + 2 * pairs] = outputs[lower + pairs]
        done += n
