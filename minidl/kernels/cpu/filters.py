"""Filters packed for the tiles: blocks of ROWS output channels, and for each tap the block's weights side by side."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.planes import layout_of
from minidl.kernels.cpu.tiles import ROWS
from minidl.kernels.geometry import Convolution


def blocks_of(channels: int) -> int:
    """How many blocks of ROWS hold so many channels."""
    return -(-channels // ROWS)


def pack(matrix: Array) -> Array:
    """(G, M, K) weights as one flat array, [g][block][k][row], rows filled up with zeros."""
    G, M, K = matrix.shape
    blocks = blocks_of(M)
    if M % ROWS:
        padded = np.zeros((G, blocks * ROWS, K), np.float32)
        padded[:, :M] = matrix
        matrix = padded
    return np.ascontiguousarray(matrix.reshape(G, blocks, ROWS, K).swapaxes(2, 3)).reshape(-1)


def pack_forward(w: Array, s: Convolution) -> Array:
    """The filters of `conv2d`."""
    return pack(w.reshape(s.G, s.O // s.G, s.K))


def pack_bias(b: Array | None, s: Convolution) -> Array:
    """The biases, [g][block][row]."""
    Og = s.O // s.G
    packed = np.zeros((s.G, blocks_of(Og) * ROWS), np.float32)
    if b is not None:
        packed[:, :Og] = b.reshape(s.G, Og)
    return packed.reshape(-1)


class Phase(NamedTuple):
    """The pixels of x whose padded position leaves one remainder, and the taps that ever touch them."""

    row: int  # first pixel row, then every SH-th
    column: int
    count_h: int
    count_w: int
    start: int  # where the first pixel's own window starts in the gradient's plane
    extent: int
    ko: int  # first of its entries in the offset table
    K: int
    wo: int  # first of its packed weights


@lru_cache(maxsize=256)
def phases_of(s: Convolution) -> tuple[Array, tuple[tuple[Array, Array], ...], Array]:
    """The phases of the input gradient as rows of a table, the taps (i, j) of each, and their offsets into its planes.

    Pixel h was seen through tap i by the window oh = (h + top − i·DH)/SH where that is whole.
    """
    v, m = s.windows, layout_of(s)
    Og, blocks = s.O // s.G, blocks_of(s.C // s.G)
    phases, taps, offsets = [], [], []
    ko = wo = 0
    for a in range(v.SH):
        for b in range(v.SW):
            i = np.flatnonzero(np.arange(v.KH) * v.DH % v.SH == a)
            j = np.flatnonzero(np.arange(v.KW) * v.DW % v.SW == b)
            row, column = (a - v.top) % v.SH, (b - v.left) % v.SW
            count_h, count_w = len(range(row, v.H, v.SH)), len(range(column, v.W, v.SW))
            if not count_h or not count_w:
                continue
            back = (i * v.DH // v.SH)[:, None] * m.pitch + j * v.DW // v.SW
            shifts = (np.arange(Og) * m.gy_plane)[:, None] - back.ravel()
            start = (m.above + (row + v.top) // v.SH) * m.pitch + (column + v.left) // v.SW
            extent = (count_h - 1) * m.pitch + count_w
            phases.append(Phase(row, column, count_h, count_w, start, extent, ko, shifts.size, wo))
            taps.append((i, j))
            offsets.append(shifts.ravel())
            ko += shifts.size
            wo += s.G * blocks * shifts.size * ROWS
    return np.array(phases, np.int64), tuple(taps), np.concatenate(offsets).astype(np.int64)


@jit
def phase_at(table: Array, i: int) -> Phase:
    """Row i of the table of phases."""
    row = table[i]
    return Phase(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])


def pack_input_grad(w: Array, s: Convolution) -> Array:
    """The filters of `conv2d_input_grad`: input channels as rows, phase after phase."""
    v = s.windows
    _, taps, _ = phases_of(s)
    filters = w.reshape(s.G, s.O // s.G, s.C // s.G, v.KH, v.KW).transpose(0, 2, 1, 3, 4)
    packed = [
        pack(filters[:, :, :, i[:, None], j].reshape(s.G, s.C // s.G, s.O // s.G * i.size * j.size)) for i, j in taps
    ]
    return np.concatenate(packed) if len(packed) > 1 else packed[0]
