"""Convolution and its gradients for float32, image by image: copy into planes, then products in registers.

Nothing is unfolded: a tap is a shift (`planes`), so an image is read from the first-level cache K times instead of
being written out K times.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.arrays import scratch
from minidl.kernels.cpu.caches import SECOND_LEVEL
from minidl.kernels.cpu.filters import (
    Phase,
    blocks_of,
    pack_bias,
    pack_forward,
    pack_input_grad,
    phase_at,
    phases_of,
)
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.planes import Layout, correlate, layout_of, put_gradient, put_image, tap_offsets
from minidl.kernels.cpu.runs import copy_run
from minidl.kernels.cpu.shares import PARTS, SMALL_BATCH, WORK, shares
from minidl.kernels.cpu.tiles import DOT_ROWS, DOT_TAPS, ROWS, STRIP, TILE, dot_tile
from minidl.kernels.geometry import Convolution
from minidl.kernels.threads import parallel_for

PARTIAL_SUMS = 16  # chunks of a weight gradient, added up in order
BATCH_NUMBERS = SECOND_LEVEL // 8  # images of a weight gradient held together: half the second-level cache


def conv2d(x: Array, w: Array, b: Array | None, s: Convolution, y: Array) -> None:
    """Write y (N,O,OH,OW)."""
    m = layout_of(s)
    filters, biases, offsets = pack_forward(w, s), pack_bias(b, s), tap_offsets(s)
    images, flat_y = x.reshape(-1), y.reshape(-1)
    blocks = s.G * blocks_of(s.O // s.G)
    parts, chunk = shares(s.N, blocks, s.O * s.K * s.P)

    def run(start: int, stop: int) -> None:
        planes = scratch("planes", m.C * m.plane + 2 * m.guard)
        out = scratch("out", ROWS * (m.extent + TILE))
        _conv_items(images, filters, biases, offsets, m, blocks, parts, start, stop, planes, out, flat_y)

    parallel_for(s.N * parts, chunk, run)


def conv2d_input_grad(gy: Array, w: Array, s: Convolution, gx: Array) -> None:
    """Write gx (N,C,H,W)."""
    m = layout_of(s)
    filters = pack_input_grad(w, s)
    phases, _, offsets = phases_of(s)
    gradients, flat_gx = gy.reshape(-1), gx.reshape(-1)
    blocks = s.G * blocks_of(s.C // s.G)
    parts, chunk = shares(s.N, blocks, s.O * s.K * s.P)
    longest = int(phases[:, Phase._fields.index("extent")].max())

    def run(start: int, stop: int) -> None:
        planes = scratch("gradients", m.O * m.gy_plane + 2 * m.guard)
        out = scratch("out", ROWS * (longest + TILE))
        _input_grad_items(gradients, filters, offsets, m, phases, blocks, parts, start, stop, planes, out, flat_gx)

    parallel_for(s.N * parts, chunk, run)


def conv2d_weight_grad(x: Array, gy: Array, s: Convolution) -> Array:
    """The gradient (O,C/G,KH,KW) of at least one image."""
    m = layout_of(s)
    images, gradients = x.reshape(-1), gy.reshape(-1)
    rows, taps = dot_tables(s)
    per_chunk = max(-(-s.N // PARTIAL_SUMS), -(-WORK // max(1, s.O * s.K * s.P)))
    chunks = -(-s.N // per_chunk)
    parts = PARTS if s.N < SMALL_BATCH and s.O // s.G >= PARTS * DOT_ROWS else 1
    sums = np.zeros((chunks, s.G, rows.size // s.G, taps.size), np.float32)
    batch = min(per_chunk, max(1, BATCH_NUMBERS // (m.C * m.plane + m.O * m.gy_plane)))

    def run(start: int, stop: int) -> None:
        planes = scratch("planes", batch * m.C * m.plane + 2 * m.guard)
        gy_planes = scratch("gradients", batch * m.O * m.gy_plane + 2 * m.guard)
        for item in range(start, stop):
            first, part = item // parts * per_chunk, item % parts
            last = min(first + per_chunk, s.N)
            total = sums[item // parts].reshape(-1)
            _weight_grad_images(
                images, gradients, rows, taps, m, first, last, batch, part, parts, planes, gy_planes, total
            )

    parallel_for(chunks * parts, 1, run)
    return add_partial_sums(sums, s).reshape(s.O, s.C // s.G, s.windows.KH, s.windows.KW)


def dot_tables(s: Convolution) -> tuple[Array, Array]:
    """Where each output channel's plane and each tap starts, filled up to whole dot tiles by repeating the last."""
    m, Og = layout_of(s), s.O // s.G
    rows = np.minimum(np.arange(-(-Og // DOT_ROWS) * DOT_ROWS), Og - 1)
    rows = (rows + np.arange(s.G)[:, None] * Og).ravel() * m.gy_plane + m.above * m.pitch
    taps = tap_offsets(s)[np.minimum(np.arange(-(-s.K // DOT_TAPS) * DOT_TAPS), s.K - 1)]
    return rows, taps


def add_partial_sums(sums: Array, s: Convolution) -> Array:
    """The weight gradient (G, O/G, K) from its chunks, always added in the same order."""
    total = sums[0]
    for part in sums[1:]:
        total += part
    return np.ascontiguousarray(total[:, : s.O // s.G, : s.K])


@jit
def _conv_items(
    x: Array,
    filters: Array,
    biases: Array,
    offsets: Array,
    m: Layout,
    blocks: int,
    parts: int,
    start: int,
    stop: int,
    planes: Array,
    out: Array,
    y: Array,
) -> None:
    # With one tap a number is read once a block, so it can stay where it lies, unless every channel would fall on the
    # same cache lines. With more taps the copy pays: 12 % on 3×3, 64 → 128 channels.
    one_tap = m.K == m.C // m.G and m.SH == 1 and m.SW == 1 and m.plane == m.H * m.W
    in_place = one_tap and m.extent >= STRIP and m.plane % 1024 != 0
    Og = m.O // m.G
    group_blocks = blocks // m.G
    ldo = max(m.extent, STRIP)
    size = m.C * m.plane
    if not in_place:
        planes[: size + 2 * m.guard] = 0
    for item in range(start, stop):
        n, part = item // parts, item % parts
        if not in_place and (part == 0 or item == start):
            put_image(x, n * m.C * m.H * m.W, m, planes, 0)
        source, base = (x, n * size) if in_place else (planes, 0)
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            g, first = block // group_blocks, block % group_blocks * ROWS
            begin = base + g * (m.C // m.G) * m.plane
            wo = block * m.K * ROWS
            correlate(source, begin, offsets, 0, m.K, filters, wo, biases, block * ROWS, m.extent, out, ldo)
            for r in range(min(ROWS, Og - first)):
                target = ((n * m.O + g * Og + first + r) * m.OH) * m.OW
                for h in range(m.OH):
                    copy_run(out, r * ldo + h * m.pitch, y, target + h * m.OW, m.OW)


@jit
def _input_grad_items(
    gy: Array,
    filters: Array,
    offsets: Array,
    m: Layout,
    phases: Array,
    blocks: int,
    parts: int,
    start: int,
    stop: int,
    planes: Array,
    out: Array,
    gx: Array,
) -> None:
    front = m.guard
    planes[: m.O * m.gy_plane + 2 * front] = 0
    for item in range(start, stop):
        n, part = item // parts, item % parts
        if part == 0 or item == start:
            put_gradient(gy, n * m.O * m.OH * m.OW, m, planes, front)
        first, last = part * blocks // parts, (part + 1) * blocks // parts
        input_grad_image(planes, front, filters, offsets, m, phases, blocks, first, last, out, gx, n)


@jit
def input_grad_image(
    planes: Array,
    front: int,
    filters: Array,
    offsets: Array,
    m: Layout,
    phases: Array,
    blocks: int,
    first_block: int,
    last_block: int,
    out: Array,
    gx: Array,
    n: int,
) -> None:
    """Write image n of gx, some blocks of its channels, from the planes of its output gradient."""
    Cg, group_blocks = m.C // m.G, blocks // m.G
    no_bias = np.zeros(ROWS, np.float32)
    for i in range(phases.shape[0]):
        f = phase_at(phases, i)
        ldo = max(f.extent, STRIP)
        for block in range(first_block, last_block):
            g, first = block // group_blocks, block % group_blocks * ROWS
            begin = front + g * (m.O // m.G) * m.gy_plane + f.start
            wo = f.wo + block * f.K * ROWS
            correlate(planes, begin, offsets, f.ko, f.K, filters, wo, no_bias, 0, f.extent, out, ldo)
            for r in range(min(ROWS, Cg - first)):
                plane = (n * m.C + g * Cg + first + r) * m.H
                for h in range(f.count_h):
                    target = (plane + f.row + h * m.SH) * m.W + f.column
                    source = r * ldo + h * m.pitch
                    if m.SW == 1:
                        copy_run(out, source, gx, target, f.count_w)
                    else:
                        for q in range(f.count_w):
                            gx[target + q * m.SW] = out[source + q]


@jit
def _weight_grad_images(
    x: Array,
    gy: Array,
    rows: Array,
    taps: Array,
    m: Layout,
    first: int,
    last: int,
    batch: int,
    part: int,
    parts: int,
    planes: Array,
    gy_planes: Array,
    total: Array,
) -> None:
    planes[: batch * m.C * m.plane + 2 * m.guard] = 0
    gy_planes[: batch * m.O * m.gy_plane + 2 * m.guard] = 0
    n = first
    while n < last:
        count = min(batch, last - n)
        for i in range(count):
            put_image(x, (n + i) * m.C * m.H * m.W, m, planes, i * m.C * m.plane)
            put_gradient(gy, (n + i) * m.O * m.OH * m.OW, m, gy_planes, i * m.O * m.gy_plane)
        add_weight_grad(gy_planes, planes, rows, taps, m, count, part, parts, total)
        n += count


@jit
def add_weight_grad(
    gy_planes: Array,
    planes: Array,
    rows: Array,
    taps: Array,
    m: Layout,
    count: int,
    part: int,
    parts: int,
    total: Array,
) -> None:
    """Add the products of `count` images to total, [g][o][k] with o and k filled up to whole dot tiles."""
    gy_size, size = m.O * m.gy_plane, m.C * m.plane
    strips = (m.extent + STRIP - 1) // STRIP
    group_rows = rows.shape[0] // m.G
    blocks = group_rows // DOT_ROWS
    for g in range(m.G):
        x_group = planes[g * (m.C // m.G) * m.plane :]
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            row = g * group_rows + block * DOT_ROWS
            for k in range(0, taps.shape[0], DOT_TAPS):
                place = row * taps.shape[0] + k
                dot_tile(
                    *(gy_planes, rows, row, gy_size, x_group, taps, k, size),
                    *(count, strips, total, place, taps.shape[0]),
                )
