"""Faults in recurrent networks: gates, steps, states, lengths and directions mixed up."""

from __future__ import annotations

from typing import Any

import numpy as np
from planting import Patch, around, fault, instead

from minidl import ops
from minidl.kernels import portable
from minidl.kernels.portable import recurrent as loops
from minidl.ops import recurrence

# ── on the way back ───────────────────────────────────────────────────────────────────────────────


@fault("rnn: hidden weights learn nothing from the first step", "rnn")
def _(patch: Patch) -> None:
    real = recurrence.Recurrent.pull_weight
    patch.setattr(recurrence.Recurrent, "pull_weight", lambda self, ga, s, h0: real(self, ga, s, h0 * 0))


@around("rnn: bias gradient of one step only", "rnn", recurrence._total)
def _(real: Any, ga: Any) -> Any:
    return ga[-1].sum(axis=0)


@fault("lstm: both biases in the sum, but only one learns", "lstm, reverse and ragged")
def _(patch: Patch) -> None:
    real = recurrence.Recurrent.fast_backward

    def fast_backward(self: Any, gy: Any, needs: Any) -> Any:
        *gxs, gb_ih, gb_hh = real(self, gy, needs)
        return (*gxs, None if gb_ih is None else gb_ih * 0, gb_hh)

    patch.setattr(recurrence.Recurrent, "fast_backward", fast_backward)


@around("rnn: no gradient for the first state", "rnn", portable.rnn_steps_grad)
def _(real: Any, **given: Any) -> Any:
    ga, gh = real(**given)
    return ga, gh * 0


@around("lstm: no gradient for the first memory", "lstm", portable.lstm_steps_grad)
def _(real: Any, **given: Any) -> Any:
    ga, gh, gc = real(**given)
    return ga, gh, gc * 0


@around("lstm: the gradient of the last memory ignored", "lstm", portable.lstm_steps_grad)
def _(real: Any, gc: Any, **given: Any) -> Any:
    return real(gc=gc * 0, **given)


@around("lstm: forget gate multiplied by the memory after the step", "lstm", portable.lstm_steps_grad)
def _(real: Any, c0: Any, cells: Any, **given: Any) -> Any:
    return real(c0=cells[0], cells=np.concatenate([cells[1:], cells[-1:]]), **given)


@around("gru: r and z exchanged on the way back", "gru", portable.gru_steps_grad)
def _(real: Any, gates: Any, **given: Any) -> Any:
    r, z, n = np.split(gates, 3, axis=2)
    return real(gates=np.concatenate([z, r, n], axis=2), **given)


@around("gru: the candidate's gradient passes W without the reset gate", "gru", portable.gru_steps_grad)
def _(real: Any, gates: Any, **given: Any) -> Any:
    _, z, n = np.split(gates, 3, axis=2)
    return real(gates=np.concatenate([np.ones_like(z), z, n], axis=2), **given)


@around("gru: reset before the product, weight gradient as if after",
        "gru, reset before, z keeps new, reverse and ragged", portable.gru_steps)  # fmt: skip
def _(real: Any, **given: Any) -> Any:
    states, q = real(**given)
    r = given["a"][:, :, : q.shape[2]]
    return states, q / r


@around("rnn: lengths ignored on the way back", "rnn", portable.rnn_steps_grad)
def _(real: Any, gh: Any, counts: Any, **given: Any) -> Any:
    return real(gh=gh, counts=(len(gh),) * len(counts), **given)


@around("lstm: a reversed run walked back in the wrong direction", "lstm, reverse and ragged", portable.lstm_steps_grad)
def _(real: Any, reverse: bool, **given: Any) -> Any:
    return real(reverse=not reverse, **given)


@around("rnn: dead units pass the gradient", "rnn, relu", portable.rnn_steps_grad)
def _(real: Any, states: Any, **given: Any) -> Any:
    return real(states=abs(states) + 1, **given)


@fault("gru: a sequence goes on behind its end", "gru")
def _(patch: Patch) -> None:
    patch.setattr(recurrence.Recurrent, "ragged", False)


@fault("lstm: the sigmoid's slope of the candidate, second derivative right", "lstm")
def _(patch: Patch) -> None:
    patch.setattr(loops, "slopes", lambda xp, y, out, tanh: xp.multiply(y, 1 - y, out=out))


# ── in the meaning: value and gradient agree with each other, and both are wrong ───────────────────────


@instead("rnn: looks one step ahead", "rnn", only="future_does_not_matter")
def _(input: Any, **given: Any) -> Any:
    return ops.rnn(ops.cat([input[1:], input[:1]]), **given)


@instead("lstm: reversed twice", "lstm, reverse and ragged", only="future_does_not_matter")
def _(input: Any, **given: Any) -> Any:
    return ops.lstm(ops.flip(input, (0,)), **given)


@instead("gru: sequences start from their neighbour's state", "gru", only="one_by_one")
def _(input: Any, h0: Any, **given: Any) -> Any:
    return ops.gru(input, ops.cat([h0[1:], h0[:1]]), **given)


@instead("lstm: lengths ignored", "lstm", only="one_by_one")
def _(lengths: Any, **given: Any) -> Any:
    return ops.lstm(**given)


@fault("rnn: the last thread's rows left out", "rnn", only="cut_anywhere")
def _(patch: Patch) -> None:
    real = loops.parallel_for

    def parallel_for(items: int, chunk: int, body: Any) -> None:
        whole = items - items % chunk or items
        real(whole if items > chunk else items, chunk, body)

    patch.setattr(loops, "parallel_for", parallel_for)


@instead("lstm: f and g exchanged", "lstm", only="defined")
def _(w_ih: Any, w_hh: Any, b_hh: Any, **given: Any) -> Any:
    def exchanged(w: Any) -> Any:
        i, f, g, o = ops.chunk(w, 4, 0)
        return ops.cat([i, g, f, o])

    return ops.lstm(w_ih=exchanged(w_ih), w_hh=exchanged(w_hh), b_hh=exchanged(b_hh), **given)


@instead("gru: reset gate on the wrong side of the product", "gru", only="defined")
def _(**given: Any) -> Any:
    return ops.gru(reset="before", **given)


@instead("gru: z and 1 − z exchanged", "gru", only="defined")
def _(**given: Any) -> Any:
    return ops.gru(z_keeps="new", **given)


@instead("rnn_cell: a cell forgets its bias", "rnn_cell", only="connected")
def _(b_hh: Any, **given: Any) -> Any:
    return ops.rnn_cell(**given)


@instead("lstm_cell: the new memory put out in place of its tanh", "lstm_cell", only="defined")
def _(**given: Any) -> Any:
    h, c = ops.lstm_cell(**given)
    return h / ops.tanh(c) * c, c
