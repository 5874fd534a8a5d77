"""Attention by tiles, compiled: the scores of some queries against some keys never leave the cache.

    for blocks of queries
        for tiles of keys
            scores = q kᵀ                       product
            p = e^(scores − m), Σ p             one pass, the sum so far shrunk where the largest score m grew
            o += p v                            product

The gradient goes the same way and computes p again (`kernels.attention` has the formulas). Batch elements are shared
out over threads, and their queries too where there are few of them. float32 without dropout; all else goes to
`portable`, and so does the gradient of a bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minidl.backend import Array
from minidl.kernels import attention as tiles
from minidl.kernels.attention import Rules
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.arrays import dense, scratch
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.linalg import pack
from minidl.kernels.cpu.products import PANEL, product
from minidl.kernels.cpu.vectors import Number, copied, elementwise, exp, filled, largest, scaled
from minidl.kernels.threads import parallel_for

QUERIES, KEYS = 64, 4 * PANEL
"""Queries and keys of a tile: 64 × 192 scores take 48 KiB with AVX-512."""
JOBS = 8
"""The queries of a batch element are cut into parts, where that makes up to so many."""
_MASK = 1 << 24  # numbers of a mask that are held as floats


def attention(q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> tuple[Array, Array]:
    """See `portable.attention`."""
    if not _is_fast(q, k, v, bias, rules):
        return tiles.attention(q, k, v, bias, rules)
    (*lead, L, E), (S, D) = q.shape, v.shape[-2:]
    B = math.prod(lead)
    o, log_sum = _like(q, *lead, L, D), np.empty((B, L, 1), np.float32)
    extra, which, by_row = _added(bias, rules, tuple(lead), L, S)
    parts = _parts(B, L)
    given = (*_lying(q), *_lying(k), *_lying(v), extra, which, by_row, rules.scale, rules.causal)
    places = (*_lying(o), log_sum.reshape(-1), L, S, E, D, parts)
    kernel: Callable[..., object] = _forward

    def run(start: int, stop: int) -> None:
        room = [scratch(f"attention {i}", n) for i, n in enumerate(_sizes(S, E, D)[:5])]
        for item in range(start, stop):
            kernel(*given, *places, item, *room)

    parallel_for(B * parts, _at_once(B * parts), run)
    return o, log_sum


def attention_grad(gy: Array, q: Array, k: Array, v: Array, bias: Array | None, o: Array, log_sum: Array,
                   needs: tuple[bool, ...], rules: Rules) -> tuple[Array | None, ...]:  # fmt: skip
    """See `portable.attention_grad`."""
    wants_bias = bias is not None and needs[3]
    if wants_bias or gy.dtype != np.float32 or not _is_fast(q, k, v, bias, rules):
        return tiles.attention_grad(gy, q, k, v, bias, o, log_sum, needs, rules)
    (*lead, L, E), (S, D) = q.shape, v.shape[-2:]
    B = math.prod(lead)
    parts = _parts(B, L)
    gq = _like(q, *q.shape)
    gk, gv = [_like(x[None], parts, *x.shape) for x in (k, v)]  # each part adds to its own
    gk[...], gv[...] = 0, 0
    extra, which, by_row = _added(bias, rules, tuple(lead), L, S)
    given = (*_lying(gy), *_lying(q), *_lying(k), *_lying(v), *_lying(o), dense(log_sum).reshape(-1),
             extra, which, by_row, rules.scale, rules.causal)  # fmt: skip
    places = (*_lying(gq), *_lying(gk), *_lying(gv), L, S, E, D, parts, B)
    kernel: Callable[..., object] = _backward

    def run(start: int, stop: int) -> None:
        room = [scratch(f"attention {i}", n) for i, n in enumerate(_sizes(S, E, D))]
        for item in range(start, stop):
            kernel(*given, *places, item, *room)

    parallel_for(B * parts, _at_once(B * parts), run)
    gxs: list[Array | None] = [gq, *[g[0] if parts == 1 else g.sum(axis=0) for g in (gk, gv)]]
    gxs += [] if bias is None else [None]
    return tuple([g if need else None for g, need in zip(gxs, needs, strict=True)])


def _is_fast(q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> bool:
    masks = [m for m in (bias, rules.allowed) if m is not None]
    floats = all(x.dtype == np.float32 and x.size for x in (q, k, v)) and (bias is None or bias.dtype == np.float32)
    few = all(math.prod(m.shape[:-1]) * k.shape[-2] <= _MASK for m in masks) and len(masks) < 2
    return floats and few and not rules.p


def _lying(x: Array) -> tuple[Array, Array, int]:
    """The memory of x (…, L, E) as one row of numbers, where in it each matrix begins, how far apart its rows are.

    Heads are mostly views, taken out of rows that hold all of them: there is nothing to copy if columns are neighbours.
    """
    if x.strides[-1] != x.itemsize or min(x.strides) < 0 or not (x.flags.writeable and x.flags.aligned):
        x = np.array(x, np.float32, order="C")
    steps = [stride // x.itemsize for stride in x.strides]
    size = 1 + sum((n - 1) * step for n, step in zip(x.shape, steps, strict=True))
    begins = np.zeros(1, np.int64)
    for n, step in zip(x.shape[:-2], steps, strict=False):
        begins = np.add.outer(begins, np.arange(n) * step)
    return as_strided(x, (size,), (x.itemsize,)), begins.reshape(-1), steps[-2]


def _like(x: Array, *shape: int) -> Array:
    """A new array whose axes lie in memory in the order of those of x: heads go back into the rows they came from."""
    y = np.empty_like(x, shape=shape)
    return y if y.strides[-1] == y.itemsize else np.empty(shape, np.float32)


def _added(bias: Array | None, rules: Rules, lead: tuple[int, ...], L: int, S: int) -> tuple[Array, Array, bool]:
    """What is added to the scores, matrices of S columns; which of them for each batch element; if it has L rows."""
    B = math.prod(lead)
    mask = bias
    if rules.allowed is not None:
        mask = np.where(rules.allowed, np.float32(0), np.float32(-np.inf))
    if mask is None:
        return np.empty(0, np.float32), np.full(B, -1), False
    mask = mask.reshape((1,) * (len(lead) + 2 - mask.ndim) + mask.shape)
    *some, rows, _ = mask.shape
    which = dense(np.broadcast_to(np.arange(math.prod(some)).reshape(some), lead).reshape(-1))
    whole = np.ascontiguousarray(np.broadcast_to(mask, (*some, rows, S)), np.float32)
    return dense(whole).reshape(-1), which, rows > 1


def _parts(B: int, L: int) -> int:
    """Into how many the queries of a batch element are cut."""
    return max(1, min(JOBS // B, -(-L // QUERIES)))


def _at_once(items: int) -> int:
    """Items of a chunk: handing one out takes some 5 µs, and the last chunks should come out even."""
    return max(1, items // 32)


def _wide(size: int) -> int:
    """A row that can be read in whole vectors."""
    return -(-size // simd.LANES) * simd.LANES


def _panels(columns: int) -> int:
    return -(-columns // PANEL) * PANEL


def _sizes(S: int, E: int, D: int) -> list[int]:
    """Numbers in the room for a block of q, scores, keys, values, then for the gradient only."""
    return [
        QUERIES * _wide(E), QUERIES * KEYS, E * _panels(S), S * _panels(D), QUERIES * _wide(D),
        QUERIES * KEYS, S * _panels(E), D * _panels(S),
    ]  # fmt: skip


@elementwise(outputs=1, sums=1)
def _exponentials(s: Number, shift: Number) -> tuple[Number, ...]:
    p = exp(s - shift)
    return p, p


@elementwise(outputs=1)
def _sum_of(a: Number, b: Number) -> tuple[Number]:
    return (a + b,)


@elementwise(outputs=0, sums=1)
def _dot(a: Number, b: Number) -> tuple[Number]:
    return (a * b,)


@elementwise(outputs=2)
def _score_grads(s: Number, gp: Number, log_sum: Number, along: Number) -> tuple[Number, ...]:
    p = exp(s - log_sum)
    return p, p * (gp - along)


@jit
def _scores(
    qs: Array, keys: Array, E: int, S: int, rows: int, first: int, begin: int, n: int, extra: Array, place: int,
    by_row: bool, causal: bool, s: Array,
) -> None:  # fmt: skip
    """Scores of queries first … first + rows − 1 and keys begin … begin + n − 1, −∞ where a query may not look."""
    stride = (E + simd.LANES - 1) // simd.LANES * simd.LANES
    product(rows, n, E, qs, 0, stride, 1, keys, begin * E, PANEL, E * PANEL, s, 0, KEYS, 0)
    for r in range(rows):
        if place >= 0:
            row = place + (first + r) * S if by_row else place
            _sum_of(n, s, r * KEYS, extra, row + begin, s, r * KEYS)
        if causal and first + r + 1 < begin + n:
            seen = max(0, first + r + 1 - begin)
            filled(n - seen, -np.inf, s, r * KEYS + seen)


@jit
def _forward(
    q: Array, q_at: Array, q_row: int, k: Array, k_at: Array, k_row: int, v: Array, v_at: Array, v_row: int,
    extra: Array, which: Array, by_row: bool, scale: float, causal: bool, o: Array, o_at: Array, o_row: int,
    log_sum: Array, L: int, S: int, E: int, D: int, parts: int, item: int, qs: Array, s: Array, keys: Array,
    values: Array, acc: Array,
) -> None:  # fmt: skip
    b, part = item // parts, item % parts
    wide_E = (E + simd.LANES - 1) // simd.LANES * simd.LANES
    place = which[b] * S * (L if by_row else 1)
    pack(k[k_at[b] :], 1, k_row, E, S, keys, 0, (S + PANEL - 1) // PANEL)
    pack(v[v_at[b] :], v_row, 1, S, D, values, 0, (D + PANEL - 1) // PANEL)
    most, sums = np.empty(QUERIES, np.float32), np.empty(QUERIES, np.float32)
    for first in range(part * QUERIES, L, parts * QUERIES):
        rows = min(QUERIES, L - first)
        for r in range(rows):
            scaled(E, q, q_at[b] + (first + r) * q_row, scale, qs, r * wide_E)
        most[:], sums[:] = -np.inf, 0
        filled(rows * D, 0.0, acc, 0)
        for begin in range(0, S, KEYS):
            if causal and begin >= first + rows:
                break
            n = min(KEYS, S - begin)
            _scores(qs, keys, E, S, rows, first, begin, n, extra, place, by_row, causal, s)
            for r in range(rows):
                top = max(most[r], largest(n, s, r * KEYS))
                shift = np.float32(0) if top == -np.inf else top  # nothing seen yet: e^(−∞) shall be 0, not nan
                if top > most[r] and begin > 0:
                    faded = np.float32(math.exp(most[r] - shift))
                    sums[r] *= faded
                    scaled(D, acc, r * D, faded, acc, r * D)
                sums[r] += _exponentials(n, s, r * KEYS, shift, s, r * KEYS)
                most[r] = top
            product(rows, D, n, s, 0, KEYS, 1, values, begin * PANEL, PANEL, S * PANEL, acc, 0, D, 1)
        for r in range(rows):
            here, y = b * L + first + r, o_at[b] + (first + r) * o_row
            if sums[r] == 0:
                filled(D, 0.0, o, y)
                log_sum[here] = np.inf  # every weight is 0
            else:
                scaled(D, acc, r * D, 1 / sums[r], o, y)
                log_sum[here] = most[r] + math.log(sums[r])


@jit
def _backward(
    gy: Array, gy_at: Array, gy_row: int, q: Array, q_at: Array, q_row: int, k: Array, k_at: Array, k_row: int,
    v: Array, v_at: Array, v_row: int, o: Array, o_at: Array, o_row: int, log_sum: Array, extra: Array, which: Array,
    by_row: bool, scale: float, causal: bool, gq: Array, gq_at: Array, gq_row: int, gk: Array, gk_at: Array,
    gk_row: int, gv: Array, gv_at: Array, gv_row: int, L: int, S: int, E: int, D: int, parts: int, B: int, item: int,
    qs: Array, s: Array, keys: Array, _: Array, g: Array, gp: Array, key_rows: Array, value_columns: Array,
) -> None:  # fmt: skip
    b, part = item // parts, item % parts
    wide_E = (E + simd.LANES - 1) // simd.LANES * simd.LANES
    wide_D = (D + simd.LANES - 1) // simd.LANES * simd.LANES
    place = which[b] * S * (L if by_row else 1)
    target = part * B + b
    pack(k[k_at[b] :], 1, k_row, E, S, keys, 0, (S + PANEL - 1) // PANEL)
    pack(k[k_at[b] :], k_row, 1, S, E, key_rows, 0, (E + PANEL - 1) // PANEL)
    pack(v[v_at[b] :], 1, v_row, D, S, value_columns, 0, (S + PANEL - 1) // PANEL)
    along = np.empty(QUERIES, np.float32)
    for first in range(part * QUERIES, L, parts * QUERIES):
        rows, here = min(QUERIES, L - first), b * L + first
        for r in range(rows):
            scaled(E, q, q_at[b] + (first + r) * q_row, scale, qs, r * wide_E)
            copied(D, gy, gy_at[b] + (first + r) * gy_row, g, r * wide_D)
            along[r] = _dot(D, g, r * wide_D, o, o_at[b] + (first + r) * o_row)
        gq_here = gq_at[b] + first * gq_row
        for begin in range(0, S, KEYS):
            if causal and begin >= first + rows:
                break
            n = min(KEYS, S - begin)
            _scores(qs, keys, E, S, rows, first, begin, n, extra, place, by_row, causal, s)
            product(rows, n, D, g, 0, wide_D, 1, value_columns, begin * D, PANEL, D * PANEL, gp, 0, KEYS, 0)
            for r in range(rows):
                t = r * KEYS
                _score_grads(n, s, t, gp, t, log_sum[here + r], along[r], s, t, gp, t)
            product(n, D, rows, s, 0, 1, KEYS, g, 0, wide_D, PANEL, gv, gv_at[target] + begin * gv_row, gv_row, 1)
            product(n, E, rows, gp, 0, 1, KEYS, qs, 0, wide_E, PANEL, gk, gk_at[target] + begin * gk_row, gk_row, 1)
            add = int(begin > 0)
            product(rows, E, n, gp, 0, KEYS, 1, key_rows, begin * PANEL, PANEL, S * PANEL, gq, gq_here, gq_row, add)
        for r in range(rows):
            scaled(E, gq, gq_here + r * gq_row, scale, gq, gq_here + r * gq_row)
