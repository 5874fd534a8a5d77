"""Faults in arithmetic and activations, first derivative and second."""

from __future__ import annotations

import dataclasses
from typing import Any

from planting import SECOND, Patch, fault, first_order_only, instead, replaced, rule

from minidl import ops
from minidl.autograd import Function, Variable
from minidl.ops import (
    activation,
    arithmetic,
    broadcasting,
    choice,
    convolution,
    elementwise,
    normalization,
    reduce,
    special,
)
from minidl.ops.registry import REGISTRY, Operation

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
        scale = first_order_only(arithmetic.rsqrt(var + self.eps))
        return d * scale * ops.reshape(w, along) + ops.reshape(b, along)

    patch.setattr(normalization.BatchNorm, "composite", composite)


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

    def cut(self: Any) -> Any:
        return tuple(x.detach() if isinstance(x, Variable) else x for x in real(self))

    patch.setattr(Function, "saved_inputs", property(cut))


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
