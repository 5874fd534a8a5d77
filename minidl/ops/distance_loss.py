"""Losses that are a distance: between predicted and true numbers, or between two distributions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from minidl.ops.broadcasting import Operand, as_tensor, floating, promoted
from minidl.ops.choice import abs, where
from minidl.ops.elementwise import exp, log
from minidl.ops.loss import reduced
from minidl.ops.reduce import sum
from minidl.ops.registry import DISTINCT, UNIT, op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _difference(name: str, input: Operand, target: Operand) -> Tensor:
    """Prediction minus target. Shapes may broadcast, but that is warned of: (N, 1) − (N,) is (N, N)."""
    x, t = promoted(floating(input), floating(target))
    if x.array.shape != t.array.shape:
        warnings.warn(
            f"{name}: predictions of shape {x.array.shape} and targets of shape {t.array.shape} are broadcast; "
            f"this is seldom meant",
            stacklevel=3,
        )
    return x - t


@op(formula=r"y = \tfrac1N \sum_n (x_n - t_n)^2", adjoint=r"\bar x_n = \tfrac2N (x_n - t_n)\, \bar y",
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2)})  # fmt: skip
def mse_loss(input: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    r"""The mean squared error, $\frac1N \sum_n (x_n - t_n)^2$; what document 001 calls the L2 loss (ERRATA 001-F2).

    Arguments:
        input, target: predictions and truth, of one shape.
        reduction: "mean", "sum" or "none".
    """
    d = _difference("mse_loss", input, target)
    return reduced("mse_loss", d**2, reduction)


@op(formula=r"y = \tfrac1N \sum_n |x_n - t_n|", adjoint=r"\bar x_n = \tfrac1N \operatorname{sign}(x_n - t_n)\, \bar y",
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2) - 9.3}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def l1_loss(input: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    r"""The mean absolute error, $\frac1N \sum_n |x_n - t_n|$; arguments as in `mse_loss`."""
    return reduced("l1_loss", abs(_difference("l1_loss", input, target)), reduction)


def _bowl(d: Tensor, edge: float) -> Tensor:
    """d²/2 up to |d| = edge, from there on along the tangent."""
    size = abs(d)
    return where(size < edge, d * d * 0.5, (size - edge / 2) * edge)


@op(formula=r"y = |d| < \beta \;?\; \tfrac{d^2}{2\beta} : |d| - \tfrac{\beta}{2},\quad d = x - t",
    adjoint=r"\bar x = \operatorname{clip}(d / \beta, -1, 1)\, \bar y",
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2) - 0.1, "beta": 0.7}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def smooth_l1_loss(input: Operand, target: Operand, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """The absolute error, with a parabola up to β in place of its kink; arguments otherwise as in `mse_loss`.

    Source: Girshick, arXiv:1504.08083.
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = _difference("smooth_l1_loss", input, target)
    return reduced("smooth_l1_loss", _bowl(d, beta) / beta if beta else abs(d), reduction)


@op(formula=r"y = |d| < \delta \;?\; \tfrac{d^2}{2} : \delta \left( |d| - \tfrac{\delta}{2} \right),\quad d = x - t",
    adjoint=r"\bar x = \operatorname{clip}(d, -\delta, \delta)\, \bar y",
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2) - 0.1, "delta": 0.7}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def huber_loss(
    input: Operand, target: Operand, reduction: str = "mean", delta: float = 1.0, weight: Operand | None = None
) -> Tensor:
    """Half the squared error up to δ, from there on its tangent, so that outliers pull with a bounded force.

    Source: Huber, Annals of Mathematical Statistics 35(1):73–101, 1964.
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    losses = _bowl(_difference("huber_loss", input, target), delta)
    return reduced("huber_loss", losses if weight is None else losses * weight, reduction)


@op(formula=r"y = \tfrac1N \sum_n t_n (\ln t_n - x_n)", adjoint=r"\bar x_n = -\tfrac1N t_n\, \bar y",
    example=lambda draw: {"input": draw(3, 2), "target": draw(3, 2)}, domain=UNIT)  # fmt: skip
def kl_div(input: Operand, target: Operand, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    r"""The Kullback–Leibler divergence of a distribution t from a prediction, $\sum_n t_n (\ln t_n - x_n)$.

    Arguments:
        input: log-probabilities x. target: probabilities t; with `log_target` their logarithms.
        reduction: "batchmean" divides the sum by the batch size, which is the divergence; "mean" by the number of
            elements; "sum", "none".
    """
    x, t = promoted(floating(input), floating(target))
    if log_target:
        losses = exp(t) * (t - x)
    else:
        positive = t.array.real > 0
        one = as_tensor(t.array.real.dtype.type(1))
        losses = t * log(where(positive, t, one)) - t * x  # 0 ln 0 is 0
    if reduction == "batchmean":
        return sum(losses) / losses.array.shape[0]
    return reduced("kl_div", losses, reduction)
