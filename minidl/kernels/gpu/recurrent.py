"""The time loops of recurrent networks, a kernel for the whole sequence: `rnn.cu`, `lstm.cu`, `gru.cu`.

States of more than 256 units go to `portable`, where cuBLAS multiplies by a matrix that no longer fits beside a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu.launcher import FLOATS, Kernel, Sizes, is_float, ready, resident

_RNN = Kernel("rnn.cu", "rnn_steps", FLOATS)
_RNN_GRADIENT = Kernel("rnn.cu", "rnn_gradient", FLOATS)
_LSTM = Kernel("lstm.cu", "lstm_steps", FLOATS)
_LSTM_GRADIENT = Kernel("lstm.cu", "lstm_gradient", FLOATS)
_GRU = Kernel("gru.cu", "gru_steps", FLOATS, ("false", "true"))
_GRU_GRADIENT = Kernel("gru.cu", "gru_gradient", FLOATS, ("false", "true"))

UNITS = 256
"""The most units of a state: a thread each."""


def _fits(H: int, *arrays: Array) -> bool:
    return 0 < H <= UNITS and is_float(arrays[0].dtype) and len({x.dtype for x in arrays}) == 1


def _grid(N: int, H: int) -> tuple[Sizes, Sizes]:
    return (N,), (-(-H // 32) * 32,)


def _counts(like: Array, counts: Sequence[int]) -> Array:
    return resident(like, np.array(counts, np.int32))


def rnn_steps(a: Array, h0: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool) -> Array:
    """See `portable.rnn_steps`."""
    T, N, H = a.shape
    if not _fits(H, a, h0, w) or not a.flags.c_contiguous:
        return portable.rnn_steps(a, h0, w, counts, reverse, relu)
    _RNN((a.dtype,), *_grid(N, H), a, ready(h0), ready(w.T), _counts(a, counts), T, N, H, reverse, relu)
    return a


def rnn_steps_grad(
    gy: Array, gh: Array, states: Array, w: Array, counts: Sequence[int], reverse: bool, relu: bool
) -> tuple[Array, Array]:
    """See `portable.rnn_steps_grad`."""
    T, N, H = states.shape
    if not _fits(H, gy, gh, states, w):
        return portable.rnn_steps_grad(gy, gh, states, w, counts, reverse, relu)
    ga, gh0 = _empty(gy, (T, N, H), (N, H))
    arrays = [ready(x) for x in (gy, gh, states, w)]
    _RNN_GRADIENT((gy.dtype,), *_grid(N, H), *arrays, ga, gh0, _counts(gy, counts), T, N, H, reverse, relu)
    return ga, gh0


def lstm_steps(
    a: Array, h0: Array, c0: Array, w: Array, counts: Sequence[int], reverse: bool
) -> tuple[Array, Array, Array]:
    """See `portable.lstm_steps`."""
    T, N, H = (*a.shape[:2], a.shape[2] // 4)
    if not _fits(H, a, h0, c0, w) or not a.flags.c_contiguous:
        return portable.lstm_steps(a, h0, c0, w, counts, reverse)
    kept = _empty(a, *[(T, N, H)] * 3)
    arrays = [ready(x) for x in (h0, c0, w.T)]
    _LSTM((a.dtype,), *_grid(N, H), a, *arrays, *kept, _counts(a, counts), T, N, H, reverse)
    states, cells, squashed = kept
    return states, cells, squashed


def lstm_steps_grad(
    gy: Array, gh: Array, gc: Array, c0: Array, gates: Array, cells: Array, squashed: Array, w: Array,
    counts: Sequence[int], reverse: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """See `portable.lstm_steps_grad`."""
    T, N, H = cells.shape
    given = (gy, gh, gc, c0, gates, cells, squashed, w)
    if not _fits(H, *given):
        return portable.lstm_steps_grad(*given, counts, reverse)
    ga, gh0, gc0 = _empty(gy, (T, N, 4 * H), (N, H), (N, H))
    arrays = [ready(x) for x in given]
    _LSTM_GRADIENT((gy.dtype,), *_grid(N, H), *arrays, ga, gh0, gc0, _counts(gy, counts), T, N, H, reverse)
    return ga, gh0, gc0


def gru_steps(
    a: Array,
    h0: Array,
    w: Array,
    b: Array,
    counts: Sequence[int],
    reverse: bool,
    reset_after: bool,
) -> tuple[Array, Array]:
    """See `portable.gru_steps`."""
    T, N, H = (*a.shape[:2], a.shape[2] // 3)
    if not _fits(H, a, h0, w, b) or not a.flags.c_contiguous:
        return portable.gru_steps(a, h0, w, b, counts, reverse, reset_after)
    states, q = _empty(a, (T, N, H), (T, N, H))
    arrays = [ready(x) for x in (h0, w.T, b)]
    form = (a.dtype, str(reset_after).lower())
    _GRU(form, *_grid(N, H), a, *arrays, states, q, _counts(a, counts), T, N, H, reverse)
    return states, q


def gru_steps_grad(
    gy: Array, gh: Array, h0: Array, gates: Array, states: Array, q: Array, w: Array, counts: Sequence[int],
    reverse: bool, reset_after: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """See `portable.gru_steps_grad`."""
    T, N, H = states.shape
    given = (gy, gh, h0, gates, states, q, w)
    if not _fits(H, *given):
        return portable.gru_steps_grad(*given, counts, reverse, reset_after)
    ga, gn, gh0 = _empty(gy, (T, N, 3 * H), (T, N, H), (N, H))
    arrays = [ready(x) for x in given]
    form = (gy.dtype, str(reset_after).lower())
    _GRU_GRADIENT(form, *_grid(N, H), *arrays, ga, gn, gh0, _counts(gy, counts), T, N, H, reverse)
    return ga, gn, gh0


def _empty(like: Array, *shapes: tuple[int, ...]) -> list[Any]:
    xp = array_module(like)
    return [xp.empty(shape, like.dtype) for shape in shapes]
