"""Convolution, ReLU and max pooling as one function: a block of channels is convolved, cut at 0 and pooled at once.

On the way back an image's gradient is spread out in scratch and serves both products there.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.arrays import scratch
from minidl.kernels.cpu.direct import (
    BATCH_NUMBERS,
    PARTIAL_SUMS,
    add_partial_sums,
    add_weight_grad,
    dot_tables,
    input_grad_image,
)
from minidl.kernels.cpu.filters import Phase, blocks_of, pack_bias, pack_forward, pack_input_grad, phases_of
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.pairs import pool_pairs, spread_pairs
from minidl.kernels.cpu.planes import Layout, correlate, layout_of, put_image, tap_offsets
from minidl.kernels.cpu.shares import WORK, shares
from minidl.kernels.cpu.tiles import ROWS, STRIP, TILE
from minidl.kernels.geometry import DEAD, Convolution
from minidl.kernels.threads import parallel_for

Pool: TypeAlias = tuple[int, int, int, int, int, int]
"""Rows and columns of a pooling window, its steps, and how many windows there are."""


def conv2d_relu_max_pool2d(
    x: Array, w: Array, b: Array | None, s: Convolution, pool: Pool, y: Array, argmax: Array
) -> None:
    """Write y and argmax (N,O,PH,PW)."""
    m = layout_of(s)
    filters, biases, offsets = pack_forward(w, s), pack_bias(b, s), tap_offsets(s)
    images, planes_y, planes_argmax = x.reshape(-1), y.reshape(-1), argmax.reshape(-1)
    blocks = s.G * blocks_of(s.O // s.G)
    parts, chunk = shares(s.N, blocks, s.O * s.K * s.P)

    def run(start: int, stop: int) -> None:
        planes = scratch("planes", m.C * m.plane + 2 * m.guard)
        out = scratch("out", ROWS * (m.extent + TILE))
        _forward_items(
            *(images, filters, biases, offsets, m, pool, blocks, parts, start, stop),
            *(planes, out, planes_y, planes_argmax),
        )

    parallel_for(s.N * parts, chunk, run)


def conv2d_relu_max_pool2d_grad(
    gy: Array, argmax: Array, x: Array, w: Array, s: Convolution, pool: Pool, needs: tuple[bool, bool, bool]
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients that are needed of x, w and b."""
    m = layout_of(s)
    gx = np.empty(x.shape, np.float32) if needs[0] else None
    rows, taps = dot_tables(s)
    per_chunk = max(-(-s.N // PARTIAL_SUMS), -(-WORK // max(1, 2 * s.O * s.K * s.P)), 1)
    chunks = -(-s.N // per_chunk)
    sums = np.zeros((chunks if needs[1] else 0, s.G, rows.size // s.G, taps.size), np.float32)
    bias_sums = np.zeros((chunks, s.O))
    filters = pack_input_grad(w, s) if needs[0] else np.empty(0, np.float32)
    phases, _, offsets = phases_of(s)
    longest = int(phases[:, Phase._fields.index("extent")].max())
    batch = min(per_chunk, max(1, BATCH_NUMBERS // (m.C * m.plane + m.O * m.gy_plane)))
    images, gradients, codes = x.reshape(-1), gy.reshape(-1), argmax.reshape(-1)
    flat_gx = np.empty(0, np.float32) if gx is None else gx.reshape(-1)
    blocks = s.G * blocks_of(s.C // s.G)

    def run(start: int, stop: int) -> None:
        planes = scratch("planes", batch * m.C * m.plane + 2 * m.guard)
        gy_planes = scratch("gradients", batch * m.O * m.gy_plane + 2 * m.guard)
        out = scratch("out", ROWS * (longest + TILE))
        for i in range(start, stop):
            total = sums[i].reshape(-1) if needs[1] else flat_gx[:0]
            _backward_images(
                *(gradients, codes, images, filters, offsets, phases, rows, taps, m, pool, blocks),
                *(i * per_chunk, min((i + 1) * per_chunk, s.N), batch, needs[0], needs[1]),
                *(planes, gy_planes, out, flat_gx, total, bias_sums[i]),
            )

    parallel_for(chunks, 1, run)
    gw = add_partial_sums(sums, s).reshape(w.shape) if needs[1] and chunks else None
    if needs[1] and not chunks:
        gw = np.zeros(w.shape, np.float32)
    return gx, gw, bias_sums.sum(axis=0).astype(np.float32) if needs[2] else None


@jit
def _forward_items(
    x: Array,
    filters: Array,
    biases: Array,
    offsets: Array,
    m: Layout,
    pool: Pool,
    blocks: int,
    parts: int,
    start: int,
    stop: int,
    planes: Array,
    out: Array,
    y: Array,
    argmax: Array,
) -> None:
    Og, group_blocks = m.O // m.G, blocks // m.G
    PH, PW = pool[4], pool[5]
    ldo = max(m.extent, STRIP)
    planes[: m.C * m.plane + 2 * m.guard] = 0
    for item in range(start, stop):
        n, part = item // parts, item % parts
        if part == 0 or item == start:
            put_image(x, n * m.C * m.H * m.W, m, planes, 0)
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            g, first = block // group_blocks, block % group_blocks * ROWS
            begin = g * (m.C // m.G) * m.plane
            wo = block * m.K * ROWS
            correlate(planes, begin, offsets, 0, m.K, filters, wo, biases, block * ROWS, m.extent, out, ldo)
            for r in range(min(ROWS, Og - first)):
                target = (n * m.O + g * Og + first + r) * PH * PW
                _cut_and_pool(out, r * ldo, m.pitch, pool, y, argmax, target)


@jit
def _cut_and_pool(z: Array, start: int, pitch: int, pool: Pool, y: Array, argmax: Array, target: int) -> None:
    KH, KW, SH, SW, PH, PW = pool
    if KH == 2 and KW == 2 and SH == 2 and SW == 2:
        for h in range(PH):
            pool_pairs(z, start + 2 * h * pitch, pitch, 1, y, argmax, target + h * PW, PW)
        return
    for h in range(PH):
        for w in range(PW):
            corner = start + h * SH * pitch + w * SW
            best, code = z[corner], 0
            for i in range(KH):
                for j in range(KW):
                    value = z[corner + i * pitch + j]
                    if value > best or np.isnan(value):
                        best, code = value, i * KW + j
            if best <= 0:
                best, code = np.float32(0), DEAD
            y[target + h * PW + w], argmax[target + h * PW + w] = best, code


@jit
def live_sum(gy: Array, codes: Array, start: int, n: int) -> float:
    """The sum of the gradients of n windows, but for those that the ReLU cut off."""
    total = 0.0
    for i in range(start, start + n):
        if codes[i] != DEAD:
            total += gy[i]
    return total


@jit
def _spread(
    gy: Array,
    codes: Array,
    source: int,
    pool: Pool,
    pitch: int,
    planes: Array,
    target: int,
) -> float:
    """Give every gy to its winner's place in a plane of zeros (or of the last image); return their sum."""
    KH, KW, SH, SW, PH, PW = pool
    total = live_sum(gy, codes, source, PH * PW)
    if KH == 2 and KW == 2 and SH == 2 and SW == 2:  # whole rows are written, so nothing has to be cleared
        for h in range(PH):
            spread_pairs(gy, codes, source + h * PW, planes, target + 2 * h * pitch, pitch, 1, PW)
        return total
    planes[target : target + ((PH - 1) * SH + KH) * pitch] = 0
    for h in range(PH):
        for w in range(PW):
            code = np.int64(codes[source + h * PW + w])
            if code < KH * KW:
                place = target + (h * SH + code // KW) * pitch + w * SW + code % KW
                planes[place] += gy[source + h * PW + w]
    return total


@jit
def _backward_images(
    gy: Array,
    codes: Array,
    x: Array,
    filters: Array,
    offsets: Array,
    phases: Array,
    rows: Array,
    taps: Array,
    m: Layout,
    pool: Pool,
    blocks: int,
    first: int,
    last: int,
    batch: int,
    needs_x: bool,
    needs_w: bool,
    planes: Array,
    gy_planes: Array,
    out: Array,
    gx: Array,
    total: Array,
    bias_total: Array,
) -> None:
    planes[: batch * m.C * m.plane + 2 * m.guard] = 0
    gy_planes[: batch * m.O * m.gy_plane + 2 * m.guard] = 0
    size, pooled = m.O * m.gy_plane, pool[4] * pool[5]
    n = first
    while n < last:
        count = min(batch, last - n)
        for i in range(count):
            for o in range(m.O):
                target = m.guard + i * size + o * m.gy_plane + m.above * m.pitch
                source = ((n + i) * m.O + o) * pooled
                bias_total[o] += _spread(gy, codes, source, pool, m.pitch, gy_planes, target)
            if needs_w:
                put_image(x, (n + i) * m.C * m.H * m.W, m, planes, i * m.C * m.plane)
            if needs_x:
                front = m.guard + i * size
                input_grad_image(gy_planes, front, filters, offsets, m, phases, blocks, 0, blocks, out, gx, n + i)
        if needs_w:
            add_weight_grad(gy_planes[m.guard :], planes, rows, taps, m, count, 0, 1, total)
        n += count
