"""Recurrent layers over whole sequences, and their cells, which take one step. The mathematics is in `recurrence`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, as_tensor, floating, promoted
from minidl.ops.choice import where
from minidl.ops.index import index_select
from minidl.ops.joining import cat, chunk
from minidl.ops.linalg import linear
from minidl.ops.recurrence import GRU, LSTM, RNN, Recurrent, gru_step, lstm_step, rnn_step
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Lengths: TypeAlias = "Sequence[int] | Tensor | Array | None"


def _checked(
    name: str, gates: int, input: Operand, states: Sequence[Operand | None], w_ih: Operand, w_hh: Operand,
    b_ih: Operand | None, b_hh: Operand | None, cell: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The operands as tensors of one dtype and of shapes that fit; zeros for what was left out."""
    x, w, u = floating(input), as_tensor(w_ih), as_tensor(w_hh)
    letters = "(N, D)" if cell else "(T, N, D)"
    if x.array.ndim != (2 if cell else 3):
        raise RuntimeError(f"{name}: x must be {letters}, got shape {x.array.shape}")
    if u.array.ndim != 2 or u.array.shape[0] != gates * u.array.shape[1]:
        form = "(H, H)" if gates == 1 else f"({gates}H, H)"
        raise RuntimeError(f"{name}: w_hh must be {form}, got shape {u.array.shape}")
    N, D, H = x.array.shape[-2], x.array.shape[-1], u.array.shape[1]
    if not cell and not x.array.shape[0]:
        raise RuntimeError(f"{name}: x of shape {x.array.shape} has no step: T must be at least 1")
    xp = array_module(x.array)
    parts: list[tuple[str, Operand | None, tuple[int, ...], str]]
    parts = [(letter, s, (N, H), "(N, H)") for letter, s in zip(("h0", "c0"), states)]  # one or both
    parts += [(letter, b, (gates * H,), f"({gates}H,)") for letter, b in (("b_ih", b_ih), ("b_hh", b_hh))]
    if w.array.shape != (gates * H, D):
        raise RuntimeError(
            f"{name}: x has D={D} features and the state H={H}, so w_ih must be ({gates}H, D) = {(gates * H, D)}, "
            f"got shape {w.array.shape}"
        )
    filled = []
    for letter, value, shape, form in parts:
        t = as_tensor(xp.zeros(shape, x.array.dtype) if value is None else value)
        if t.array.shape != shape:
            raise RuntimeError(f"{name}: {letter} must be {form} = {shape}, got shape {t.array.shape}")
        filled.append(t)
    return promoted(x, *filled[: len(states)], w, u, *filled[len(states) :])


def _counts(name: str, lengths: Lengths, T: int, N: int) -> tuple[tuple[int, ...], Array | None]:
    """How many rows take part in each step, and the order that sorts the rows by length, None if they are sorted."""
    if lengths is None:
        return (N,) * T, None
    given = lengths.array if isinstance(lengths, Variable) else lengths
    n = np.asarray(given.get() if hasattr(given, "get") else given)
    if n.shape != (N,) or n.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: lengths must be {N} integers, one for each of the N={N} sequences, "
            f"got {n.dtype.name} of shape {n.shape}"
        )
    if N and not (n.min() >= 1 and n.max() <= T):
        raise RuntimeError(f"{name}: lengths must lie between 1 and T={T}, got {int(n.min())} to {int(n.max())}")
    counts = tuple([int(c) for c in (n[None, :] > np.arange(T)[:, None]).sum(axis=1)])
    return counts, None if (n[1:] <= n[:-1]).all() else np.argsort(-n.astype(np.int64), kind="stable")


def _over_time(make: Callable[[tuple[int, ...]], Recurrent], name: str, lengths: Lengths,
               operands: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # fmt: skip
    """Run a layer on rows sorted by length, and give its results in the order of the input."""
    x, *state, w_ih, w_hh, b_ih, b_hh = operands
    T, N = x.array.shape[:2]
    counts, order = _counts(name, lengths, T, N)
    if order is not None:
        x, state = index_select(x, 1, order), [index_select(s, 0, order) for s in state]
    if counts[-1] < N:  # whatever stands behind the end of a sequence, be it nan, must not reach the weights
        alive = array_module(x.array).asarray(np.arange(N) < np.asarray(counts)[:, None])
        x = where(alive[:, :, None], x, 0.0)
    if order is None:
        result: tuple[Tensor, ...] = make(counts)(x, *state, w_ih, w_hh, b_ih, b_hh)
        return result
    y, *last = make(counts)(x, *state, w_ih, w_hh, b_ih, b_hh)
    back = np.argsort(order)
    return (index_select(y, 1, back), *[index_select(s, 0, back) for s in last])


def _one_of(name: str, what: str, value: str, choices: tuple[str, str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: {what} must be {choices[0]!r} or {choices[1]!r}, got {value!r}")


def _example(gates: int, T: int, N: int, D: int, H: int, states: tuple[str, ...] = ("h0",), **others: Any) -> Any:
    def example(draw: Any) -> dict[str, Any]:
        arrays = {"input": draw(T, N, D) if T else draw(N, D), **{s: draw(N, H) for s in states}}
        arrays |= {"w_ih": draw(gates * H, D), "w_hh": draw(gates * H, H), "b_hh": draw(gates * H)}
        return arrays | others

    return example


@op(RNN, example=_example(1, 3, 4, 2, 3, lengths=np.array([2, 3, 1, 2])))
def rnn(input: Operand, h0: Operand | None, w_ih: Operand, w_hh: Operand, b_ih: Operand | None = None,
        b_hh: Operand | None = None, *, nonlinearity: str = "tanh", lengths: Lengths = None,
        reverse: bool = False) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""A plain recurrent layer over whole sequences, $h_t = \tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)$.

    Arguments:
        input: x (T, N, D), steps first.
        h0: the state (N, H) before the first step; None is 0.
        w_ih, w_hh: W_x (H, D) and W_h (H, H). b_ih, b_hh: (H,); None is 0.
        nonlinearity: "tanh" or "relu".
        lengths: how many steps each sequence has, (N,) in any order; None is T for all.
        reverse: run each sequence from its last step to its first; y stays in the order of x.

    Returns:
        y (T, N, H), the state after each step, 0 where a sequence is over; and the last state of each, (N, H), in
        reverse that at its first step.

    Raises:
        RuntimeError: shapes that do not fit, or no step. ValueError: an unknown nonlinearity.

    Source: Elman, Cognitive Science 14:179–211, 1990. The formula of document 001 (ERRATA 001-F6); its output o_t is a
    dense layer on y and no state (001-F7).
    """
    _one_of("rnn", "nonlinearity", nonlinearity, ("tanh", "relu"))
    operands = _checked("rnn", 1, input, [h0], w_ih, w_hh, b_ih, b_hh, cell=False)
    y, h = _over_time(lambda counts: RNN(counts, reverse, nonlinearity), "rnn", lengths, operands)
    return y, h


@op(LSTM, example=_example(4, 3, 3, 1, 2, ("h0", "c0"), lengths=np.array([1, 3, 2])))
def lstm(input: Operand, h0: Operand | None, c0: Operand | None, w_ih: Operand, w_hh: Operand,
         b_ih: Operand | None = None, b_hh: Operand | None = None, *, lengths: Lengths = None,
         reverse: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""A long short-term memory layer over whole sequences.

    $c_t = f \odot c_{t-1} + i \odot g$ and $h_t = o \odot \tanh c_t$, where i, f, o are sigmoids and g is a tanh of
    $W_x x_t + b_x + W_h h_{t-1} + b_h$, each of rows of its own. It contains no convolution (ERRATA 000-T11); these are
    the formulas that document 003 leaves out (003-T16).

    Arguments:
        input, lengths, reverse: as in `rnn`.
        h0, c0: output and memory (N, H) before the first step; None is 0.
        w_ih, w_hh: (4H, D) and (4H, H), the rows of i, f, g, o in this order. b_ih, b_hh: (4H,); None is 0.

    Returns:
        y (T, N, H), h_t after each step; then the last h and the last c, (N, H).

    Raises:
        RuntimeError: shapes that do not fit, or no step.

    Source: Hochreiter and Schmidhuber, Neural Computation 9:1735–1780, 1997; forget gate: Gers et al., 2000.
    """
    operands = _checked("lstm", 4, input, [h0, c0], w_ih, w_hh, b_ih, b_hh, cell=False)
    y, h, c = _over_time(lambda counts: LSTM(counts, reverse), "lstm", lengths, operands)
    return y, h, c


def _z_turned(operands: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The operands of a GRU whose z means the opposite: σ(−a) = 1 − σ(a), so the rows of z change sign."""
    *x_and_h, w_ih, w_hh, b_ih, b_hh = operands
    turned = []
    for w in (w_ih, w_hh, b_ih, b_hh):
        r, z, n = chunk(w, 3, 0)
        turned.append(cat([r, -z, n]))
    return (*x_and_h, *turned)


def _gru_forms(name: str, reset: str, z_keeps: str) -> None:
    _one_of(name, "reset", reset, ("after", "before"))
    _one_of(name, "z_keeps", z_keeps, ("old", "new"))


@op(GRU, example=_example(3, 3, 3, 1, 2, lengths=np.array([1, 3, 2])))
def gru(input: Operand, h0: Operand | None, w_ih: Operand, w_hh: Operand, b_ih: Operand | None = None,
        b_hh: Operand | None = None, *, reset: str = "after", z_keeps: str = "old", lengths: Lengths = None,
        reverse: bool = False) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""A gated recurrent unit over whole sequences, $h_t = z \odot h_{t-1} + (1 - z) \odot n$.

    r and z are sigmoids of $W_x x_t + b_x + W_h h_{t-1} + b_h$. The candidate n is
    $\tanh(W_x x_t + b_x + r \odot (W_h h_{t-1} + b_h))$ where the reset comes after the product, and
    $\tanh(W_x x_t + b_x + W_h (r \odot h_{t-1}) + b_h)$ where it comes before. Only the state is reset, never the
    input; what document 004 prints resets both (ERRATA 004-F3).

    Arguments:
        input, h0, lengths, reverse: as in `rnn`.
        w_ih, w_hh: (3H, D) and (3H, H), the rows of r, z, n in this order. b_ih, b_hh: (3H,); None is 0.
        reset: "after" as PyTorch, cuDNN and Keras have it, "before" as Cho et al. and document 004 (004-F3).
        z_keeps: what z = 1 keeps: "old" as Cho et al. and PyTorch, or "new" as Chung et al. and document 004, where
            $h_t = (1 - z) \odot h_{t-1} + z \odot n$ (004-F4). The rows of z change sign between the two.

    Returns:
        y (T, N, H) and the last state (N, H), as in `rnn`.

    Raises:
        RuntimeError: shapes that do not fit, or no step. ValueError: an unknown form.

    Source: Cho et al., arXiv:1406.1078; Chung et al., arXiv:1412.3555.
    """
    _gru_forms("gru", reset, z_keeps)
    operands = _checked("gru", 3, input, [h0], w_ih, w_hh, b_ih, b_hh, cell=False)
    operands = operands if z_keeps == "old" else _z_turned(operands)
    y, h = _over_time(lambda counts: GRU(counts, reverse, reset), "gru", lengths, operands)
    return y, h


# ── single steps ──────────────────────────────────────────────────────────────────────────────────


@op(formula=RNN.formula, adjoint=RNN.adjoint, example=_example(1, 0, 4, 2, 3))
def rnn_cell(input: Operand, h0: Operand | None, w_ih: Operand, w_hh: Operand, b_ih: Operand | None = None,
             b_hh: Operand | None = None, *, nonlinearity: str = "tanh") -> Tensor:  # fmt: skip
    """One step of `rnn`: x (N, D) and h (N, H) to the next h. A cell takes one step, not a sequence (ERRATA 001-C8)."""
    _one_of("rnn_cell", "nonlinearity", nonlinearity, ("tanh", "relu"))
    x, h, w, u, b, c = _checked("rnn_cell", 1, input, [h0], w_ih, w_hh, b_ih, b_hh, cell=True)
    return rnn_step(linear(x, w, b), h, u, c, nonlinearity)[0]


@op(formula=LSTM.formula, adjoint=LSTM.adjoint, example=_example(4, 0, 3, 1, 2, ("h0", "c0")))
def lstm_cell(input: Operand, h0: Operand | None, c0: Operand | None, w_ih: Operand, w_hh: Operand,
              b_ih: Operand | None = None, b_hh: Operand | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One step of `lstm`: x (N, D), h and c (N, H) to the next h and c."""
    x, h, c, w, u, b, d = _checked("lstm_cell", 4, input, [h0, c0], w_ih, w_hh, b_ih, b_hh, cell=True)
    return lstm_step(linear(x, w, b), h, c, u, d)


@op(formula=GRU.formula, adjoint=GRU.adjoint, example=_example(3, 0, 3, 1, 2))
def gru_cell(input: Operand, h0: Operand | None, w_ih: Operand, w_hh: Operand, b_ih: Operand | None = None,
             b_hh: Operand | None = None, *, reset: str = "after", z_keeps: str = "old") -> Tensor:  # fmt: skip
    """One step of `gru`: x (N, D) and h (N, H) to the next h; `reset` and `z_keeps` as there."""
    _gru_forms("gru_cell", reset, z_keeps)
    operands = _checked("gru_cell", 3, input, [h0], w_ih, w_hh, b_ih, b_hh, cell=True)
    x, h, w, u, b, c = operands if z_keeps == "old" else _z_turned(operands)
    return gru_step(linear(x, w, b), h, u, c, reset)[0]
