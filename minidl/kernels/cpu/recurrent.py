"""The time loops of the plain network and of LSTM, compiled: a few rows of the batch go through all steps at once.

    for t in steps
        a[t] += h[t−1] Wᵀ          one product, W packed once for all steps (`products`)
        gates, c[t], h[t] from a[t]     one pass, every number read and written once (`vectors`)

Rows of a batch do not meet, so blocks of them are shared out over threads, and no step waits for another thread.
float32 only; other dtypes go to `portable`, which also says how rows and steps are ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.products import PANEL, ROWS, packed, product
from minidl.kernels.cpu.vectors import Number, copied, elementwise, filled, maximum, multiply_add, select, sigmoid, tanh
from minidl.kernels.threads import parallel_for


def is_fast(*arrays: Array) -> bool:
    """True if the compiled loops can take these: float32 with something in it."""
    return all(x.dtype == np.float32 and x.size for x in arrays)


def flat(*arrays: Array) -> Any:
    """Contiguous arrays as one row of numbers each."""
    return [dense(x).reshape(-1) for x in arrays]


def by_rows(
    kernel: Callable[..., object], arrays: Sequence[Any], N: int, H: int, counts: Sequence[int], reverse: bool
) -> None:
    """Call kernel(*arrays, counts, reverse, N, H, start, stop) for blocks of the N rows, on our threads."""
    numbers = np.array(counts, np.int64)
    # two blocks of rows each: a panel of W is then used twice while it is near (`benchmarks` lstm: 5 % faster)
    parallel_for(N, 2 * ROWS, lambda start, stop: kernel(*arrays, numbers, reverse, N, H, start, stop))


# ── the plain network ─────────────────────────────────────────────────────────────────────────────


def rnn_steps(a: Array, h0: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool) -> Array:
    """See `portable.rnn_steps`."""
    if not is_fast(a, h0, w) or not a.flags.c_contiguous:
        return portable.rnn_steps(a, h0, w, counts, reverse, relu)
    N, H = h0.shape
    by_rows(_rnn, [*flat(a, h0), packed(w.T), relu], N, H, counts, reverse)
    return a


def rnn_steps_grad(
    gy: Array, gh: Array, states: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool
) -> tuple[Array, Array]:
    """See `portable.rnn_steps_grad`."""
    if not is_fast(gy, gh, states, w):
        return portable.rnn_steps_grad(gy, gh, states, w, counts, reverse, relu)
    ga, gh = np.empty(states.shape, np.float32), gh.copy()
    N, H = gh.shape
    by_rows(_rnn_grad, [*flat(gy, gh, states, ga), packed(w), relu], N, H, counts, reverse)
    return ga, gh


@elementwise(outputs=1)
def _squash(a: Number) -> tuple[Number]:
    return (tanh(a),)


@elementwise(outputs=1)
def _cut(a: Number) -> tuple[Number]:
    return (maximum(a, 0.0),)


@elementwise(outputs=1)
def _squash_grad(h: Number, gy: Number, gh: Number) -> tuple[Number]:
    return ((gy + gh) * (1 - h * h),)


@elementwise(outputs=1)
def _cut_grad(h: Number, gy: Number, gh: Number) -> tuple[Number]:
    return (select(h > 0, gy + gh, 0.0),)


@jit
def _rnn(
    a: Array, h0: Array, wt: Array, relu: bool, counts: Array, reverse: bool, N: int, H: int, start: int, stop: int
) -> None:
    before, at = h0, start * H
    for step in range(counts.size):
        t = counts.size - 1 - step if reverse else step
        n = min(max(counts[t] - start, 0), stop - start)
        here = (t * N + start) * H
        product(n, H, H, before, at, H, 1, wt, 0, PANEL, H * PANEL, a, here, H, 1)
        if relu:
            _cut(n * H, a, here, a, here)
        else:
            _squash(n * H, a, here, a, here)
        copied((stop - start - n) * H, before, at + n * H, a, here + n * H)
        before, at = a, here


@jit
def _rnn_grad(
    gy: Array, gh: Array, states: Array, ga: Array, w: Array, relu: bool, counts: Array, reverse: bool, N: int, H: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    for step in range(counts.size):
        t = step if reverse else counts.size - 1 - step
        n = min(max(counts[t] - start, 0), stop - start)
        here, last = (t * N + start) * H, start * H
        if relu:
            _cut_grad(n * H, states, here, gy, here, gh, last, ga, here)
        else:
            _squash_grad(n * H, states, here, gy, here, gh, last, ga, here)
        filled((stop - start - n) * H, 0.0, ga, here + n * H)
        product(n, H, H, ga, here, H, 1, w, 0, PANEL, H * PANEL, gh, last, H, 0)


# ── LSTM ──────────────────────────────────────────────────────────────────────────────────────────


def lstm_steps(
    a: Array, h0: Array, c0: Array, w: Array, counts: Sequence[int], reverse: bool
) -> tuple[Array, Array, Array]:
    """See `portable.lstm_steps`."""
    if not is_fast(a, h0, c0, w) or not a.flags.c_contiguous:
        return portable.lstm_steps(a, h0, c0, w, counts, reverse)
    N, H = h0.shape
    kept = tuple([np.empty((a.shape[0], N, H), np.float32) for _ in range(3)])
    by_rows(_lstm, [*flat(a, h0, c0, *kept), packed(w.T)], N, H, counts, reverse)
    return kept[0], kept[1], kept[2]


def lstm_steps_grad(
    gy: Array, gh: Array, gc: Array, c0: Array, gates: Array, cells: Array, squashed: Array, w: Array,
    counts: Sequence[int], reverse: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """See `portable.lstm_steps_grad`."""
    if not is_fast(gy, gh, gc, c0, gates, cells, squashed, w):
        return portable.lstm_steps_grad(gy, gh, gc, c0, gates, cells, squashed, w, counts, reverse)
    ga, gh, gc = np.empty(gates.shape, np.float32), gh.copy(), gc.copy()
    N, H = gh.shape
    arrays = flat(gy, gh, gc, c0, gates, cells, squashed, ga)
    by_rows(_lstm_grad, [*arrays, packed(w)], N, H, counts, reverse)
    return ga, gh, gc


@elementwise(outputs=7)
def _lstm_gates(i: Number, f: Number, g: Number, o: Number, c: Number) -> tuple[Number, ...]:
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = multiply_add(f, c, i * g)
    squashed = tanh(c)
    return i, f, g, o, o * squashed, c, squashed


@elementwise(outputs=5)
def _lstm_gates_grad(
    i: Number, f: Number, g: Number, o: Number, before: Number, squashed: Number, gy: Number, gh: Number, gc: Number
) -> tuple[Number, ...]:
    e = gy + gh
    d = gc + e * o * (1 - squashed * squashed)
    return d * g * i * (1 - i), d * before * f * (1 - f), d * i * (1 - g * g), e * squashed * o * (1 - o), d * f


@jit
def _lstm(
    a: Array, h0: Array, c0: Array, states: Array, cells: Array, squashed: Array, wt: Array, counts: Array,
    reverse: bool, N: int, H: int, start: int, stop: int,
) -> None:  # fmt: skip
    h, c, at = h0, c0, start * H
    for step in range(counts.size):
        t = counts.size - 1 - step if reverse else step
        n = min(max(counts[t] - start, 0), stop - start)
        here = (t * N + start) * H
        i = 4 * here  # where the sums of i begin, those of f, g and o follow
        product(n, 4 * H, H, h, at, H, 1, wt, 0, PANEL, H * PANEL, a, i, 4 * H, 1)
        for r in range(n):
            y = here + r * H
            f, g, o = i + H, i + 2 * H, i + 3 * H
            _lstm_gates(H, a, i, a, f, a, g, a, o, c, at + r * H,
                        a, i, a, f, a, g, a, o, states, y, cells, y, squashed, y)  # fmt: skip
            i += 4 * H
        rest, y = (stop - start - n) * H, here + n * H
        copied(rest, h, at + n * H, states, y)
        copied(rest, c, at + n * H, cells, y)
        filled(rest, 0.0, squashed, y)
        filled(4 * rest, 0.0, a, i)
        h, c, at = states, cells, here


@jit
def _lstm_grad(
    gy: Array, gh: Array, gc: Array, c0: Array, gates: Array, cells: Array, squashed: Array, ga: Array, w: Array,
    counts: Array, reverse: bool, N: int, H: int, start: int, stop: int,
) -> None:  # fmt: skip
    T = counts.size
    for step in range(T):
        t = step if reverse else T - 1 - step
        n = min(max(counts[t] - start, 0), stop - start)
        here, last = (t * N + start) * H, start * H
        c, before = (c0, last) if step == T - 1 else (cells, here + N * H if reverse else here - N * H)
        i = 4 * here
        for r in range(n):
            y, s = here + r * H, last + r * H
            f, g, o = i + H, i + 2 * H, i + 3 * H
            _lstm_gates_grad(H, gates, i, gates, f, gates, g, gates, o, c, before + r * H, squashed, y, gy, y, gh, s,
                             gc, s, ga, i, ga, f, ga, g, ga, o, gc, s)  # fmt: skip
            i += 4 * H
        filled(4 * (stop - start - n) * H, 0.0, ga, i)
        product(n, H, 4 * H, ga, 4 * here, 4 * H, 1, w, 0, PANEL, 4 * H * PANEL, gh, last, H, 0)
