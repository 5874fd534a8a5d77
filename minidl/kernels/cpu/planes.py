"""Image planes laid out so that every tap of a kernel is one constant shift.

A padded plane is written row after row, `pitch` numbers a row. Seen flat, window (oh, ow) starts at oh·pitch + ow and
its tap (i, j) lies a fixed distance further on, so a whole plane of windows is read as one long vector per tap. The
pitch − OW numbers between two rows of windows are computed too and thrown away. For strides above 1 the plane is first
dealt out into SH·SW planes, one for each remainder of (row, column), within which windows are one step apart.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu import tiles
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.runs import copy_even, copy_run
from minidl.kernels.geometry import Convolution


class Layout(NamedTuple):
    """How the planes of one convolution lie in memory; all sizes in numbers."""

    N: int
    C: int
    O: int
    G: int
    H: int
    W: int
    SH: int
    SW: int
    top: int
    left: int
    OH: int
    OW: int
    K: int  # weights of one output channel
    rows: int  # rows of one dealt-out plane
    pitch: int  # numbers in one row
    plane: int  # numbers of one channel of x, all its dealt-out planes
    above: int  # empty rows above the output gradient, which the kernel's upper taps run into
    below: int
    gy_plane: int  # numbers of one channel of the output gradient, empty rows included
    extent: int  # from the first window to the last, flat
    guard: int  # numbers kept free before and behind planes, which tiles may read but never use


def layout_of(s: Convolution) -> Layout:
    """The layout for a convolution of these sizes."""
    v = s.windows
    rows, pitch = -(-(v.H + v.top + v.bottom) // v.SH), -(-(v.W + v.left + v.right) // v.SW)
    above = v.DH * (v.KH - 1) // v.SH
    below = max(0, (v.H - 1 + v.top) // v.SH - (v.OH - 1))
    gy_plane = -(-((above + v.OH + below) * pitch) // tiles.STRIP) * tiles.STRIP
    return Layout(
        *(s.N, s.C, s.O, s.G, v.H, v.W, v.SH, v.SW, v.top, v.left, v.OH, v.OW, s.K),
        *(rows, pitch, v.SH * v.SW * rows * pitch, above, below, gy_plane),
        *((v.OH - 1) * pitch + v.OW, pitch + tiles.TILE + tiles.STRIP),
    )


@lru_cache(maxsize=256)
def tap_offsets(s: Convolution) -> Array:
    """How far tap k = (c·KH + i)·KW + j lies behind the start of its window, (K,) int64."""
    v, m = s.windows, layout_of(s)
    i, j = np.arange(v.KH)[:, None] * v.DH, np.arange(v.KW) * v.DW
    dealt = (i % v.SH * v.SW + j % v.SW) * (m.rows * m.pitch)
    taps = dealt + i // v.SH * m.pitch + j // v.SW
    channels = np.arange(s.C // s.G) * m.plane
    return (channels[:, None] + taps.ravel()).ravel().astype(np.int64)


@jit
def put_image(x: Array, start: int, m: Layout, planes: Array, target: int) -> None:
    """Copy image x[start:] (C,H,W) into its planes; what is outside the image is left as it is."""
    dealt = m.rows * m.pitch
    for c in range(m.C):
        for h in range(m.H):
            row = h + m.top
            source = start + (c * m.H + h) * m.W
            place = target + c * m.plane + row % m.SH * m.SW * dealt + row // m.SH * m.pitch
            if m.SW == 1:
                copy_run(x, source, planes, place + m.left, m.W)
            else:
                for phase in range(m.SW):
                    first = (phase - m.left) % m.SW
                    count = (m.W - first + m.SW - 1) // m.SW
                    column = place + phase * dealt + (first + m.left) // m.SW
                    if m.SW == 2:
                        copy_even(x, source + first, planes, column, count)
                    else:
                        for q in range(count):
                            planes[column + q] = x[source + first + m.SW * q]


@jit
def put_gradient(gy: Array, start: int, m: Layout, planes: Array, target: int) -> None:
    """Copy an output gradient gy[start:] (O,OH,OW) into planes with the pitch of x; the gaps are left as they are."""
    for o in range(m.O):
        for h in range(m.OH):
            source = start + (o * m.OH + h) * m.OW
            place = target + o * m.gy_plane + (m.above + h) * m.pitch
            copy_run(gy, source, planes, place, m.OW)


@jit
def correlate(
    x: Array,
    start: int,
    offsets: Array,
    ko: int,
    K: int,
    w: Array,
    wo: int,
    bias: Array,
    bo: int,
    extent: int,
    out: Array,
    ldo: int,
) -> None:
    """out[r·ldo + p] = bias[bo + r] + Σ_k w[wo + k·ROWS + r]·x[start + offsets[ko + k] + p], 0 ≤ p < extent.

    The last tiles reach back instead of past the end, unless the extent is shorter than a tile.
    """
    p = 0
    while p < extent:
        if extent - p > 2 * tiles.STRIP and extent >= tiles.TILE:
            p = min(p, extent - tiles.TILE)
            tiles.wide_tile(w, wo, x, start + p, offsets, ko, K, bias, bo, out, p, ldo)
            p += tiles.TILE
        else:
            p = max(0, min(p, extent - tiles.STRIP))
            tiles.narrow_tile(w, wo, x, start + p, offsets, ko, K, bias, bo, out, p, ldo)
            p += tiles.STRIP
