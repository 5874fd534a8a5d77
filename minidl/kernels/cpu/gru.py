"""The time loop of gated recurrent units, compiled; built as in `recurrent`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.products import PANEL, packed, product
from minidl.kernels.cpu.recurrent import by_rows, flat, is_fast
from minidl.kernels.cpu.vectors import Number, copied, elementwise, filled, multiply_add, sigmoid, tanh


def gru_steps(
    a: Array, h0: Array, w: Array, b: Array, counts: Sequence[int], reverse: bool, reset_after: bool
) -> tuple[Array, Array]:
    """See `portable.gru_steps`."""
    if not is_fast(a, h0, w, b) or not a.flags.c_contiguous:
        return portable.gru_steps(a, h0, w, b, counts, reverse, reset_after)
    N, H = h0.shape
    states, q = np.empty((a.shape[0], N, H), np.float32), np.empty((a.shape[0], N, H), np.float32)
    arrays = flat(a, h0, b, states, q)
    first, last = (w, w[:0]) if reset_after else (w[: 2 * H], w[2 * H :])
    by_rows(_after if reset_after else _before, [*arrays, packed(first.T), packed(last.T)], N, H, counts, reverse)
    return states, q


def gru_steps_grad(
    gy: Array, gh: Array, h0: Array, gates: Array, states: Array, q: Array, w: Array, counts: Sequence[int],
    reverse: bool, reset_after: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """See `portable.gru_steps_grad`."""
    if not is_fast(gy, gh, h0, gates, states, q, w):
        return portable.gru_steps_grad(gy, gh, h0, gates, states, q, w, counts, reverse, reset_after)
    ga, gn, gh = np.empty(gates.shape, np.float32), np.empty(states.shape, np.float32), gh.copy()
    N, H = gh.shape
    arrays = flat(gy, gh, h0, gates, states, q, ga, gn)
    first, last = (w, w[:0]) if reset_after else (w[: 2 * H], w[2 * H :])
    kernel = _after_grad if reset_after else _before_grad
    by_rows(kernel, [*arrays, packed(first), packed(last)], N, H, counts, reverse)
    return ga, gn, gh


# ── the reset after the product ───────────────────────────────────────────────────────────────────


@elementwise(outputs=5)
def _gates(
    r: Number, z: Number, n: Number, wr: Number, wz: Number, wn: Number, br: Number, bz: Number, bn: Number, h: Number
) -> tuple[Number, ...]:
    r, z, q = sigmoid(r + wr + br), sigmoid(z + wz + bz), wn + bn
    n = tanh(multiply_add(r, q, n))
    return r, z, n, q, multiply_add(z, h - n, n)


@elementwise(outputs=5)
def _gates_grad(r: Number, z: Number, n: Number, q: Number, h: Number, gy: Number, gh: Number) -> tuple[Number, ...]:
    e = gy + gh
    gn = e * (1 - z) * (1 - n * n)
    return gn * q * r * (1 - r), e * (h - n) * z * (1 - z), gn * r, gn, e * z


@jit
def _after(
    a: Array, h0: Array, b: Array, states: Array, q: Array, wt: Array, _: Array, counts: Array, reverse: bool, N: int,
    H: int, start: int, stop: int,
) -> None:  # fmt: skip
    products = np.empty((stop - start) * 3 * H, np.float32)
    h, at = h0, start * H
    for step in range(counts.size):
        t = counts.size - 1 - step if reverse else step
        n = min(max(counts[t] - start, 0), stop - start)
        here = (t * N + start) * H
        product(n, 3 * H, H, h, at, H, 1, wt, 0, PANEL, H * PANEL, products, 0, 3 * H, 0)
        for i in range(n):
            r, p, y = 3 * (here + i * H), 3 * i * H, here + i * H
            z, new = r + H, r + 2 * H
            _gates(H, a, r, a, z, a, new, products, p, products, p + H, products, p + 2 * H, b, 0, b, H, b, 2 * H,
                   h, at + i * H, a, r, a, z, a, new, q, y, states, y)  # fmt: skip
        _carry(a, h, at, states, q, n, here, H, stop - start)
        h, at = states, here


@jit
def _carry(a: Array, h: Array, at: int, states: Array, q: Array, n: int, here: int, H: int, rows: int) -> None:
    """Rows n, n + 1, … of a block take no part in a step: they keep their state, and all else is 0."""
    rest, y = (rows - n) * H, here + n * H
    copied(rest, h, at + n * H, states, y)
    filled(rest, 0.0, q, y)
    filled(3 * rest, 0.0, a, 3 * y)


@jit
def _after_grad(
    gy: Array, gh: Array, h0: Array, gates: Array, states: Array, q: Array, ga: Array, gn: Array, w: Array, _: Array,
    counts: Array, reverse: bool, N: int, H: int, start: int, stop: int,
) -> None:  # fmt: skip
    T = counts.size
    for step in range(T):
        t = step if reverse else T - 1 - step
        n = min(max(counts[t] - start, 0), stop - start)
        here, last = (t * N + start) * H, start * H
        h, at = (h0, last) if step == T - 1 else (states, here + N * H if reverse else here - N * H)
        for i in range(n):
            r, y, s = 3 * (here + i * H), here + i * H, last + i * H
            z, new = r + H, r + 2 * H
            _gates_grad(H, gates, r, gates, z, gates, new, q, y, h, at + i * H, gy, y, gh, s,
                        ga, r, ga, z, ga, new, gn, y, gh, s)  # fmt: skip
        product(n, H, 3 * H, ga, 3 * here, 3 * H, 1, w, 0, PANEL, 3 * H * PANEL, gh, last, H, 1)
        rest, y = (stop - start - n) * H, here + n * H
        filled(3 * rest, 0.0, ga, 3 * y)
        filled(rest, 0.0, gn, y)


# ── the reset before the product ──────────────────────────────────────────────────────────────────


@elementwise(outputs=3)
def _first_gates(r: Number, z: Number, br: Number, bz: Number, h: Number) -> tuple[Number, ...]:
    r = sigmoid(r + br)
    return r, sigmoid(z + bz), r * h


@elementwise(outputs=2)
def _candidate(z: Number, n: Number, bn: Number, h: Number) -> tuple[Number, ...]:
    n = tanh(n + bn)
    return n, multiply_add(z, h - n, n)


@elementwise(outputs=4)
def _candidate_grad(z: Number, n: Number, h: Number, gy: Number, gh: Number) -> tuple[Number, ...]:
    e = gy + gh
    gn = e * (1 - z) * (1 - n * n)
    return e * (h - n) * z * (1 - z), gn, gn, e * z


@elementwise(outputs=2)
def _reset_grad(r: Number, h: Number, gq: Number, gh: Number) -> tuple[Number, ...]:
    return gq * h * r * (1 - r), multiply_add(gq, r, gh)


@jit
def _before(
    a: Array, h0: Array, b: Array, states: Array, q: Array, w_rz: Array, w_n: Array, counts: Array, reverse: bool,
    N: int, H: int, start: int, stop: int,
) -> None:  # fmt: skip
    h, at = h0, start * H
    for step in range(counts.size):
        t = counts.size - 1 - step if reverse else step
        n = min(max(counts[t] - start, 0), stop - start)
        here = (t * N + start) * H
        product(n, 2 * H, H, h, at, H, 1, w_rz, 0, PANEL, H * PANEL, a, 3 * here, 3 * H, 1)
        for i in range(n):
            r, y = 3 * (here + i * H), here + i * H
            _first_gates(H, a, r, a, r + H, b, 0, b, H, h, at + i * H, a, r, a, r + H, q, y)
        product(n, H, H, q, here, H, 1, w_n, 0, PANEL, H * PANEL, a, 3 * here + 2 * H, 3 * H, 1)
        for i in range(n):
            r, y = 3 * (here + i * H), here + i * H
            z, new = r + H, r + 2 * H
            _candidate(H, a, z, a, new, b, 2 * H, h, at + i * H, a, new, states, y)
        _carry(a, h, at, states, q, n, here, H, stop - start)
        h, at = states, here


@jit
def _before_grad(
    gy: Array, gh: Array, h0: Array, gates: Array, states: Array, q: Array, ga: Array, gn: Array, w_rz: Array,
    w_n: Array, counts: Array, reverse: bool, N: int, H: int, start: int, stop: int,
) -> None:  # fmt: skip
    T = counts.size
    gq = np.empty((stop - start) * H, np.float32)
    for step in range(T):
        t = step if reverse else T - 1 - step
        n = min(max(counts[t] - start, 0), stop - start)
        here, last = (t * N + start) * H, start * H
        h, at = (h0, last) if step == T - 1 else (states, here + N * H if reverse else here - N * H)
        for i in range(n):
            r, y, s = 3 * (here + i * H), here + i * H, last + i * H
            z, new = r + H, r + 2 * H
            _candidate_grad(H, gates, z, gates, new, h, at + i * H, gy, y, gh, s, ga, z, ga, new, gn, y, gh, s)
        product(n, H, H, gn, here, H, 1, w_n, 0, PANEL, H * PANEL, gq, 0, H, 0)
        for i in range(n):
            r, s = 3 * (here + i * H), last + i * H
            _reset_grad(H, gates, r, h, at + i * H, gq, i * H, gh, s, ga, r, gh, s)
        product(n, H, 2 * H, ga, 3 * here, 3 * H, 1, w_rz, 0, PANEL, 2 * H * PANEL, gh, last, H, 1)
        rest, y = (stop - start - n) * H, here + n * H
        filled(3 * rest, 0.0, ga, 3 * y)
        filled(rest, 0.0, gn, y)
