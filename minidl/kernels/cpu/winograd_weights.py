"""The weight gradient of a 3×3 convolution by Winograd's tiles: 16 products for every 2×2 outputs instead of 36.

What a tile gives, y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, is linear in the filter g. Its adjoint takes gy back to

    gw = Gᵀ [ Σ over tiles (A gy Aᵀ) ⊙ (Bᵀ d B) ] G

so once more there are 16 products of matrices, channels out × tiles by tiles × channels in, and few additions around
them. The sums over tiles are long: whole images are transformed, and Gᵀ … G is taken once, of their sum.

Larger windows in pieces of 3×3 were tried: with 5×5 the time of the direct sums, so they are taken directly.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu import winograd
from minidl.kernels.cpu.arrays import scratch
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.planes import Layout, layout_of, tap_offsets
from minidl.kernels.cpu.shares import WORK
from minidl.kernels.cpu.simd import LANES
from minidl.kernels.cpu.stencils import stencil
from minidl.kernels.cpu.tiles import DOT_ROWS, DOT_TAPS, dot_tile
from minidl.kernels.cpu.vectors import Number
from minidl.kernels.cpu.winograd import PLACES, tiles_of, transform_patches
from minidl.kernels.cpu.winograd_strips import put_tiles, put_windows
from minidl.kernels.geometry import Convolution, Pair, Windows
from minidl.kernels.threads import parallel_for

PARTIAL_SUMS = 16
"""Chunks, added up in order."""
LONG = 480
"""Tiles in a sum: below, what it costs to add up the lanes at its end counts."""
SHORT, LARGE, CHANNELS = 160, 2048, 32
"""Sums over fewer tiles, images of more tiles, and fewer channels are quicker taken directly: an image's patches are
all written out, four times its size, and a large one's leave the cache."""


def gradient_columns(a: Number, b: Number) -> tuple[Number, Number, Number, Number]:
    """A (a, b)."""
    return a, a + b, a - b, -b


@stencil(inputs=4, outputs=16)
def _transform_gradients(*gy: Number) -> list[Number]:
    """A gy Aᵀ, row after row."""
    columns = [gradient_columns(*gy[j::2]) for j in range(2)]
    return [number for row in zip(*columns, strict=True) for number in gradient_columns(*row)]


def weight_columns(a: Number, b: Number, c: Number, d: Number) -> tuple[Number, Number, Number]:
    """Gᵀ (a, b, c, d)."""
    both = (b + c) * 0.5
    return a + both, (b - c) * 0.5, both + d


@stencil(inputs=16, outputs=9)
def _transform_sums(*m: Number) -> list[Number]:
    """Gᵀ m G, row after row."""
    columns = [weight_columns(*m[j::4]) for j in range(4)]
    return [number for row in zip(*columns, strict=True) for number in weight_columns(*row)]


class Sums(NamedTuple):
    """How the sums over the tiles of some images are taken."""

    per_chunk: int  # images in a chunk
    images: int  # images transformed at once
    extent: int  # tiles of an image
    channel: int  # numbers from one channel to the next
    taps: Array  # where the numbers of a patch lie behind its place in the planes of x
    corners: Array  # where the numbers of a tile of gy lie behind its place in theirs
    rows: Array  # where each channel of x lies, filled up to whole dot tiles by repeating the last
    columns: Array  # the same of the channels of gy in a group


class Buffers(NamedTuple):
    """What a thread computes in."""

    planes: Array  # one image
    gy_planes: Array
    patches: Array  # some images, [place][c][tile]
    gradients: Array  # the same, [place][o][tile]
    totals: Array  # [place][g][c][o]


def pays(s: Convolution) -> bool:
    """True where sums are long enough but images not too large, and channels enough; one image alone has one chunk."""
    tiles = -(-s.windows.OH // 2) * -(-s.windows.OW // 2)
    if s.N < 2 or min(s.C, s.O) // s.G < CHANNELS or (s.windows.KH, s.windows.KW) != (3, 3) or not winograd.pays(s):
        return False
    return tiles <= LARGE and _per_chunk(s, tiles) * tiles >= SHORT


def _per_chunk(s: Convolution, tiles: int) -> int:
    """Images in a chunk."""
    work = s.O * (s.C // s.G) * PLACES * tiles
    return min(s.N, max(-(-s.N // PARTIAL_SUMS), min(-(-s.N // 8), -(-LONG // tiles)), -(-WORK // work)))


@lru_cache(maxsize=64)
def _layouts(s: Convolution, TH: int, TW: int) -> tuple[Layout, Layout, Sums]:
    """The layouts of x and gy in tiles, and of the sums."""
    v, tiles = s.windows, tiles_of(s, TH, TW)
    m = layout_of(tiles)
    H, W = min(v.OH, 2 * TH), min(v.OW, 2 * TW)
    windows = Windows(H, W, 2, 2, 2, 2, 0, 2 * TH - H, 0, 2 * TW - W, 1, 1, TH, TW)
    gy_tiles = Convolution(s.N, s.O, s.O, s.G, windows)
    extent = TH * TW
    per_chunk = _per_chunk(s, extent)
    images = -(-per_chunk // max(1, (per_chunk * extent + LONG // 2) // LONG))
    channel = -(-images * extent // LANES) * LANES
    channel += LANES if channel % 1024 == 0 else 0
    Og, Cg = s.O // s.G, s.C // s.G
    rows = np.minimum(np.arange(-(-Cg // DOT_ROWS) * DOT_ROWS), Cg - 1)
    rows = (rows + np.arange(s.G)[:, None] * Cg).ravel() * channel
    columns = np.minimum(np.arange(-(-Og // DOT_TAPS) * DOT_TAPS), Og - 1) * channel
    sums = Sums(
        per_chunk, images, extent, channel, tap_offsets(tiles)[:PLACES], tap_offsets(gy_tiles)[:4], rows, columns
    )
    return m, layout_of(gy_tiles), sums


def weight_grad(x: Array, gy: Array, argmax: Array | None, s: Convolution) -> tuple[Array, Array]:
    """The gradient (O,C/G,3,3) without the images left out, and their numbers.

    Arguments:
        gy: (N,O,OH,OW), or with argmax the gradient (N,O,PH,PW) of the output pooled 2×2.
    """
    v = s.windows
    pooled = (0, 0) if argmax is None else gy.shape[2:]
    m, gm, sums = _layouts(s, *((-(-v.OH // 2), -(-v.OW // 2)) if argmax is None else pooled))
    channels = s.C // s.G
    chunks, size = -(-s.N // sums.per_chunk), sums.rows.size * sums.columns.size
    partial, gw = np.empty(chunks * 9 * size, np.float32), np.empty((s.O, channels, 3, 3), np.float32)
    codes = np.empty(0, np.uint8) if argmax is None else argmax.reshape(-1)
    flat_x, flat_gy, flat_gw, left_out = x.reshape(-1), gy.reshape(-1), gw.reshape(-1), np.zeros(s.N, np.bool_)

    def run(start: int, stop: int) -> None:
        work = Buffers(
            *(scratch("planes", m.C * m.plane), scratch("gradients", gm.C * gm.plane)),
            *(
                scratch("patches", PLACES * place_step(s.G * channels, sums)),
                scratch("tiles", PLACES * place_step(s.O, sums)),
            ),
            scratch("totals", PLACES * size),
        )
        for i in range(start, stop):
            last = min((i + 1) * sums.per_chunk, s.N)
            _sum_images(flat_x, flat_gy, codes, pooled, m, gm, sums, i, last, work, partial, left_out)

    def add(start: int, stop: int) -> None:
        _add_chunks(partial, chunks, sums, s.G, channels, s.O // s.G, start, stop, flat_gw)

    parallel_for(chunks, 1, run)
    parallel_for(s.G * channels, max(1, WORK // (chunks * s.O * 90)), add)
    return gw, np.flatnonzero(left_out)


@jit
def _add_chunks(
    partial: Array, chunks: int, sums: Sums, G: int, channels: int, into: int, start: int, stop: int, gw: Array
) -> None:
    """Add the chunks in order, for input channels start … stop − 1, the nine weights side by side."""
    rows, columns = sums.rows.size // G, sums.columns.size
    size = G * rows * columns
    total = np.empty((9, columns), np.float32)
    for c in range(start, stop):
        g, row = c // channels, (c // channels * rows + c % channels) * columns
        total[:] = 0
        for chunk in range(chunks):
            for tap in range(9):
                place = (chunk * 9 + tap) * size + row
                for o in range(into):
                    total[tap, o] += partial[place + o]
        for o in range(into):
            for tap in range(9):
                gw[((g * into + o) * channels + c % channels) * 9 + tap] = total[tap, o]


@jit
def place_step(channels: int, sums: Sums) -> int:
    """How far the numbers of a patch lie apart."""
    return channels * sums.channel + LANES


@jit
def _sum_images(
    x: Array,
    gy: Array,
    codes: Array,
    pooled: Pair,
    m: Layout,
    gm: Layout,
    sums: Sums,
    chunk: int,
    last: int,
    work: Buffers,
    partial: Array,
    left_out: Array,
) -> None:
    """What the images of a chunk, up to `last` − 1, add to the gradient, [tap][g][c][o]."""
    size = sums.rows.size * sums.columns.size
    work.totals[: PLACES * size] = 0
    x_step, gy_step = place_step(m.C, sums), place_step(gm.C, sums)
    work.patches[: PLACES * x_step] = 0
    work.gradients[: PLACES * gy_step] = 0
    for n in range(chunk * sums.per_chunk, last, sums.images):
        for i in range(sums.images):  # behind the last image, tiles of zeros
            if not (n + i < last and _put(x, gy, codes, n + i, pooled, m, gm, work)):
                work.planes[: m.C * m.plane] = 0
                work.gy_planes[: gm.C * gm.plane] = 0
                if n + i < last:
                    left_out[n + i] = True
            for c in range(m.C):
                target = c * sums.channel + i * sums.extent
                for row in range(m.OH):
                    place = c * m.plane + row * m.pitch
                    transform_patches(m.OW, work.planes, place, sums.taps, work.patches, target + row * m.OW, x_step)
            for o in range(gm.C):
                target = o * sums.channel + i * sums.extent
                _transform_gradients(
                    sums.extent, work.gy_planes, o * gm.plane, sums.corners, work.gradients, target, gy_step
                )
        for k in range(PLACES):
            _add_products(m, sums, work.gradients[k * gy_step :], work.patches[k * x_step :], work.totals[k * size :])
    _transform_sums(size, work.totals, 0, size, partial, chunk * 9 * size, size)


@jit
def _put(x: Array, gy: Array, codes: Array, n: int, pooled: Pair, m: Layout, gm: Layout, work: Buffers) -> bool:
    """Lay image n and its gradient out; False if they must not be used."""
    if not put_tiles(x, n * m.C * m.H * m.W, 0, m.OH * m.OW, m, work.planes):
        return False
    if codes.size:
        return put_windows(gy, codes, n * gm.C * pooled[0] * pooled[1], pooled, gm, work.gy_planes)
    return put_tiles(gy, n * gm.C * gm.H * gm.W, 0, gm.OH * gm.OW, gm, work.gy_planes)


@jit
def _add_products(m: Layout, sums: Sums, gradients: Array, patches: Array, total: Array) -> None:
    """Add patches · gradientsᵀ over all tiles to total, [g][c][o]."""
    rows, columns, strips = sums.rows.size // m.G, sums.columns.size, sums.channel // LANES
    for g in range(m.G):
        group = gradients[g * (m.O // m.G) * sums.channel :]
        for row in range(g * rows, (g + 1) * rows, DOT_ROWS):
            for column in range(0, columns, DOT_TAPS):
                dot_tile(
                    *(patches, sums.rows, row, 0, group, sums.columns, column, 0),
                    *(1, strips, total, row * columns + column, columns),
                )
