"""The time loops of recurrent networks: what one step hands to the next; the rest is done for all steps at once.

Rows of a batch are sorted by length, the longest first, so those that take part in step t are the first `counts[t]`;
the others keep their state. With `reverse` the steps run from the last to the first: then rows join instead of leaving.
The text below writes t − 1 for the step taken before t, which is then t + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.threads import parallel_for, single_threaded_blas

# Rows of a batch that one thread carries through all steps; with fewer, BLAS spends its time copying the weights.
_ROWS = 32


def by_rows(xp: Any, N: int, counts: Sequence[int], body: Callable[[slice, list[int]], object]) -> None:
    """Call body(rows, their counts) for the rows of a batch: on our threads for NumPy, all at once for CuPy."""

    def rows(start: int, stop: int) -> None:
        body(slice(start, stop), [min(max(n - start, 0), stop - start) for n in counts])

    if xp is np:
        with single_threaded_blas():
            parallel_for(N, _ROWS, rows)
    else:
        rows(0, N)


def in_order(counts: Sequence[int], reverse: bool) -> range:
    return range(len(counts))[::-1] if reverse else range(len(counts))


def slopes(xp: Any, y: Array, out: Array, tanh: slice) -> None:
    """The derivatives of gates by their sums: y(1 − y) of a sigmoid, 1 − y² of a tanh."""
    xp.multiply(y, y, out=out)
    xp.subtract(1, out[:, tanh], out=out[:, tanh])
    for sigmoid in (slice(tanh.start), slice(tanh.stop, None)):
        xp.subtract(y[:, sigmoid], out[:, sigmoid], out=out[:, sigmoid])


def sigmoid_(xp: Any, x: Array) -> None:
    """x becomes (tanh(x/2) + 1)/2, which cannot overflow."""
    x *= 0.5
    xp.tanh(x, out=x)
    x *= 0.5
    x += 0.5


def packed(xp: Any, w: Array) -> Array:
    return xp.ascontiguousarray(w)


# ── the plain network ─────────────────────────────────────────────────────────────────────────────


def rnn_steps(a: Array, h0: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool) -> Array:
    """The states h[t] = tanh(a[t] + W h[t−1]), or max(·, 0).

    Arguments:
        a: (T, N, H), what the input adds to the sums, biases included; overwritten.
        h0: (N, H), the state before the first step. w: (H, H).
        counts: how many of the N rows take part in each step. reverse: from the last step to the first.
        relu: max(·, 0) instead of tanh.

    Returns:
        states (T, N, H), in the memory of a.
    """
    xp = array_module(a)
    wt = packed(xp, w.T)

    def steps(rows: slice, counts: list[int]) -> None:
        s, h = a[:, rows], h0[rows]
        product = xp.empty(h.shape, a.dtype)
        for t in in_order(counts, reverse):
            n = counts[t]
            new = s[t, :n]
            new += xp.matmul(h[:n], wt, out=product[:n])
            xp.maximum(new, 0, out=new) if relu else xp.tanh(new, out=new)
            s[t, n:] = h[n:]
            h = s[t]

    by_rows(xp, a.shape[1], counts, steps)
    return a


def rnn_steps_grad(
    gy: Array, gh: Array, states: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool
) -> tuple[Array, Array]:
    """The gradients of `rnn_steps`, from the last step to the first: ga[t] = (gy[t] + gh) ⊙ (1 − h[t]²), gh = ga[t] W.

    Arguments:
        gy: (T, N, H), the gradients of the states, of which only the rows that took part count.
        gh: (N, H), the gradient of the last states. The rest as in `rnn_steps`.

    Returns:
        ga (T, N, H), 0 where a row took no part, and gh0 (N, H).
    """
    xp = array_module(gy)
    ga, gh, w = xp.empty(states.shape, gy.dtype), gh.copy(), packed(xp, w)

    def steps(rows: slice, counts: list[int]) -> None:
        g, s, gs = gh[rows], states[:, rows], ga[:, rows]
        for t in in_order(counts, not reverse):
            n = counts[t]
            e, h, new = g[:n], s[t, :n], gs[t, :n]
            e += gy[t, rows][:n]
            if relu:
                xp.multiply(e, h > 0, out=new)
            else:
                xp.multiply(h, h, out=new)
                xp.subtract(1, new, out=new)
                new *= e
            gs[t, n:] = 0
            xp.matmul(new, w, out=e)

    by_rows(xp, gh.shape[0], counts, steps)
    return ga, gh


# ── LSTM ──────────────────────────────────────────────────────────────────────────────────────────


def lstm_steps(
    a: Array, h0: Array, c0: Array, w: Array, counts: Sequence[int], reverse: bool
) -> tuple[Array, Array, Array]:
    """The states c[t] = f ⊙ c[t−1] + i ⊙ g and h[t] = o ⊙ tanh c[t], the gates from a[t] + W h[t−1].

    Arguments:
        a: (T, N, 4H), what the input adds to the sums of i, f, g, o, biases included; overwritten with the gates.
        h0, c0: (N, H). w: (4H, H). counts, reverse: as in `rnn_steps`.

    Returns:
        states, cells and tanh of the cells, each (T, N, H).
    """
    xp = array_module(a)
    T, N, H = (*a.shape[:2], a.shape[2] // 4)
    states, cells, squashed = (xp.empty((T, N, H), a.dtype) for _ in range(3))
    wt = packed(xp, w.T)
    # A sigmoid is (tanh(x/2) + 1)/2: with these, one pass of tanh serves all four gates.
    scale, shift = xp.full(4 * H, 0.5, a.dtype), xp.full(4 * H, 0.5, a.dtype)
    scale[2 * H : 3 * H], shift[2 * H : 3 * H] = 1, 0

    def steps(rows: slice, counts: list[int]) -> None:
        h, c = h0[rows], c0[rows]
        product, ig = xp.empty((len(h), 4 * H), a.dtype), xp.empty((len(h), H), a.dtype)
        for t in in_order(counts, reverse):
            n = counts[t]
            a_t, h_t, c_t, tc_t = a[t, rows], states[t, rows], cells[t, rows], squashed[t, rows]
            gates, new = a_t[:n], c_t[:n]
            gates += xp.matmul(h[:n], wt, out=product[:n])
            i, f, g, o = (gates[:, k * H : (k + 1) * H] for k in range(4))
            gates *= scale
            xp.tanh(gates, out=gates)
            gates *= scale
            gates += shift
            xp.multiply(f, c[:n], out=new)
            new += xp.multiply(i, g, out=ig[:n])
            xp.tanh(new, out=tc_t[:n])
            xp.multiply(o, tc_t[:n], out=h_t[:n])
            if n < len(h):
                h_t[n:], c_t[n:], tc_t[n:], a_t[n:] = h[n:], c[n:], 0, 0
            h, c = h_t, c_t

    by_rows(xp, N, counts, steps)
    return states, cells, squashed


def lstm_steps_grad(
    gy: Array, gh: Array, gc: Array, c0: Array, gates: Array, cells: Array, squashed: Array, w: Array,
    counts: Sequence[int], reverse: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients of `lstm_steps`, from the last step to the first.

    With e = gy[t] + gh: gc += e o (1 − tanh² c), and the sums get gc g i(1−i), gc c[t−1] f(1−f), gc i (1−g²) and
    e tanh(c) o(1−o); then gh = ga[t] W and gc = gc f.

    Arguments:
        gy: (T, N, H), of the states. gh, gc: (N, H), of the last states. The rest as `lstm_steps` left it.

    Returns:
        ga (T, N, 4H), 0 where a row took no part, gh0 and gc0 (N, H).
    """
    xp = array_module(gy)
    T, N, H = cells.shape
    ga = xp.empty(gates.shape, gy.dtype)
    gh, gc, w = gh.copy(), gc.copy(), packed(xp, w)
    first, back = (T - 1, 1) if reverse else (0, -1)

    def steps(rows: slice, counts: list[int]) -> None:
        e_all, d_all = gh[rows], gc[rows]
        scratch = xp.empty(e_all.shape, ga.dtype)
        for t in in_order(counts, not reverse):
            n = counts[t]
            y, g_t, before = gates[t, rows][:n], ga[t, rows][:n], (c0 if t == first else cells[t + back])[rows][:n]
            i, f, g, o = (y[:, k * H : (k + 1) * H] for k in range(4))
            g_i, g_f, g_g, g_o = (g_t[:, k * H : (k + 1) * H] for k in range(4))
            tc, e, d, u = squashed[t, rows][:n], e_all[:n], d_all[:n], scratch[:n]
            e += gy[t, rows][:n]
            slopes(xp, y, g_t, slice(2 * H, 3 * H))
            g_o *= e
            g_o *= tc
            xp.multiply(tc, tc, out=u)
            xp.subtract(1, u, out=u)
            u *= o
            u *= e
            d += u
            g_i *= d
            g_i *= g
            g_f *= d
            g_f *= before
            g_g *= d
            g_g *= i
            d *= f
            xp.matmul(g_t, w, out=e)
            ga[t, rows][n:] = 0

    by_rows(xp, N, counts, steps)
    return ga, gh, gc
