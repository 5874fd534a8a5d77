"""Faults in dtypes, in the use of memory, and in the tape itself."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from planting import Patch, fault, instead, replaced, rule

from minidl import ops
from minidl.autograd import Function, Variable, walk
from minidl.ops import (
    activation,
    arithmetic,
    broadcasting,
    elementwise,
    extremes,
)
from minidl.ops.registry import Operation

# ── dtypes ────────────────────────────────────────────────────────────────────────────────────────


@rule("mul: gradients drift to float64", "mul", arithmetic.Mul, only="dtype_kept")
def _(self: Any, gy: Any, needs: Any) -> Any:
    a, b = self.saved_inputs
    gxs = gy * b if needs[0] else None, gy * a if needs[1] else None
    return tuple(None if g is None else broadcasting.cast(g, np.result_type(g.array, np.float64)) for g in gxs)


@fault("tanh: computed in float64", "tanh", only="dtype_kept")
def _(patch: Patch) -> None:
    patch.setattr(activation.Tanh, "forward", lambda self, x: np.tanh(x * np.float64(1.0)))


# ── memory ────────────────────────────────────────────────────────────────────────────────────────


@fault("tape: leaves are given gradients that others hold", "add", only="gradients_are_private")
def _(patch: Patch) -> None:
    patch.setattr(walk, "_held_elsewhere", lambda *arguments: False)


@fault("tape: read-only broadcasts delivered as gradients", "sum", only="gradients_are_private")
def _(patch: Patch) -> None:
    patch.setattr(walk, "_private", lambda array: array)


@rule("exp: the saved output changed by the rule", "exp", elementwise.Exp)
def _(self: Any, gy: Any, needs: Any) -> Any:
    y = self.saved_outputs[0]
    gx = gy * y
    y.array[...] = 1
    return (gx,)


@rule("neg: the incoming gradient changed by the rule", "neg", arithmetic.Neg)
def _(self: Any, gy: Any, needs: Any) -> Any:
    gx = -gy
    gy.array[...] = 0
    return (gx,)


@rule("relu: the input changed by forward", "relu", activation.ReLU, "forward")
def _(self: Any, x: Any) -> Any:
    return np.maximum(x, 0, out=x)


@rule("tanh: memory read in storage order", "tanh", activation.Tanh, "forward", only="layouts")
def _(self: Any, x: Any) -> Any:
    return np.tanh(x.ravel(order="K").reshape(x.shape))


@rule("tanh: incoming gradient read in storage order", "tanh", activation.Tanh, only="layouts")
def _(self: Any, gy: Any, needs: Any) -> Any:
    flat = gy
    if not gy.requires_grad:
        flat = Variable._wrap(gy.array.ravel(order="K").reshape(gy.array.shape))
    y = self.saved_outputs[0]
    return (flat * (1 - y * y),)


@fault("tape: versions never counted", "mul", only="guarded")
def _(patch: Patch) -> None:
    patch.setattr(Variable, "_written", lambda self: None)


@fault("max: indices handed out without a copy", "max", only="guarded")
def _(patch: Patch) -> None:
    real = extremes.TakeAlong.__init__

    def init(self: Any, axis: int, indices: Any) -> None:
        real(self, axis, indices)
        handed[0] = indices

    def call(input: Any, dim: int) -> Any:
        values, _ = ops.max(input, dim)
        return values, Variable._wrap(handed[0])

    handed: list[Any] = [None]
    patch.setattr(extremes.TakeAlong, "__init__", init)
    return replaced("max", call)


@fault("tape: operations hold their outputs", "exp", only="no_leak")
def _(patch: Patch) -> None:
    real = Function._link

    def link(self: Any, inputs: Any, outputs: Any, *rest: Any) -> None:
        real(self, inputs, outputs, *rest)
        self.buffers = (*outputs,)

    patch.setattr(Function, "_link", link)


# ── the tape ──────────────────────────────────────────────────────────────────────────────────────


@rule("mul: gradients nobody wanted are computed", "mul", arithmetic.Mul, only="connected")
def _(self: Any, gy: Any, needs: Any) -> Any:
    a, b = (gy if x is None else x for x in self.saved_inputs)
    return gy * b, gy * a


@fault("tape: zeros for unused outputs made from the outputs, which are gone", "chunk", only="outputs_dropped")
def _(patch: Patch) -> Operation:
    real = Function._link

    def link(self: Any, inputs: Any, outputs: Any, *rest: Any) -> None:
        real(self, inputs, outputs, *rest)
        watched[self] = [weakref.ref(y) for y in outputs]

    def fill(self: Any, gys: Any) -> Any:
        return tuple(ref().zeros_like() if g is None else g for ref, g in zip(watched[self], gys, strict=True)) if (
            self.output_specs) else gys[0]  # fmt: skip

    watched: Any = weakref.WeakKeyDictionary()
    patch.setattr(Function, "_link", link)
    patch.setattr(Function, "fill_missing", fill)
    patch.setattr(Variable, "zeros_like", lambda self: Variable._wrap(self.array * 0), raising=False)
    return replaced("chunk", lambda input, chunks, dim: _Twice()(input))


class _Twice(Function):
    """Two outputs from one operation."""

    def forward(self, x: Any) -> Any:
        return x * 2, x * 3

    def backward(self, gy: Any, needs: Any) -> Any:
        return (gy[0] * 2 + gy[1] * 3,)


@instead("sigmoid: the result forgets where it came from", "sigmoid")
def _(input: Any) -> Any:
    return ops.sigmoid(input).detach()


@fault("tape: contributions overwrite instead of adding", "var")
def _(patch: Patch) -> None:
    patch.setattr(walk.GradientTable, "add", walk.GradientTable.__setitem__)


@fault("tape: an operation is visited before all its consumers", "gelu")
def _(patch: Patch) -> None:
    def impatient(roots: Any) -> Any:
        order = list(dict.fromkeys(roots))
        for node in order:
            for edge in node.edges:
                if isinstance(edge, tuple) and edge[0] not in order:
                    order.append(edge[0])
        return order

    patch.setattr(walk, "topological_order", impatient)


@fault(
    "tape: a sum written into an array that somebody holds", "silu", only="nothing_written vjp_linear first_derivative"
)
def _(patch: Patch) -> None:
    def add(self: Any, target: Any, gradient: Any) -> None:
        held = self.get(target)
        if held is None:
            self[target] = gradient
        elif gradient._requires_grad or held._requires_grad:
            self[target] = held + gradient
        else:
            held.array += gradient.array

    patch.setattr(walk.GradientTable, "add", add)
    return replaced("silu", lambda input: input + input)
