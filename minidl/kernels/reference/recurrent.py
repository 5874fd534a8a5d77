"""The time loops of recurrent networks, row by row (see `portable.recurrent` for the order of rows and steps)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minidl.backend import Array
from minidl.kernels.reference.walk import wide


def _rows(counts: Sequence[int], reverse: bool) -> Iterator[tuple[int, int, int | None]]:
    """(t, row, the step before t or None) for every step that a row takes part in, in order."""
    back = 1 if reverse else -1
    for t in range(len(counts))[::-1] if reverse else range(len(counts)):
        for row in range(counts[t]):
            before = t + back
            yield t, row, before if 0 <= before < len(counts) and row < counts[before] else None


def _kept(h0: Array, counts: Sequence[int], reverse: bool, taken: Array) -> Array:
    """The states of all rows after each step: those that took no part have the one of their last step, or the first."""
    states, h = taken.copy(), h0.astype(taken.dtype)
    for t in range(len(counts))[::-1] if reverse else range(len(counts)):
        h[: counts[t]] = taken[t, : counts[t]]
        states[t] = h
    return states


def _sigmoid(x: Array) -> Array:
    return (np.tanh(x / 2) + 1) / 2


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
    h = np.zeros(a.shape, wide(a.dtype))
    for t, row, before in _rows(counts, reverse):
        s = a[t, row] + w.astype(h.dtype) @ (h0[row] if before is None else h[before, row])
        h[t, row] = np.maximum(s, 0) if relu else np.tanh(s)
    a[...] = _kept(h0, counts, reverse, h)
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
    dtype = wide(gy.dtype)
    ga, g = np.zeros(states.shape, dtype), gh.astype(dtype)
    for t, row, _ in reversed([*_rows(counts, reverse)]):
        h = states[t, row].astype(dtype)
        ga[t, row] = (gy[t, row] + g[row]) * ((h > 0) if relu else 1 - h * h)
        g[row] = ga[t, row] @ w
    return ga.astype(gy.dtype), g.astype(gy.dtype)


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
    T, N, H = (*a.shape[:2], a.shape[2] // 4)
    h, c, squashed = np.zeros((3, T, N, H), wide(a.dtype))
    for t, row, before in _rows(counts, reverse):
        h_before, c_before = (h0[row], c0[row]) if before is None else (h[before, row], c[before, row])
        i, f, g, o = np.split(a[t, row] + w.astype(h.dtype) @ h_before, 4)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        c[t, row] = f * c_before + i * g
        squashed[t, row] = np.tanh(c[t, row])
        h[t, row] = o * squashed[t, row]
        a[t, row] = np.concatenate([i, f, g, o])
    h, c = _kept(h0, counts, reverse, h), _kept(c0, counts, reverse, c)
    return h.astype(a.dtype), c.astype(a.dtype), squashed.astype(a.dtype)


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
    dtype = wide(gy.dtype)
    ga, gh, gc = np.zeros(gates.shape, dtype), gh.astype(dtype), gc.astype(dtype)
    for t, row, before in reversed([*_rows(counts, reverse)]):
        i, f, g, o = np.split(gates[t, row].astype(dtype), 4)
        tc, c_before = squashed[t, row], c0[row] if before is None else cells[before, row]
        e = gy[t, row] + gh[row]
        d = gc[row] + e * o * (1 - tc * tc)
        ga[t, row] = np.concatenate(
            [d * g * i * (1 - i), d * c_before * f * (1 - f), d * i * (1 - g * g), e * tc * o * (1 - o)]
        )
        gh[row], gc[row] = ga[t, row] @ w, d * f
    return ga.astype(gy.dtype), gh.astype(gy.dtype), gc.astype(gy.dtype)


def gru_steps(
    a: Array, h0: Array, w: Array, b: Array, counts: Sequence[int], reverse: bool, reset_after: bool
) -> tuple[Array, Array]:
    """The states h[t] = n + z ⊙ (h[t−1] − n), the gates r, z and the candidate n from a[t] and h[t−1].

    r and z are sigmoids of a[t] + W h[t−1] + b; n is tanh(a[t] + r ⊙ q) with q = W h[t−1] + b if the reset comes
    after the product, otherwise tanh(a[t] + W q + b) with q = r ⊙ h[t−1].

    Arguments:
        a: (T, N, 3H), what the input adds to the sums of r, z, n; overwritten with the gates.
        h0: (N, H). w: (3H, H). b: (3H,). counts, reverse: as in `rnn_steps`.

    Returns:
        states and q, each (T, N, H).
    """
    T, N, H = (*a.shape[:2], a.shape[2] // 3)
    h, q = np.zeros((2, T, N, H), wide(a.dtype))
    (w_r, w_z, w_n), (b_r, b_z, b_n) = np.split(w.astype(h.dtype), 3), np.split(b, 3)
    for t, row, before in _rows(counts, reverse):
        h_before = h0[row] if before is None else h[before, row]
        a_r, a_z, a_n = np.split(a[t, row], 3)
        r, z = _sigmoid(a_r + w_r @ h_before + b_r), _sigmoid(a_z + w_z @ h_before + b_z)
        q[t, row] = w_n @ h_before + b_n if reset_after else r * h_before
        n = np.tanh(a_n + r * q[t, row] if reset_after else a_n + w_n @ q[t, row] + b_n)
        h[t, row] = z * h_before + (1 - z) * n
        a[t, row] = np.concatenate([r, z, n])
    return _kept(h0, counts, reverse, h).astype(a.dtype), q.astype(a.dtype)


def gru_steps_grad(
    gy: Array, gh: Array, h0: Array, gates: Array, states: Array, q: Array, w: Array, counts: Sequence[int],
    reverse: bool, reset_after: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients of `gru_steps`, from the last step to the first.

    With e = gy[t] + gh: the sums of n get e (1−z)(1−n²), those of z get e (h[t−1] − n) z(1−z), and those of r get
    d r(1−r), d being the gradient of r: that of n times q, or that of q times h[t−1].

    Arguments:
        gy: (T, N, H), of the states. gh: (N, H), of the last states. The rest as `gru_steps` left it.

    Returns:
        ga (T, N, 3H), the gradients of the products with W: of r, z, and for n of q or of W q; gn (T, N, H), the
        gradient of what n is the tanh of; both 0 where a row took no part; and gh0 (N, H).
    """
    dtype = wide(gy.dtype)
    ga, gn, gh = np.zeros(gates.shape, dtype), np.zeros(states.shape, dtype), gh.astype(dtype)
    w_r, w_z, w_n = np.split(w.astype(dtype), 3)
    for t, row, before in reversed([*_rows(counts, reverse)]):
        r, z, n = np.split(gates[t, row].astype(dtype), 3)
        h_before = h0[row] if before is None else states[before, row]
        e = gy[t, row] + gh[row]
        gn[t, row] = e * (1 - z) * (1 - n * n)
        g_product = gn[t, row] * r if reset_after else gn[t, row]
        g_r = gn[t, row] * q[t, row] if reset_after else (gn[t, row] @ w_n) * h_before
        g_r, g_z = g_r * r * (1 - r), e * (h_before - n) * z * (1 - z)
        g_state = (gn[t, row] * r) @ w_n if reset_after else (gn[t, row] @ w_n) * r
        gh[row] = e * z + g_state + g_r @ w_r + g_z @ w_z
        ga[t, row] = np.concatenate([g_r, g_z, g_product])
    return ga.astype(gy.dtype), gn.astype(gy.dtype), gh.astype(gy.dtype)
