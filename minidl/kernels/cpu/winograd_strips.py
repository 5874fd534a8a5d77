"""Strips of Winograd's tiles (`winograd`): from an image to the outputs of TILE tiles in one block of channels.

    put_tiles or put_windows    the image, dealt out into planes
    transform_strip             Bᵀ d B of the strip's patches, once for all filters
    multiply_strip              16 products with the filters of a block, then Aᵀ M A

A strip and its 16 products stay in the nearest caches.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.arrays import scratch
from minidl.kernels.cpu.filters import pack_bias
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.pairs import spread_planes
from minidl.kernels.cpu.planes import Layout
from minidl.kernels.cpu.runs import unzip_run
from minidl.kernels.cpu.simd import LANES
from minidl.kernels.cpu.tiles import ROWS, TILE, middle_tile, narrow_tile, wide_tile
from minidl.kernels.cpu.winograd import PLACES, is_moderate, piece_taps, powers, transform_outputs, transform_patches
from minidl.kernels.geometry import Convolution, Pair

BLOCK = ROWS * TILE
"""Numbers in one of the 16 products of a strip: ROWS filters by TILE tiles."""


class Tables(NamedTuple):
    """What every strip is computed with."""

    filters: Array
    biases: Array
    taps: Array  # where the numbers of a patch lie behind its place in the planes, piece after piece
    steps: Array  # where each channel and piece lies in a strip


class Buffers(NamedTuple):
    """What a thread computes in."""

    planes: Array  # one image
    patches: Array  # one strip, [place][c][piece][tile]
    products: Array  # one strip and block of channels, [place][row][tile]
    outputs: Array  # of these, [which of four][row][tile]


def tables_of(filters: Array, b: Array | None, s: Convolution, tiles: Convolution) -> Tables:
    """The tables of a convolution. The biases are a block of zeros, and then theirs block by block."""
    biases = np.concatenate([np.zeros(ROWS, np.float32), pack_bias(b, s)])
    taps = piece_taps(tiles)
    return Tables(filters, biases, taps, _steps(s.C // s.G * (taps.size // PLACES)))


@lru_cache(maxsize=64)
def _steps(channels: int) -> Array:
    return np.arange(channels) * TILE


def buffers_of(m: Layout, tables: Tables) -> Buffers:
    """This thread's buffers."""
    return Buffers(
        *(scratch("planes", m.C * m.plane), scratch("patches", PLACES * patch_step(m.G * tables.steps.size))),
        *(scratch("products", PLACES * BLOCK), scratch("outputs", 4 * BLOCK)),
    )


@jit
def put_tiles(x: Array, start: int, first: int, last: int, m: Layout, planes: Array) -> bool:
    """Copy the rows that tiles first … last − 1 see into planes, zeros around; False if they must not be used."""
    top, bottom = first // m.OW, (last - 1) // m.OW + m.above + 1
    dealt = m.rows * m.pitch
    for k in range(4 * m.C):
        planes[k * dealt + top * m.pitch : k * dealt + bottom * m.pitch] = 0
    upper = min(m.H, max(0, 2 * top - m.top))
    lower = max(upper, min(m.H, 2 * bottom - m.top))  # there may be nothing but border
    even, odd = m.left % 2 * dealt + m.left // 2, (m.left + 1) % 2 * dealt + (m.left + 1) // 2
    squares = fourths = count = 0.0
    for c in range(m.C):
        source = start + c * m.H * m.W
        more = powers((lower - upper) * m.W, x, source + upper * m.W)
        squares += more[0]
        fourths += more[1]
        count += more[2]
        for h in range(upper, lower):
            place = (4 * c + (h + m.top) % 2 * 2) * dealt + (h + m.top) // 2 * m.pitch
            unzip_run(x, source + h * m.W, planes, place + even, odd - even, m.W // 2)
            if m.W % 2:
                planes[place + even + m.W // 2] = x[source + h * m.W + m.W - 1]
    return is_moderate(squares, fourths, count)


@jit
def put_windows(gy: Array, codes: Array, start: int, pooled: Pair, m: Layout, planes: Array) -> bool:
    """Give every gy to its winner's place, as `put_tiles` would place it; zeros everywhere else."""
    squares, fourths, count = powers(m.C * pooled[0] * pooled[1], gy, start)
    if not is_moderate(squares, fourths, count):
        return False
    planes[: m.C * m.plane] = 0
    dealt = m.rows * m.pitch
    # pixel (i, j) of a window lies (top + i, left + j) from the padded corner, in the plane of the remainders
    upper = m.top % 2 * 2 * dealt + m.top // 2 * m.pitch
    lower = (m.top + 1) % 2 * 2 * dealt + (m.top + 1) // 2 * m.pitch
    left, right = m.left % 2 * dealt + m.left // 2, (m.left + 1) % 2 * dealt + (m.left + 1) // 2
    for c in range(m.C):
        for h in range(pooled[0]):
            source, place = start + (c * pooled[0] + h) * pooled[1], c * m.plane + upper + left + h * m.pitch
            spread_planes(gy, codes, source, planes, place, lower - upper, right - left, pooled[1])
    return True


@jit
def patch_step(channels: int) -> int:
    """How far a patch's numbers lie apart in a strip; never a multiple of 4 KB, which would be the same cache lines."""
    return channels * TILE + LANES


@jit
def transform_strip(m: Layout, taps: Array, first: int, count: int, work: Buffers) -> None:
    """Bᵀ d B of `count` tiles from the given one on."""
    pieces, done = taps.size // PLACES, 0
    step = patch_step(m.C * pieces)
    while done < count:  # a row of tiles, or what the strip has of it
        row, column = (first + done) // m.OW, (first + done) % m.OW
        n = min(count - done, m.OW - column)
        for c in range(m.C):
            place = c * m.plane + row * m.pitch + column
            for piece in range(pieces):
                target = (c * pieces + piece) * TILE + done
                transform_patches(n, work.planes, place, taps[piece * PLACES :], work.patches, target, step)
        done += n


@jit
def multiply_strip(m: Layout, t: Tables, block: int, count: int, work: Buffers) -> None:
    """The outputs of the strip in one block of channels."""
    channels = t.steps.size
    step = patch_step(m.G * channels)
    g = block // ((m.O // m.G + ROWS - 1) // ROWS)
    for k in range(PLACES):
        wo, source = (block * PLACES + k) * channels * ROWS, k * step + g * channels * TILE
        # number (1, 1) of a square is counted once in every output, so the bias is added there
        bias = (block + 1) * ROWS if k == 5 else 0
        left, right, into = (t.filters, wo), (work.patches, source, t.steps, 0, channels), (work.products, k * BLOCK)
        if count > 2 * LANES:
            wide_tile(*left, *right, t.biases, bias, *into, TILE)
        elif count > LANES:
            middle_tile(*left, *right, t.biases, bias, *into, TILE)
        else:
            narrow_tile(*left, *right, t.biases, bias, *into, TILE)
    transform_outputs(BLOCK, work.products, 0, BLOCK, work.outputs, 0, BLOCK)
