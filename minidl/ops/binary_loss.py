"""Losses of yes-or-no questions: binary cross-entropy, of probabilities and of the scores before the sigmoid.

The formula that document 001 prints for classes is this one (ERRATA 001-F1); for classes see `cross_entropy`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.activation import sigmoid_of, softplus
from minidl.ops.broadcasting import Operand, as_tensor, floating, promoted
from minidl.ops.choice import where
from minidl.ops.elementwise import log, log1p
from minidl.ops.fused import Fused
from minidl.ops.loss import reduced
from minidl.ops.registry import UNIT, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _same_shape(name: str, input: Operand, target: Operand) -> tuple[Tensor, Tensor]:
    x, t = promoted(floating(input), floating(target))
    if x.array.shape != t.array.shape:
        raise ValueError(f"{name}: predictions of shape {x.array.shape}, but targets of shape {t.array.shape}")
    return x, t


class BinaryCrossEntropy(Function):
    """Binary cross-entropy of probabilities; logarithms stop at −100, so that a wrong certainty costs 100, not ∞."""

    formula = r"y = -t \ln p - (1 - t) \ln(1 - p)"
    adjoint = r"\bar p = \frac{p - t}{p (1 - p)}\, \bar y,\quad \bar t = \ln \frac{1 - p}{p}\, \bar y"

    def inputs_to_save(self, needs: Needs) -> tuple[int, ...]:
        return (0, 1) if needs[0] else (0,)

    def forward(self, p: Array, t: Array) -> Array:
        return (t - 1) * _log_floor(p, True) - t * _log_floor(p, False)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        p, t = self.saved_inputs
        gp = gt = None
        if needs[0]:
            slope = p * (1 - p)
            smallest = max(1e-12, float(np.finfo(p.array.dtype).tiny))
            gp = gy * (p - t) / where(slope.array.real > smallest, slope, as_tensor(slope.array.dtype.type(smallest)))
        if needs[1]:
            inside = (p.array.real > _SMALLEST) & (p.array.real < 1)
            middle = where(inside, p, p * 0 + 0.5)
            ends = as_tensor(_log_floor(p.array, True) - _log_floor(p.array, False))
            gt = where(inside, gy * (log1p(-middle) - log(middle)), gy * ends)
        return gp, gt


_SMALLEST = math.exp(-100)


def _log_floor(p: Array, other: bool) -> Array:
    """ln p, or ln(1 − p), but never below −100."""
    xp = array_module(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = xp.log1p(-p) if other else xp.log(p)
    return xp.where(y.real < -100, p.dtype.type(-100), y)


@op(
    BinaryCrossEntropy, domain=UNIT, example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2), "weight": draw(2)}
)
def binary_cross_entropy(
    input: Operand, target: Operand, weight: Operand | None = None, *, reduction: str = "mean"
) -> Tensor:
    r"""The loss of a yes-or-no answer: $-t \ln p - (1 - t)\ln(1 - p)$. For classes see `cross_entropy` (ERRATA 001-F1).

    Arguments:
        input: probabilities p in [0, 1], any shape; `binary_cross_entropy_with_logits` takes scores and is safer.
        target: t, of the same shape, usually 0 or 1.
        weight: factors that broadcast to the shape.
        reduction: "mean", "sum" or "none".

    Raises:
        RuntimeError: a probability outside [0, 1].
        ValueError: shapes that differ.

    Source: the floor of −100 under both logarithms is PyTorch's.
    """
    p, t = _same_shape("binary_cross_entropy", input, target)
    real = p.array.real
    if real.size and not bool(((real >= 0) & (real <= 1)).all()):
        raise RuntimeError(
            f"binary_cross_entropy: probabilities lie in [0, 1], got values from {float(real.min()):g} to "
            f"{float(real.max()):g}; for scores use binary_cross_entropy_with_logits"
        )
    losses = BinaryCrossEntropy()(p, t)
    return reduced("binary_cross_entropy", losses if weight is None else losses * weight, reduction)


class LogisticLoss(Fused):
    """Binary cross-entropy of the sigmoid of scores, each with its target."""

    formula = r"y = t \ln(1 + e^{-x}) + (1 - t) \ln(1 + e^{x})"
    adjoint = r"\bar x = \left( (1 - t)\, \sigma(x) - t\, \sigma(-x) \right) \bar y,\quad \bar t = -x\, \bar y"

    def composite(self, x: Tensor, t: Tensor) -> Tensor:
        return t * softplus(-x, threshold=math.inf) + (1 - t) * softplus(x, threshold=math.inf)

    def forward(self, x: Array, t: Array) -> Array:
        xp = array_module(x)
        down = xp.where(x.real > 0, -x, x)  # −|x|, so that nothing overflows
        return (x - down) / 2 - x * t + xp.log1p(xp.exp(down))  # max(x, 0) − x t + ln(1 + e^−|x|)

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        x, t = self.saved_arrays
        gx = ((1 - t) * sigmoid_of(x) - t * sigmoid_of(-x)) * gy if needs[0] else None
        return gx, -x * gy if needs[1] else None


@op(LogisticLoss,
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2), "weight": draw(2),
                          "pos_weight": draw(2)})  # fmt: skip
def binary_cross_entropy_with_logits(input: Operand, target: Operand, weight: Operand | None = None, *,
                                     reduction: str = "mean", pos_weight: Operand | None = None) -> Tensor:  # fmt: skip
    r"""`binary_cross_entropy` of the sigmoid of scores, without overflow: both terms of the formula are positive.

    Arguments:
        input: logits, any shape. target: t, of the same shape.
        weight: factors that broadcast to the shape.
        reduction: "mean", "sum" or "none".
        pos_weight: factors of the first term, how much a missed yes counts.
    """
    x, t = _same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        losses = LogisticLoss()(x, t)
    else:
        yes = t * softplus(-x, threshold=math.inf) * pos_weight
        losses = yes + (1 - t) * softplus(x, threshold=math.inf)
    losses = losses if weight is None else losses * weight
    return reduced("binary_cross_entropy_with_logits", losses, reduction)
