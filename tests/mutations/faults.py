"""Seeded faults: one wrong line each, as people write them, in a rule, a kernel or the tape itself."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minidl import kernels, ops
from minidl.autograd import Function, Variable, walk
from minidl.kernels import reference
from minidl.ops import (
    activation,
    arithmetic,
    broadcasting,
    choice,
    convolution,
    elementwise,
    extremes,
    index,
    joining,
    linalg,
    loss,
    normalization,
    norms,
    pooling,
    reduce,
    shape,
    special,
)
from minidl.ops.dropout import Dropout
from minidl.ops.registry import REGISTRY, Operation

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Fault:
    """A fault, the operation on which it must be found, and how to bring it about.

    `plant` patches what it likes, and may return another operation to check in place of the registered one.
    """

    name: str
    operation: str
    plant: Callable[[Patch], Operation | None]
    only: frozenset[str] = frozenset()


FAULTS: list[Fault] = []


def fault(
    name: str, operation: str, only: str = ""
) -> Callable[[Callable[[Patch], Operation | None]], Callable[[Patch], Operation | None]]:
    """Enter a fault; `only` names the checks that may find it, where the point is that the others cannot."""

    def enter(plant: Callable[[Patch], Operation | None]) -> Callable[[Patch], Operation | None]:
        FAULTS.append(Fault(name, operation, plant, frozenset(only.split())))
        return plant

    return enter


def rule(name: str, operation: str, owner: type, method: str = "backward", only: str = "") -> Any:
    """A fault that replaces one method of an operation by the decorated function."""

    def enter(body: Any) -> Any:
        @fault(name, operation, only)
        def plant(patch: Patch) -> None:
            patch.setattr(owner, method, body)

        return body

    return enter


def instead(name: str, operation: str, only: str = "") -> Any:
    """A fault that puts another function in the place of the public one."""

    def enter(body: Any) -> Any:
        @fault(name, operation, only)
        def plant(patch: Patch) -> Operation:
            return replaced(operation, body)

        return body

    return enter


def replaced(operation: str, call: Any) -> Operation:
    """A registered operation with another function, described as before: only what it does is at fault."""
    call.__doc__ = REGISTRY[operation].call.__doc__
    return dataclasses.replace(REGISTRY[operation], call=call)


SECOND = "second_derivative hessian_symmetric third_derivative"


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────


@rule("mul: a factor dropped", "mul", arithmetic.Mul)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return gy * 1 if needs[0] else None, gy * self.saved_inputs[0] if needs[1] else None


@rule("mul: the factors exchanged", "mul", arithmetic.Mul)
def _(self: Any, gy: Any, needs: Any) -> Any:
    a, b = self.saved_inputs
    return gy * a if needs[0] else None, gy * b if needs[1] else None


@rule("sub: sign of the second gradient", "sub", arithmetic.Sub)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return gy if needs[0] else None, gy * 1 if needs[1] else None


@rule("div: divisor not squared", "div", arithmetic.Div)
def _(self: Any, gy: Any, needs: Any) -> Any:
    a, b = self.saved_inputs
    return gy / b if needs[0] else None, -gy * a / b if needs[1] else None


@rule("add: the sum over broadcast forgotten", "add", broadcasting.Broadcasting, "vjp")
def _(self: Any, gy: Any, needs: Any) -> Any:
    return self.backward(gy, needs)


@fault("add: broadcast summed as a mean", "add")
def _(patch: Patch) -> None:
    real = broadcasting.SumTo.forward
    patch.setattr(broadcasting.SumTo, "forward", lambda self, x: real(self, x) * (self.shape[-1:] or (1,))[0] / x.size)


@rule("pow: the exponent in front dropped", "square", arithmetic.PowNumber)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * self.saved_inputs[0],)


@rule("where: branches exchanged", "where", choice.Where)
def _(self: Any, gy: Any, needs: Any) -> Any:
    c = self.saved_inputs[0]
    return None, choice.where(c, 0, gy) if needs[1] else None, choice.where(c, gy, 0) if needs[2] else None


@rule("clamp: gradient outside the bounds", "clamp", choice.Clamp)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@rule("abs: slope always 1", "abs", choice.Abs)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@rule("cos: sign", "cos", elementwise.Cos)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * elementwise.sin(self.saved_inputs[0]),)


@rule("sin: the rule clips what comes in", "sin", elementwise.Sin, only="vjp_linear")
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (choice.clamp(gy, -2, 2) * elementwise.cos(self.saved_inputs[0]),) if gy.array.dtype.kind == "f" else (
        gy * elementwise.cos(self.saved_inputs[0]),)  # fmt: skip


@fault("cast: wrong in the ninth digit", "cast", only="exact_adjoint")
def _(patch: Patch) -> Operation:
    return replaced("cast", lambda x, dtype: _NinthDigit()(x))


class _NinthDigit(Function):
    """Below the tolerance of differences, far above that of an exact adjoint."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, gy: Any, needs: Any) -> Any:
        return (gy * (1 + 1e-9),)


@fault("exp: no formula", "exp", only="described")
def _(patch: Patch) -> Operation:
    return dataclasses.replace(REGISTRY["exp"], formula="")


@rule("sqrt: the half dropped", "sqrt", elementwise.Sqrt)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy / self.saved_outputs[0],)


@rule("erf: 2/√π forgotten", "erf", special.Erf)
def _(self: Any, gy: Any, needs: Any) -> Any:
    x = self.saved_inputs[0]
    return (gy * elementwise.exp(-x * x),)


@rule("maximum: both take the whole gradient of a tie", "maximum", choice.Maximum, only="shifts_with_its_input")
def _(self: Any, gy: Any, needs: Any) -> Any:
    a, b = self.saved_inputs
    return choice.where(a >= b, gy, 0) if needs[0] else None, choice.where(b >= a, gy, 0) if needs[1] else None


# ── the second derivative only ────────────────────────────────────────────────────────────────────


@rule("exp: output a constant, first derivative right", "exp", elementwise.Exp, only=SECOND)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * self.saved_outputs[0].detach(),)


@rule("log: x a constant, first derivative right", "log", elementwise.Log, only=SECOND)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy / self.saved_inputs[0].detach(),)


@instead("var: the mean a constant, first derivative right", "var", only=SECOND)
def _(input: Any, dim: Any) -> Any:
    d = input - ops.mean(input, dim, keepdim=True).detach()
    count = input.array.size / ops.mean(input, dim).array.size
    return ops.sum(d * d, dim) / (count - 1)


@fault("batch norm: moments constant in the composite, first derivative right", "batch_norm", only=SECOND)
def _(patch: Patch) -> None:
    def composite(self: Any, x: Any, w: Any, b: Any) -> Any:
        over, along = (0, *range(2, x.array.ndim)), (-1, *(1,) * (x.array.ndim - 2))
        d = x - reduce.mean(x, over, keepdim=True)
        var = reduce.mean(d * d, over, keepdim=True)
        scale = _first_order_only(arithmetic.rsqrt(var + self.eps))
        return d * scale * ops.reshape(w, along) + ops.reshape(b, along)

    patch.setattr(normalization.BatchNorm, "composite", composite)


class _FirstOrderOnly(Function):
    """The identity, whose gradient is cut off the tape: right once, wrong twice."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, gy: Any, needs: Any) -> Any:
        return (gy.detach(),)


def _first_order_only(x: Any) -> Any:
    return _FirstOrderOnly()(x)


@rule("conv2d: gradient of the input gradient without the filters", "conv2d", convolution.Conv2dInputGrad, only=SECOND)
def _(self: Any, gx: Any, needs: Any) -> Any:
    g, w = self.saved_inputs
    gg = convolution.Conv2d(self.slide)(gx, w) if needs[0] else None
    return gg, convolution.Conv2dWeightGrad(self.slide, self.kernel)(gx, g) * 0 if needs[1] else None


@rule("tanh: 1 − y² to first order, third derivative wrong", "tanh", activation.Tanh, only="third_derivative")
def _(self: Any, gy: Any, needs: Any) -> Any:
    y = self.saved_outputs[0]
    d = y.detach()
    return (gy * (1 - (y * d * 2 - d * d)),)


@fault("tape: saved inputs come back without their history", "mul", only="second_derivative hessian_symmetric")
def _(patch: Patch) -> None:
    real = Function.saved_inputs.fget
    patch.setattr(
        Function, "saved_inputs", property(lambda self: tuple(None if x is None else x.detach() for x in real(self)))
    )


# ── activations ───────────────────────────────────────────────────────────────────────────────────


@rule("relu: mask forgotten", "relu", activation.ReLU)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


@rule("relu: mask of the wrong array", "relu", activation.ReLU)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (ops.mul(gy, gy.array > 0),)


@rule("tanh: 1 − y for 1 − y²", "tanh", activation.Tanh)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * (1 - self.saved_outputs[0]),)


@rule("softplus: β forgotten in the slope", "softplus", activation.Softplus)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * activation.sigmoid(self.saved_inputs[0]),)


@rule("softmax: only the diagonal of the Jacobian", "softmax", activation.Softmax)
def _(self: Any, gy: Any, needs: Any) -> Any:
    y = self.saved_outputs[0]
    return (gy * y * (1 - y),)


@rule("softmax: summed along the wrong axis", "softmax", activation.Softmax)
def _(self: Any, gy: Any, needs: Any) -> Any:
    y = self.saved_outputs[0]
    return (gy * y - y * ops.sum(gy * y, 0, True),)


@rule("log_softmax: the sum dropped", "log_softmax", activation.LogSoftmax)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (gy * 1,)


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


# ── windows ───────────────────────────────────────────────────────────────────────────────────────


def _conv_backward(change: Callable[[Any], Any]) -> Any:
    """A backward rule of conv2d in which `change` has altered the geometry."""

    def backward(self: Any, gy: Any, needs: Any) -> Any:
        c = change(self)
        x, w = self.saved_inputs[:2]
        gx = convolution.Conv2dInputGrad(c["slide"], self.image)(gy, w) if needs[0] else None
        gw = convolution.Conv2dWeightGrad(c["slide"], c["kernel"])(x, gy) if needs[1] else None
        return gx, gw, ops.sum(gy, c["over"]) if needs[2] else None

    return backward


for _name, _change in {
    "conv2d: KH and KW exchanged": lambda s: {"slide": s.slide, "kernel": s.kernel[::-1], "over": (0, 2, 3)},
    "conv2d: SH and SW exchanged": lambda s: {
        "slide": s.slide._replace(stride=s.slide.stride[::-1]), "kernel": s.kernel, "over": (0, 2, 3)},
    "conv2d: dilation ignored on the way back": lambda s: {
        "slide": s.slide._replace(dilation=(1, 1)), "kernel": s.kernel, "over": (0, 2, 3)},
    "conv2d: padding of height and width exchanged": lambda s: {
        "slide": s.slide._replace(padding=s.slide.padding[2:] + s.slide.padding[:2]), "kernel": s.kernel,
        "over": (0, 2, 3)},
    "conv2d: bias gradient not summed over the batch": lambda s: {
        "slide": s.slide, "kernel": s.kernel, "over": (2, 3)},
}.items():  # fmt: skip
    rule(_name, "conv2d", convolution.Conv2d)(_conv_backward(_change))


@rule("conv2d: filters not turned round for the input gradient", "conv2d", convolution.Conv2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    x, w = self.saved_inputs[:2]
    turned = None if w is None else ops.flip(w, (2, 3))
    gx = convolution.Conv2dInputGrad(self.slide, self.image)(gy, turned) if needs[0] else None
    gw = convolution.Conv2dWeightGrad(self.slide, self.kernel)(x, gy) if needs[1] else None
    return gx, gw, ops.sum(gy, (0, 2, 3)) if needs[2] else None


@fault("conv2d: one room forgets the bias", "conv2d", only="rooms_agree")
def _(patch: Patch) -> None:
    real = reference.conv2d
    patch.setattr(reference, "conv2d", lambda x, w, b, *rest: real(x, w, None, *rest))


@fault("max_pool2d: padded with zeros", "max_pool2d", only="shifts_with_its_input")
def _(patch: Patch) -> None:
    real = kernels.kernels_for

    class Room:
        def __init__(self, room: Any) -> None:
            self.room = room

        def __getattr__(self, name: str) -> Any:
            return getattr(self.room, name)

        def max_pool2d(self, x: Any, kernel: Any, stride: Any, padding: Any, *rest: Any) -> Any:
            y, winners = self.room.max_pool2d(x, kernel, stride, padding, *rest)
            y[:, :, 0] = np.maximum(y[:, :, 0], 0)  # the first row of windows lies over the border
            return y, winners

    patch.setattr(pooling, "kernels_for", lambda x: Room(real(x)))


@rule("max_pool2d: windows that share a winner overwrite each other", "max_pool2d", pooling.ScatterWindows, "forward")
def _(self: Any, x: Any) -> Any:
    y = np.zeros((*x.shape[:2], self.image[0] * self.image[1]), x.dtype)
    np.put_along_axis(y, self.buffers[0].reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), axis=2)
    return y.reshape(*x.shape[:2], *self.image)


@rule("avg_pool2d: not divided on the way back", "avg_pool2d", pooling.AvgPool2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (pooling.AvgPool2dGrad(self.windows, self.image, (True, 1))(gy),)


@rule("avg_pool2d: padding counted on the way back only", "avg_pool2d", pooling.AvgPool2d)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (pooling.AvgPool2dGrad(self.windows, self.image, (True, None))(gy),)


# ── normalisation, losses, dropout ────────────────────────────────────────────────────────────────


@fault("batch norm: x̂ term of the gradient dropped", "batch_norm")
def _(patch: Patch) -> None:
    def fast_backward(self: Any, gy: Any, needs: Any) -> Any:
        x, w, _ = self.saved_arrays
        inv_std = 1 / np.sqrt(x.var((0, 2, 3), keepdims=True) + self.eps)
        gx = (gy - gy.mean((0, 2, 3), keepdims=True)) * w.reshape(-1, 1, 1) * inv_std
        return (gx, None, gy.sum((0, 2, 3)))

    patch.setattr(normalization.BatchNorm, "fast_backward", fast_backward)


@rule("layer norm: mean of the gradient not removed", "layer_norm", normalization.Standardize, "fast_backward")
def _(self: Any, gy: Any, needs: Any) -> Any:
    y, inv_std = self.saved_outputs[0].array, self.buffers[0]
    return ((gy - y * (gy * y).mean(-1, keepdims=True)) * inv_std,)


@rule("cross entropy: 1 not taken off at the label", "cross_entropy", loss.SoftmaxCrossEntropy, "fast_backward")
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (self.buffers[0] * gy[:, None],)


@instead("cross entropy: ignored labels count in the mean on the way back", "cross_entropy")
def _(input: Any, target: Any) -> Any:
    y = ops.cross_entropy(input, target)
    share = float((ops.as_tensor(target).array >= 0).mean())
    return y * share + y.detach() * (1 - share)


@rule("dropout: a fresh mask on the way back", "dropout", Dropout)
def _(self: Any, gy: Any, needs: Any) -> Any:
    return (Dropout(np.roll(self.buffers[0], 1))(gy),)


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

    def link(self: Any, inputs: Any, outputs: Any, single: bool) -> None:
        real(self, inputs, outputs, single)
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

    def link(self: Any, inputs: Any, outputs: Any, single: bool) -> None:
        real(self, inputs, outputs, single)
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
    patch.setattr(walk.GradientTable, "add", lambda self, target, gradient: self.replace(target, gradient))


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
        held = self._grads.get(target)
        if held is None:
            self._grads[target] = gradient
        elif gradient._requires_grad or held._requires_grad:
            self._grads[target] = held + gradient
        else:
            held.array += gradient.array

    patch.setattr(walk.GradientTable, "add", add)
    return replaced("silu", lambda input: input + input)
