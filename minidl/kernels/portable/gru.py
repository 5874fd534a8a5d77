"""The time loop of gated recurrent units; order of rows and steps as in `recurrent`."""

from __future__ import annotations

from collections.abc import Sequence

from minidl.backend import Array, array_module
from minidl.kernels.portable.recurrent import by_rows, in_order, packed, sigmoid_, slopes


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
        first, last = packed(xp, w.T), None
        a[:, :, : 2 * H] += b[: 2 * H]
    else:
        first, last = packed(xp, w[: 2 * H].T), packed(xp, w[2 * H :].T)
        a += b

    def steps(rows: slice, counts: list[int]) -> None:
        h = h0[rows]
        product = xp.empty((len(h), first.shape[1]), a.dtype)
        for t in in_order(counts, reverse):
            n = counts[t]
            a_t, h_t, q_all = a[t, rows], states[t, rows], q[t, rows]
            sums, before, q_t, s = xp.matmul(h[:n], first, out=product[:n]), h[:n], q_all[:n], h_t[:n]
            rz, r, z, new = (a_t[:n, columns] for columns in _gru_columns(H))
            rz += sums[:, : 2 * H]
            sigmoid_(xp, rz)
            if last is None:
                xp.add(sums[:, 2 * H :], b[2 * H :], out=q_t)
                new += xp.multiply(r, q_t, out=s)
            else:
                xp.multiply(r, before, out=q_t)
                new += xp.matmul(q_t, last, out=s)
            xp.tanh(new, out=new)
            xp.subtract(before, new, out=s)
            s *= z
            s += new
            if n < len(h):
                h_t[n:], q_all[n:], a_t[n:] = h[n:], 0, 0
            h = h_t

    by_rows(xp, N, counts, steps)
    return states, q


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
    ga, gn = xp.empty(gates.shape, gy.dtype), xp.empty(states.shape, gy.dtype)
    gh, w = gh.copy(), packed(xp, w)
    first, back = (T - 1, 1) if reverse else (0, -1)

    def steps(rows: slice, counts: list[int]) -> None:
        e_all = gh[rows]
        scratch = xp.empty(e_all.shape, ga.dtype)
        for t in in_order(counts, not reverse):
            n = counts[t]
            y, g_t, before = gates[t, rows][:n], ga[t, rows][:n], (h0 if t == first else states[t + back])[rows][:n]
            _, r, z, new = (y[:, columns] for columns in _gru_columns(H))
            g_rz, g_r, g_z, g_n = (g_t[:, columns] for columns in _gru_columns(H))
            e, u, q_t, gn_t = e_all[:n], scratch[:n], q[t, rows][:n], gn[t, rows][:n]
            e += gy[t, rows][:n]
            slopes(xp, y, g_t, slice(2 * H, 3 * H))
            g_z *= xp.subtract(before, new, out=u)
            g_z *= e
            xp.multiply(e, z, out=u)  # what goes past the candidate, straight to the state before
            e -= u
            xp.multiply(g_n, e, out=gn_t)
            if reset_after:
                xp.multiply(gn_t, r, out=g_n)
                g_r *= gn_t
                g_r *= q_t
                xp.matmul(g_t, w, out=e)
            else:
                g_n[...] = gn_t
                xp.matmul(gn_t, w[2 * H :], out=e)
                g_r *= e
                g_r *= before
                e *= r
                u += e
                xp.matmul(g_rz, w[: 2 * H], out=e)
            e += u
            ga[t, rows][n:], gn[t, rows][n:] = 0, 0

    by_rows(xp, N, counts, steps)
    return ga, gn, gh


def _gru_columns(H: int) -> tuple[slice, slice, slice, slice]:
    """Of both gates, of r, of z and of n."""
    return slice(2 * H), slice(H), slice(H, 2 * H), slice(2 * H, 3 * H)
