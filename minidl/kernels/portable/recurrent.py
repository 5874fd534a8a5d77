"""The time loops of recurrent networks: what one step hands to the next; the rest is done for all steps at once.

Rows of a batch are sorted by length, the longest first, so those that take part in step t are the first `counts[t]`;
the others keep their state. With `reverse` the steps run from the last to the first: then rows join instead of leaving.
The text below writes t − 1 for the step taken before t, which is then t + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl.backend import Array, array_module
from minidl.kernels.threads import single_threaded_blas

# ── the plain network ─────────────────────────────────────────────────────────────────────────────


@single_threaded_blas()
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
    h, wt = h0, _rows(xp, w.T)
    product = xp.empty(h0.shape, a.dtype)
    for t in _steps(counts, reverse):
        n = counts[t]
        s = a[t, :n]
        s += xp.matmul(h[:n], wt, out=product[:n])
        xp.maximum(s, 0, out=s) if relu else xp.tanh(s, out=s)
        a[t, n:] = h[n:]
        h = a[t]
    return a


@single_threaded_blas()
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
    if relu:
        ga = (states > 0).astype(states.dtype)
    else:
        ga = states * states
        xp.subtract(1, ga, out=ga)
    gh, w = gh.copy(), _rows(xp, w)
    for t in _steps(counts, not reverse):
        n = counts[t]
        g, ga_t = gh[:n], ga[t, :n]
        g += gy[t, :n]
        ga_t *= g
        ga[t, n:] = 0
        xp.matmul(ga_t, w, out=g)
    return ga, gh


# ── LSTM ──────────────────────────────────────────────────────────────────────────────────────────


@single_threaded_blas()
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
    h, c, wt = h0, c0, _rows(xp, w.T)
    product, ig = xp.empty((N, 4 * H), a.dtype), xp.empty((N, H), a.dtype)
    for t in _steps(counts, reverse):
        n = counts[t]
        gates = a[t, :n]
        gates += xp.matmul(h[:n], wt, out=product[:n])
        i, f, g, o = (gates[:, k * H : (k + 1) * H] for k in range(4))
        _sigmoid(xp, gates[:, : 2 * H])
        xp.tanh(g, out=g)
        _sigmoid(xp, o)
        new = cells[t, :n]
        xp.multiply(f, c[:n], out=new)
        new += xp.multiply(i, g, out=ig[:n])
        xp.tanh(new, out=squashed[t, :n])
        xp.multiply(o, squashed[t, :n], out=states[t, :n])
        states[t, n:], cells[t, n:], squashed[t, n:], a[t, n:] = h[n:], c[n:], 0, 0
        h, c = states[t], cells[t]
    return states, cells, squashed


@single_threaded_blas()
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
    ga = _slopes(xp, gates, slice(2 * H, 3 * H))
    gh, gc, w = gh.copy(), gc.copy(), _rows(xp, w)
    scratch = xp.empty((N, H), ga.dtype)
    first, back = (T - 1, 1) if reverse else (0, -1)
    for t in _steps(counts, not reverse):
        n = counts[t]
        i, f, g, o = (gates[t, :n, k * H : (k + 1) * H] for k in range(4))
        ga_i, ga_f, ga_g, ga_o = (ga[t, :n, k * H : (k + 1) * H] for k in range(4))
        tc, e, d, u = squashed[t, :n], gh[:n], gc[:n], scratch[:n]
        e += gy[t, :n]
        ga_o *= e
        ga_o *= tc
        xp.multiply(tc, tc, out=u)
        xp.subtract(1, u, out=u)
        u *= o
        u *= e
        d += u
        ga_i *= d
        ga_i *= g
        ga_f *= d
        ga_f *= (c0 if t == first else cells[t + back])[:n]
        ga_g *= d
        ga_g *= i
        d *= f
        xp.matmul(ga[t, :n], w, out=e)
        ga[t, n:] = 0
    return ga, gh, gc


# ── GRU ───────────────────────────────────────────────────────────────────────────────────────────


@single_threaded_blas()
def gru_steps(
    a: Array,
    h0: Array,
    w: Array,
    b: Array,
    counts: Sequence[int],
    reverse: bool,
    reset_after: bool,
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
    xp = array_module(a)
    T, N, H = (*a.shape[:2], a.shape[2] // 3)
    states, q = xp.empty((T, N, H), a.dtype), xp.empty((T, N, H), a.dtype)
    if reset_after:
        first, last, q_bias = _rows(xp, w.T), None, b[2 * H :]
        a[:, :, : 2 * H] += b[: 2 * H]
    else:
        first, last, q_bias = _rows(xp, w[: 2 * H].T), _rows(xp, w[2 * H :].T), None
        a += b
    h = h0
    product = xp.empty((N, first.shape[1]), a.dtype)
    for t in _steps(counts, reverse):
        n = counts[t]
        sums, before, q_t = xp.matmul(h[:n], first, out=product[:n]), h[:n], q[t, :n]
        rz, r, z, new = (a[t, :n, columns] for columns in _gru_columns(H))
        rz += sums[:, : 2 * H]
        _sigmoid(xp, rz)
        if last is None:
            xp.add(sums[:, 2 * H :], q_bias, out=q_t)
            new += xp.multiply(r, q_t, out=states[t, :n])
        else:
            xp.multiply(r, before, out=q_t)
            new += xp.matmul(q_t, last, out=states[t, :n])
        xp.tanh(new, out=new)
        s = xp.subtract(before, new, out=states[t, :n])
        s *= z
        s += new
        states[t, n:], q[t, n:], a[t, n:] = h[n:], 0, 0
        h = states[t]
    return states, q


@single_threaded_blas()
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
    xp = array_module(gy)
    T, N, H = states.shape
    ga = _slopes(xp, gates, slice(2 * H, 3 * H))
    gn = ga[:, :, 2 * H :].copy() if reset_after else ga[:, :, 2 * H :]
    gh, w = gh.copy(), _rows(xp, w)
    scratch = xp.empty((N, H), ga.dtype)
    first, back = (T - 1, 1) if reverse else (0, -1)
    for t in _steps(counts, not reverse):
        n = counts[t]
        before = (h0 if t == first else states[t + back])[:n]
        _, r, z, new = (gates[t, :n, columns] for columns in _gru_columns(H))
        ga_rz, ga_r, ga_z, ga_n = (ga[t, :n, columns] for columns in _gru_columns(H))
        e, u, gn_t = gh[:n], scratch[:n], gn[t, :n]
        e += gy[t, :n]
        ga_z *= xp.subtract(before, new, out=u)
        ga_z *= e
        xp.multiply(e, z, out=u)  # what goes past the candidate, straight to the state before
        e -= u
        gn_t *= e
        if reset_after:
            xp.multiply(gn_t, r, out=ga_n)
            ga_r *= gn_t
            ga_r *= q[t, :n]
            xp.matmul(ga[t, :n], w, out=e)
        else:
            xp.matmul(gn_t, w[2 * H :], out=e)
            ga_r *= e
            ga_r *= before
            e *= r
            u += e
            xp.matmul(ga_rz, w[: 2 * H], out=e)
        e += u
        ga[t, n:], gn[t, n:] = 0, 0
    return ga, gn, gh


def _steps(counts: Sequence[int], reverse: bool) -> range:
    return range(len(counts))[::-1] if reverse else range(len(counts))


def _gru_columns(H: int) -> tuple[slice, slice, slice, slice]:
    """Of both gates, of r, of z and of n."""
    return slice(2 * H), slice(H), slice(H, 2 * H), slice(2 * H, 3 * H)


def _slopes(xp: Any, gates: Array, tanh: slice) -> Array:
    """The derivatives of the gates by their sums, for all steps at once: y(1 − y) of a sigmoid, 1 − y² of a tanh."""
    slopes = gates * gates
    squares = slopes[:, :, tanh]
    xp.subtract(gates, slopes, out=slopes)
    y = gates[:, :, tanh]
    xp.multiply(y, y, out=squares)
    xp.subtract(1, squares, out=squares)
    return slopes


def _sigmoid(xp: Any, x: Array) -> None:
    """x becomes (tanh(x/2) + 1)/2, which cannot overflow."""
    x *= 0.5
    xp.tanh(x, out=x)
    x *= 0.5
    x += 0.5


def _rows(xp: Any, w: Array) -> Array:
    return xp.ascontiguousarray(w)
