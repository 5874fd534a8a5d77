"""Norms, and the logarithm of a sum of exponentials, which is a soft maximum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Operand,
    floating,
)
from minidl.ops.choice import abs, where
from minidl.ops.elementwise import exp
from minidl.ops.extremes import amax, amin
from minidl.ops.reduce import Dims, _Reduction, axes_of, kept_shape, sum
from minidl.ops.registry import NONZERO, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class LogSumExp(_Reduction):
    formula = r"y = \ln \sum_i e^{x_i}"
    adjoint = r"\bar x_i = e^{x_i - y}\, \bar y"
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        xp = array_module(x)
        top = x.real.max(axis=self.axes, keepdims=True) if x.size else xp.zeros(kept_shape(x.shape, self.axes))
        top = xp.where(xp.isfinite(top), top, 0).astype(x.real.dtype)  # −∞ everywhere: nothing to subtract
        with np.errstate(divide="ignore"):
            y = xp.log(xp.exp(x - top).sum(axis=self.axes, keepdims=True)) + top
        return y if self.keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,), (y,) = self.saved_inputs, self.saved_outputs
        return (self.spread(gy) * exp(x - self.spread(y)),)


@op(LogSumExp, example=lambda draw: {"input": draw(2, 3, 4), "dim": (1, 2)}, orders=3)
def logsumexp(input: Operand, dim: Dims, keepdim: bool = False) -> Tensor:
    r"""$y = \ln\sum_i e^{x_i}$ over `dim`, with the largest element taken out first so that nothing overflows."""
    x = floating(input)
    return LogSumExp(axes_of("logsumexp", x.array.ndim, dim), keepdim)(x)


class Norm(_Reduction):
    formula = r"y = \sqrt{\textstyle\sum_i x_i^2}"
    adjoint = r"\bar x_i = \frac{x_i}{y}\, \bar y"
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        xp = array_module(x)
        if x.dtype.kind == "c":
            return xp.sqrt((x * x).sum(axis=self.axes, keepdims=self.keepdim))
        wide = xp.float32 if x.dtype == np.float16 else x.dtype
        return xp.sqrt(xp.square(x, dtype=wide).sum(axis=self.axes, keepdims=self.keepdim)).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,), (y,) = self.saved_inputs, self.saved_outputs
        slope = where(y == 0, 0, gy) / where(y == 0, 1, y)  # the subgradient at 0 is 0
        return (x * self.spread(slope),)


@op(Norm, example=lambda draw: {"input": draw(2, 3), "dim": 1}, domain=NONZERO)
def norm(input: Operand, p: float | str = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    r"""$y = (\sum_i |x_i|^p)^{1/p}$ over `dim`; the gradient at 0 is 0.

    Arguments:
        p: 2 (also "fro"), 1, ±inf, or any number > 0.
    """
    x = floating(input)
    axes = axes_of("norm", x.array.ndim, dim)
    if p in (2, "fro"):
        return Norm(axes, keepdim)(x)
    if p == 1:
        return sum(abs(x), axes, keepdim)
    if p in (math.inf, -math.inf):
        return (amax if p == math.inf else amin)(abs(x), axes, keepdim)
    if not isinstance(p, int | float) or p <= 0:
        raise ValueError(f"norm: p must be a positive number, ±inf or 'fro', got {p!r}")
    size = where(x == 0, 0, abs(where(x == 0, 1, x)) ** p)  # the slope of 0ᵖ, infinite for p < 1, counts as 0
    total = sum(size, axes, keepdim)
    return where(total == 0, 0, where(total == 0, 1, total) ** (1 / p))
