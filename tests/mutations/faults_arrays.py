"""Faults in reductions, shapes, positions and products."""

from __future__ import annotations

from typing import Any

import numpy as np
from planting import Patch, fault, instead, rule

from minidl import ops
from minidl.autograd import Function
from minidl.kernels import reference
from minidl.ops import (
    choice,
    extremes,
    index,
    joining,
    linalg,
    norms,
    reduce,
    shape,
)

# ── reductions ────────────────────────────────────────────────────────────────────────────────────


class _MeanGradientOfSum(Function):
    """A mean whose gradient is that of a sum."""

    __slots__ = ("axis", "shape")

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.mean(axis=self.axis)

    def backward(self, gy: Any, needs: Any) -> Any:
        return (ops.broadcast_to(ops.unsqueeze(gy, self.axis), self.shape),)


@instead("mean: 1/n missing in the gradient", "mean")
def _(input: Any, dim: int) -> Any:
    return _MeanGradientOfSum(dim)(input)


@rule("norm: not divided by the norm", "norm", norms.Norm)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (self.saved_inputs[0] * self.spread(gy),)


@rule("cumsum: the gradient summed from the wrong end", "cumsum", reduce.CumSum)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (reduce.CumSum(self.axis)(gy),)


@rule("amax: every tie takes the whole gradient", "amax", extremes.AMax, only="shifts_with_its_input")
def _(self: Any, gy: Any, needs: Any) -> Any:
    (x,), (y,) = self.saved_inputs, self.saved_outputs
    return (choice.where(x == self.spread(y), self.spread(gy), 0),)


@rule("max: gradient to the neighbour", "max", extremes.TakeAlong)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (extremes.PutAlong(self.axis, (self.buffers[0] + 1) % self.size, self.size)(gy),)


@rule("sort: gradients left in sorted order", "sort", extremes.TakeAlong)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@fault("prod: the element itself among the others", "prod")
def _(patch: Patch) -> None:
    patch.setattr(
        reduce.CumProdPair, "forward", lambda self, x: np.broadcast_to(x.prod(-1, keepdims=True), x.shape).copy()
    )


# ── shapes and positions ──────────────────────────────────────────────────────────────────────────


@rule("permute: not inverted", "permute", shape.Permute)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (ops.reshape(shape.Permute(self.dims)(gy), (2, 3, 4)),)


@rule("reshape: column order", "reshape", shape.Reshape)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (ops.as_tensor(gy.array.reshape(self.before, order="F").copy()),)


@rule("flip: not flipped back", "flip", shape.Flip)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@fault("pad: before and after exchanged on the way back", "pad")
def _(patch: Patch) -> None:
    def backward(self: Any, gy: Any, needs: Any) -> Any:
        return (joining.PadZeros(tuple([(-b, -a) for a, b in self.widths]))(gy),)

    patch.setattr(joining.PadZeros, "backward", backward)


@rule("cat: pieces in reverse order", "cat", joining.Cat)
def _(self: Any, gy: Any, needs: Any) -> Any:
    pieces, start = [], 0
    for size in reversed(self.sizes):
        pieces.append(joining.narrow(gy, self.axis, start, size))
        start += size
    return tuple(reversed(pieces))


@rule("tril: mask forgotten", "tril", shape.Triangle)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@rule("index: repeats overwrite instead of adding", "getitem", index.PutItem, "forward")
def _(self: Any, x: Any) -> Any:
    y = np.zeros(self.shape, x.dtype)
    y[self.buffers[0]] = x
    return y


@fault("gather: negative positions written into the caller's index", "gather", only="nothing_written")
def _(patch: Patch) -> None:
    def integers(name: str, k: Any, like: Any) -> Any:
        k[k >= 0] -= like.shape[1]
        return k

    patch.setattr(index, "_integers", integers)


@rule("scatter_add: gradient of what was there before lost", "scatter_add", index.ScatterAdd)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return gy * 0 if needs[0] else None, index.GetItem(self.buffers[0])(gy) if needs[1] else None


# ── products ──────────────────────────────────────────────────────────────────────────────────────


@rule("linear: weight gradient transposed", "linear", linalg.Linear)
def _(self: Any, gy: Any, needs: Any) -> Any:
    x, w = self.saved_inputs[:2]
    gw = linalg.MatMul()(ops.transpose(x, 0, 1), gy) if needs[1] else None
    gw = None if gw is None else ops.reshape(gw, w.array.shape if w is not None else (4, 3))
    return linalg.MatMul()(gy, w) if needs[0] else None, gw, ops.sum(gy, 0) if needs[2] else None


@rule("linear: bias gradient averaged over the batch", "linear", linalg.Linear)
def _(self: Any, gy: Any, needs: Any) -> Any:
    x, w = self.saved_inputs[:2]
    gw = linalg.MatMul()(ops.transpose(gy, 0, 1), x) if needs[1] else None
    return linalg.MatMul()(gy, w) if needs[0] else None, gw, ops.mean(gy, 0) if needs[2] else None


@fault("einsum: one factor left out", "einsum")
def _(patch: Patch) -> None:
    real = linalg.Einsum.backward

    def backward(self: Any, gy: Any, needs: Any) -> Any:
        gxs = list(real(self, gy, needs))
        if gxs[0] is not None and self.saved_inputs[2] is not None:
            gxs[0] = gxs[0] / ops.reshape(self.saved_inputs[2], (-1, 1, 1))
        return tuple(gxs)

    patch.setattr(linalg.Einsum, "backward", backward)


@fault("matmul: one room leaves the last term out", "matmul", only="rooms_agree")
def _(patch: Patch) -> None:
    real = reference.matmul
    patch.setattr(reference, "matmul", lambda a, b: real(a[..., :-1], b[..., :-1, :]))
