r"""Recurrent networks as fused operations: a state carried from step to step, with the same weights at every step.

    RNN    h_t = tanh(W_x x_t + b_x + W_h h_{t−1} + b_h)                                       Elman 1990

    LSTM   i, f, o = σ(…),  g = tanh(…)      each … a sum like the one above, with weights of its own
           c_t = f ⊙ c_{t−1} + i ⊙ g,   h_t = o ⊙ tanh c_t             Hochreiter and Schmidhuber 1997, Gers et al. 2000

    GRU    r, z = σ(…)
           n = tanh(W_x x_t + b_x + r ⊙ (W_h h_{t−1} + b_h))     reset after the product: PyTorch, cuDNN
           n = tanh(W_x x_t + b_x + W_h (r ⊙ h_{t−1}) + b_h)     reset before it: Cho et al., arXiv:1406.1078
           h_t = z ⊙ h_{t−1} + (1 − z) ⊙ n

The weights of the gates lie above each other: i, f, g, o in an LSTM, r, z, n in a GRU.

A whole sequence is one operation: what the inputs add to the sums is one product for all steps, then the loop carries
the state through. Its composite is the loop of the formulas above, in plain operations.

There is no gate in the plain network (document 003 says there is, ERRATA 003-T15) and no convolution in an LSTM
(document 000 says so, ERRATA 000-T11). The candidate of document 004 multiplies the input by the reset gate as well,
which no GRU does (ERRATA 004-F3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Needs
from minidl.autograd.recorder import named, scope
from minidl.backend import Array
from minidl.kernels import kernels_for
from minidl.ops.activation import relu, sigmoid, tanh
from minidl.ops.fused import Fused
from minidl.ops.joining import cat, chunk, narrow, pad, stack
from minidl.ops.linalg import linear

if TYPE_CHECKING:
    from minidl.tensor import Tensor

# ── one step ──────────────────────────────────────────────────────────────────────────────────────
# Each takes what the input adds to the sums, the state before, and the weights of the state.


def rnn_step(a: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor, nonlinearity: str) -> tuple[Tensor]:
    activation = tanh if nonlinearity == "tanh" else relu
    return (named("h", activation(a + linear(h, w_hh, b_hh))),)


def lstm_step(a: Tensor, h: Tensor, c: Tensor, w_hh: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = chunk(a + linear(h, w_hh, b_hh), 4, -1)
    i, f, o = named("i", sigmoid(i)), named("f", sigmoid(f)), named("o", sigmoid(o))
    c = named("c", f * c + i * named("g", tanh(g)))
    return named("h", o * tanh(c)), c


def gru_step(a: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor, reset: str) -> tuple[Tensor]:
    H = h.array.shape[-1]
    a_rz, a_n = narrow(a, -1, 0, 2 * H), narrow(a, -1, 2 * H, H)
    w_rz, w_n = narrow(w_hh, 0, 0, 2 * H), narrow(w_hh, 0, 2 * H, H)
    b_rz, b_n = narrow(b_hh, 0, 0, 2 * H), narrow(b_hh, 0, 2 * H, H)
    r, z = chunk(sigmoid(a_rz + linear(h, w_rz, b_rz)), 2, -1)
    named("r", r), named("z", z)
    if reset == "after":
        n = tanh(a_n + r * linear(h, w_n, b_n))
    else:
        n = tanh(a_n + linear(r * h, w_n, b_n))
    return (named("h", z * h + (1 - z) * named("n", n)),)


# ── a whole sequence ──────────────────────────────────────────────────────────────────────────────


class Recurrent(Fused):
    """A recurrent layer over a whole sequence, in one direction.

    Inputs: x (T, N, D), the first states (N, H) each, w_ih (GH, D), w_hh (GH, H), b_ih and b_hh (GH,), G the number of
    gates. Outputs: y (T, N, H), the state after each step, 0 where a sequence is over, and the last states (N, H).

    Rows are sorted by length: the first `counts[t]` take part in step t. With `reverse`, time runs from the last step
    of each row to the first.
    """

    __slots__ = ("counts", "reverse")
    saves_output = True
    one_bias = True
    """Whether b_ih and b_hh are added to the same sums, so that one sum of both does for all steps."""

    def __init__(self, counts: tuple[int, ...], reverse: bool) -> None:
        self.counts, self.reverse = counts, reverse

    def step(self, a: Tensor, *state_and_weights: Tensor) -> tuple[Tensor, ...]:
        """The states after one step, from what the input adds to the sums, the states before, w_hh and b_hh."""
        raise TypeError(f"{type(self).__name__} has no step")

    def run(self, a: Array, state: list[Array], w_hh: Array, b_hh: Array) -> tuple[Array, ...]:
        """All steps on arrays: the states (T, N, H) of each kind, in order, then what `run_back` needs besides."""
        raise TypeError(f"{type(self).__name__} has no run")

    def run_back(self, gy: Array, glast: list[Array], state: list[Array], w_hh: Array) -> tuple[Array, ...]:
        """The gradients of W_x x + b_x, of w_hh, of b_hh and of the first states."""
        raise TypeError(f"{type(self).__name__} has no run_back")

    def composite(self, x: Tensor, *states_and_weights: Tensor) -> tuple[Tensor, ...]:
        *state, w_ih, w_hh, b_ih, b_hh = states_and_weights
        a = linear(x, w_ih, b_ih)
        T, N = x.array.shape[:2]
        ys: list[Any] = [None] * T
        for t in range(T - 1, -1, -1) if self.reverse else range(T):
            n = self.counts[t]
            with scope(f"t={t}"):
                new = self.step(a[t, :n], *[s[:n] for s in state], w_hh, b_hh)
                ys[t] = new[0] if n == N else pad(new[0], (0, 0, 0, N - n))
                state = [s if n == N else cat([s, old[n:]]) for s, old in zip(new, state, strict=True)]
        return (stack(ys), *state)

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        dtype = arrays[0].dtype
        x, *state, w_ih, w_hh, b_ih, b_hh = _wide(arrays)
        T, N, D = x.shape
        bias = b_ih + b_hh if self.one_bias else b_ih
        a = kernels_for(x).linear(x.reshape(T * N, D), w_ih, bias).reshape(T, N, w_ih.shape[0])
        states, *kept = self.run(a, state, w_hh, b_hh)
        last = 0 if self.reverse else -1
        lasts = [s[last].astype(dtype) for s in (states, *kept[: len(state) - 1])]  # copies: what is kept is ours
        y = states.astype(dtype, copy=self.ragged)
        if self.ragged:
            for t, n in enumerate(self.counts):
                y[t, n:] = 0
        self.buffers = (None if y is states else states, *kept)
        return (y, *lasts)

    def fast_backward(self, gy: Any, needs: Needs) -> tuple[Array | None, ...]:
        dtype = gy[0].dtype
        gy, *glast = _wide(gy)
        x, *state, w_ih, w_hh, _, _ = _wide(self.saved_arrays)
        ga, gw_hh, gb_hh, *gstate = self.run_back(gy, glast, state, w_hh)
        T, N, D = x.shape
        rows, matmul, last = ga.reshape(T * N, ga.shape[2]), kernels_for(ga).matmul, len(needs)
        gxs: tuple[Any, ...] = (
            matmul(rows, w_ih).reshape(x.shape) if needs[0] else None,
            *gstate,
            matmul(rows.T, x.reshape(T * N, D)) if needs[last - 4] else None,
            gw_hh,
            gb_hh.copy() if self.one_bias else _total(ga),
            gb_hh,
        )
        return tuple([gx.astype(dtype, copy=False) if need else None for gx, need in zip(gxs, needs, strict=True)])

    @property
    def ragged(self) -> bool:
        """Whether some rows are shorter than others."""
        return self.counts[0] != self.counts[-1]

    @property
    def states(self) -> Array:
        """The states (T, N, H) of the forward pass: the output itself, unless that has been cut or rounded."""
        kept: Array | None = self.buffers[0]
        return self.saved_outputs[0].array if kept is None else kept

    def pull_weight(self, ga: Array, states: Array, h0: Array) -> Array:
        """Σ_t ga[t]ᵀ h[t−1], the gradient of what multiplies the state before: one product for all but one step."""
        (T, N, G), H, matmul = ga.shape, h0.shape[1], kernels_for(ga).matmul
        later, earlier, first = (ga[:-1], states[1:], ga[-1]) if self.reverse else (ga[1:], states[:-1], ga[0])
        gw: Array = matmul(first.T, h0)
        if T > 1:
            gw += matmul(later.reshape((T - 1) * N, G).T, earlier.reshape((T - 1) * N, H))
        return gw


def _wide(arrays: Sequence[Array]) -> list[Array]:
    """float16 as float32, in which a sequence is computed and rounded once; other dtypes as they are."""
    return [x.astype(np.float32) if x.dtype == np.float16 else x for x in arrays]


def _total(ga: Array) -> Array:
    """The sum over all steps and rows, the gradient of a bias."""
    total: Array = ga.reshape(-1, ga.shape[-1]).sum(axis=0)
    return total


class RNN(Recurrent):
    """A plain recurrent layer over a whole sequence."""

    formula = r"h_t = \tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)"
    adjoint = (
        r"\bar a_t = (1 - h_t^2) \odot (\bar y_t + W_h^\top \bar a_{t+1}),\quad "
        r"\bar x_t = W_x^\top \bar a_t,\; \bar W_x = \textstyle\sum_t \bar a_t x_t^\top,\; "
        r"\bar W_h = \sum_t \bar a_t h_{t-1}^\top,\; \bar b_x = \bar b_h = \sum_t \bar a_t"
    )
    __slots__ = ("nonlinearity",)

    def __init__(self, counts: tuple[int, ...], reverse: bool, nonlinearity: str) -> None:
        super().__init__(counts, reverse)
        self.nonlinearity = nonlinearity

    def step(self, a: Tensor, *state_and_weights: Tensor) -> tuple[Tensor, ...]:
        h, w_hh, b_hh = state_and_weights
        return rnn_step(a, h, w_hh, b_hh, self.nonlinearity)

    def run(self, a: Array, state: list[Array], w_hh: Array, b_hh: Array) -> tuple[Array, ...]:
        kernels_for(a).rnn_steps(a, *state, w_hh, self.counts, self.reverse, self.nonlinearity == "relu")
        return (a,)

    def run_back(self, gy: Array, glast: list[Array], state: list[Array], w_hh: Array) -> tuple[Array, ...]:
        states = self.states
        ga, gh0 = kernels_for(gy).rnn_steps_grad(
            gy, *glast, states, w_hh, self.counts, self.reverse, self.nonlinearity == "relu"
        )
        return ga, self.pull_weight(ga, states, *state), _total(ga), gh0


class LSTM(Recurrent):
    """A long short-term memory layer over a whole sequence; its states are h and c."""

    formula = (
        r"i, f, o = \sigma(a_t),\; g = \tanh(a_t),\quad a_t = W_x x_t + b_x + W_h h_{t-1} + b_h,\quad "
        r"c_t = f \odot c_{t-1} + i \odot g,\quad h_t = o \odot \tanh c_t"
    )
    adjoint = (
        r"\bar h_t = \bar y_t + W_h^\top \bar a_{t+1},\quad "
        r"\bar c_t = f_{t+1} \odot \bar c_{t+1} + \bar h_t \odot o \odot (1 - \tanh^2 c_t),\quad "
        r"\bar a_t = [\bar c_t g\, i(1-i),\; \bar c_t c_{t-1} f(1-f),\; \bar c_t i (1-g^2),\; "
        r"\bar h_t \tanh(c_t)\, o(1-o)],\quad \bar W_h = \textstyle\sum_t \bar a_t h_{t-1}^\top"
    )

    def step(self, a: Tensor, *state_and_weights: Tensor) -> tuple[Tensor, ...]:
        return lstm_step(a, *state_and_weights)

    def run(self, a: Array, state: list[Array], w_hh: Array, b_hh: Array) -> tuple[Array, ...]:
        kept = kernels_for(a).lstm_steps(a, *state, w_hh, self.counts, self.reverse)
        return (*kept, a)

    def run_back(self, gy: Array, glast: list[Array], state: list[Array], w_hh: Array) -> tuple[Array, ...]:
        states, (h0, c0), (cells, squashed, gates) = self.states, state, self.buffers[1:]
        ga, gh0, gc0 = kernels_for(gy).lstm_steps_grad(
            gy, *glast, c0, gates, cells, squashed, w_hh, self.counts, self.reverse
        )
        return ga, self.pull_weight(ga, states, h0), _total(ga), gh0, gc0


class GRU(Recurrent):
    """A gated recurrent unit over a whole sequence, its reset gate before or after the product with W_h."""

    formula = (
        r"r, z = \sigma(W_x x_t + b_x + W_h h_{t-1} + b_h),\quad "
        r"n = \tanh(W_x x_t + b_x + r \odot (W_h h_{t-1} + b_h)),\quad "
        r"h_t = z \odot h_{t-1} + (1 - z) \odot n"
    )
    adjoint = (
        r"\bar h_t = \bar y_t + z_{t+1} \odot \bar h_{t+1} + W_h^\top \bar q_{t+1},\quad "
        r"\bar n = \bar h_t (1-z)(1-n^2),\; \bar z = \bar h_t (h_{t-1} - n) z(1-z),\; "
        r"\bar r = \bar n\, (W_h h_{t-1} + b_h)\, r(1-r),\quad "
        r"\bar a_t = [\bar r, \bar z, \bar n],\; \bar q_t = [\bar r, \bar z, r \bar n],\quad "
        r"\bar W_h = \textstyle\sum_t \bar q_t h_{t-1}^\top"
    )
    __slots__ = ("reset",)
    one_bias = False  # b_hh belongs to the product that the reset gate multiplies

    def __init__(self, counts: tuple[int, ...], reverse: bool, reset: str) -> None:
        super().__init__(counts, reverse)
        self.reset = reset

    def step(self, a: Tensor, *state_and_weights: Tensor) -> tuple[Tensor, ...]:
        h, w_hh, b_hh = state_and_weights
        return gru_step(a, h, w_hh, b_hh, self.reset)

    def run(self, a: Array, state: list[Array], w_hh: Array, b_hh: Array) -> tuple[Array, ...]:
        kept = kernels_for(a).gru_steps(a, *state, w_hh, b_hh, self.counts, self.reverse, self.reset == "after")
        return (*kept, a)

    def run_back(self, gy: Array, glast: list[Array], state: list[Array], w_hh: Array) -> tuple[Array, ...]:
        states, (h0,), (q, gates), H = self.states, state, self.buffers[1:], w_hh.shape[1]
        after = self.reset == "after"
        ga, gn, gh0 = kernels_for(gy).gru_steps_grad(
            gy, *glast, h0, gates, states, q, w_hh, self.counts, self.reverse, after
        )
        if after:
            gw_hh, gb_hh = self.pull_weight(ga, states, h0), _total(ga)
            ga[:, :, 2 * H :] = gn
        else:  # the candidate's rows of W multiply q, not the state
            rows = gn.reshape(-1, H)
            gw_n = kernels_for(gy).matmul(rows.T, q.reshape(-1, H))
            gw_hh = np.concatenate([self.pull_weight(ga[:, :, : 2 * H], states, h0), gw_n])
            gb_hh = _total(ga)
        return ga, gw_hh, gb_hh, gh0
