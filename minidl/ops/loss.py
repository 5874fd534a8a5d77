r"""Losses: how wrong is a prediction, as one number that can be differentiated.

Two losses carry the name cross-entropy, and they are not the same:

    binary      −t ln p − (1 − t) ln(1 − p)    one yes-or-no question, p from a sigmoid
    of classes  −Σ_k t_k ln p_k                one of K classes, p from a softmax

Document 001 prints the binary formula and uses it for classes (ERRATA 001-F1, 001-F9). For p = (.7, .2, .1) and the
first class the second gives 0.357 and the first, over the one-hot vector, 0.685 in sum and 0.228 in the mean: another
loss with other gradients. Both are best computed from logits, the scores before sigmoid or softmax, because
ln(softmax(x)) rounds to −∞ where x − ln Σ eˣ is an ordinary number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minidl.autograd.function import Needs
from minidl.backend import Array, array_module
from minidl.kernels import kernels_for, may_wait
from minidl.ops.activation import log_softmax
from minidl.ops.arithmetic import mul
from minidl.ops.broadcasting import Operand, as_tensor, floating, promoted
from minidl.ops.choice import where
from minidl.ops.fused import Fused
from minidl.ops.index import getitem
from minidl.ops.reduce import mean, sum
from minidl.ops.registry import op
from minidl.ops.shape import movedim, reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    """The single losses themselves, their mean or their sum."""
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


# ── one of K classes ──────────────────────────────────────────────────────────────────────────────


class SoftmaxCrossEntropy(Fused):
    """Cross-entropy of each row of logits (N, K) with its label, or the mean of all; the labels are constants."""

    formula = r"y_n = \ln \textstyle\sum_k e^{x_{nk}} - x_{n,c_n}"
    adjoint = r"\bar x_{nk} = \left( \operatorname{softmax}(x_n)_k - [k = c_n] \right) \bar y_n"
    __slots__ = ("labels", "mean")

    def __init__(self, labels: Array, mean: bool) -> None:
        self.labels, self.mean = labels, mean

    def composite(self, x: Tensor) -> Tensor:
        losses = -_pick(log_softmax(x, 1), self.labels)
        return mean(losses) if self.mean else losses

    def forward(self, x: Array) -> Array:
        losses, *kept = kernels_for(x).softmax_cross_entropy(x, self.labels)
        self.buffers = tuple(kept)
        y = losses.sum() / x.shape[0] if self.mean else losses
        return y if y.dtype == x.dtype else y.astype(x.dtype)

    def fast_backward(self, gy: Array, needs: Needs) -> tuple[Array | None, ...]:
        (x,) = self.saved_arrays
        if self.mean:
            shares = array_module(x).empty(x.shape[0], gy.dtype)
            shares.fill(gy / x.shape[0])
            gy = shares
        return (kernels_for(x).softmax_cross_entropy_grad(gy, x, self.labels, *self.buffers),)


def _pick(x: Tensor, labels: Array) -> Tensor:
    """x[n, c_n] for every row n."""
    return getitem(x, (array_module(labels).arange(labels.shape[0]), labels))


_UNSIGNED = {np.dtype(f"{o}{k}{n}").str: np.dtype(f"{o}u{n}") for o in "<>" for k in "iu" for n in (1, 2, 4, 8)}
"""The unsigned dtype of the same bytes, by the name of a dtype of integers."""


def _class_rows(name: str, input: Operand, target: Tensor, ignore_index: int) -> tuple[Tensor, Array, Array | None]:
    """Scores as rows (M, K), the labels (M,) and which of them count, None for all; an ignored label becomes 0.

    Raises:
        RuntimeError: labels that are not integers.
        ValueError: labels and scores of different shape.
        IndexError: a label that is no class.
    """
    x, labels = floating(input), target.array
    shape = x.array.shape
    if not shape:
        raise ValueError(f"{name}: the scores need a dimension of classes, got a single number")
    axis = 0 if len(shape) == 1 else 1
    K, expected = shape[axis], shape[:axis] + shape[axis + 1 :]
    if labels.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: labels must be integers, got {labels.dtype.name} of shape {labels.shape}; "
            f"class probabilities are floats of the scores' shape {shape}"
        )
    if labels.shape != expected:
        raise ValueError(f"{name}: scores of shape {shape} want labels of shape {expected}, got {labels.shape}")
    rows = x if len(shape) == 2 else reshape(movedim(x, axis, -1), (labels.size, K))
    flat = labels.reshape(-1).copy()  # whoever writes into the labels later shall not change the loss
    if not may_wait(array_module(labels)):  # in a captured graph; there a label that is no class makes the loss nan
        return rows, flat, None
    # read as unsigned numbers, negative ones are the largest of all, and no class if the classes end in the lower half
    lower_half = K >> (8 * flat.itemsize - 1) == 0
    if not flat.size or (lower_half and flat.view(_UNSIGNED[flat.dtype.str]).max() < K and not 0 <= ignore_index < K):
        return rows, flat, None
    counted = labels != ignore_index
    wrong = counted & ((labels < 0) | (labels >= K))
    if bool(wrong.any()):
        at = tuple([int(i[0]) for i in wrong.reshape(labels.shape or 1).nonzero()])[: labels.ndim]
        raise IndexError(f"{name}: label {int(labels[at])} at {at} is no class: labels lie in [0, {K})")
    if bool(counted.all()):
        return rows, flat, None
    labels = array_module(labels).where(counted, labels, 0).reshape(-1)
    return rows, labels, counted.reshape(-1)


def _class_weights(name: str, weight: Operand | None, like: Tensor) -> Tensor | None:
    if weight is None:
        return None
    w = promoted(weight, like.detach())[0]
    if w.array.shape != like.array.shape[1:]:
        raise RuntimeError(f"{name}: weight must have shape {like.array.shape[1:]}, got {w.array.shape}")
    return w


def _over_labels(name: str, losses: Tensor, labels: Array, counted: Array | None, weight: Tensor | None, reduction: str,
                 shape: tuple[int, ...]) -> Tensor:  # fmt: skip
    """Weigh and reduce the losses of single labels; ignored ones weigh nothing."""
    xp = array_module(labels)
    if weight is None and counted is None:
        return reduced(name, reshape(losses, shape), reduction)
    counted = xp.ones(labels.shape, bool) if counted is None else counted
    zero = xp.zeros((), losses.array.dtype)
    losses = where(counted, losses, zero)
    if weight is None:
        share = as_tensor(counted.astype(zero.dtype))
    else:
        share = where(counted, getitem(weight, labels), zero)
        losses = losses * share
    if reduction != "mean":
        return reduced(name, reshape(losses, shape), reduction)
    total = sum(share)
    return sum(losses) / total if total.array != 0 else sum(losses) * math.nan


@op(SoftmaxCrossEntropy, orders=3,
    example=lambda draw: {"input": draw(4, 3, 2), "target": np.array([[0, 2], [1, 1], [-100, 0], [2, 2]])})  # fmt: skip
def cross_entropy(input: Operand, target: Operand, weight: Operand | None = None, *, ignore_index: int = -100,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:  # fmt: skip
    r"""The loss of a classifier: $-\ln p_c$, where $p$ is the softmax of the scores and $c$ the right class.

    With $x$ the scores, $-\ln p_c = \ln\sum_k e^{x_k} - x_c$, with gradient $p_k - [k = c]$. It is not the formula that
    document 001 prints, which is the binary one (ERRATA 001-F1, 001-F9).

    Arguments:
        input: logits, (N, K), (K,) or (N, K, d1, …).
        target: integer labels in [0, K), of shape (N,), () or (N, d1, …); or class probabilities, floats of the
            shape of `input`.
        weight: (K,), how much each class counts.
        ignore_index: a label that does not count, for padding.
        reduction: "mean" (with weights, the weighted mean), "sum" or "none".
        label_smoothing: ε; the right class shall have probability 1 − ε + ε/K, the others ε/K.

    Returns:
        One number, or with "none" the losses in the shape of the labels.

    Raises:
        IndexError: a label that is no class.
        RuntimeError, ValueError: shapes or dtypes that do not fit.

    >>> import minidl as dl
    >>> cross_entropy(dl.tensor([[2.0, 1.0, 0.0]]), dl.tensor([0]))
    tensor(0.4076)
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}")
    t = as_tensor(target)
    if t.array.dtype.kind in "fc" and t.array.shape == as_tensor(input).array.shape:
        return _soft_cross_entropy(floating(input), t, weight, ignore_index, reduction, label_smoothing)
    x, labels, counted = _class_rows("cross_entropy", input, t, ignore_index)
    w = _class_weights("cross_entropy", weight, x)
    if not x.array.size:
        return reduced("cross_entropy", reshape(sum(x, 1), t.array.shape), reduction)
    if not label_smoothing:
        whole = reduction == "mean" and w is None and counted is None
        losses: Tensor = SoftmaxCrossEntropy(labels, whole)(x)
        if whole:
            return losses
        return _over_labels("cross_entropy", losses, labels, counted, w, reduction, t.array.shape)
    logp = log_softmax(x, 1)
    sharp = _over_labels("cross_entropy", -_pick(logp, labels), labels, counted, w, "none", (labels.size,))
    counted = array_module(labels).ones(labels.shape, bool) if counted is None else counted
    spread = where(counted, -sum(logp if w is None else logp * w, 1), as_tensor(x.array.real.dtype.type(0)))
    losses = sharp * (1 - label_smoothing) + spread * (label_smoothing / x.array.shape[1])
    if reduction != "mean":
        return reduced("cross_entropy", reshape(losses, t.array.shape), reduction)
    counts = counted.astype(x.array.real.dtype)
    total = sum(mul(counts, 1 if w is None else getitem(w, labels)))
    return sum(losses) / total if total.array != 0 else sum(losses) * math.nan


def _soft_cross_entropy(x: Tensor, target: Tensor, weight: Operand | None, ignore_index: int, reduction: str,
                        label_smoothing: float) -> Tensor:  # fmt: skip
    """Cross-entropy with class probabilities in place of labels."""
    if ignore_index >= 0:
        raise RuntimeError(f"cross_entropy: ignore_index={ignore_index} needs labels, the target has probabilities")
    axis = min(x.array.ndim - 1, 1)
    K = x.array.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / K
    losses = -target * log_softmax(x, axis)
    if weight is not None:
        losses = losses * reshape(promoted(weight, x)[0], (K, *(1,) * (x.array.ndim - 1 - axis)))
    losses = sum(losses, axis)
    return reduced("cross_entropy", losses, reduction)


@op(formula=r"y = -\tfrac1N \sum_n x_{n,c_n}", adjoint=r"\bar x_{nk} = -\tfrac1N [k = c_n]\, \bar y",
    example=lambda draw: {"input": draw(4, 3), "target": np.array([0, 2, 1, 1]), "weight": draw(3)})  # fmt: skip
def nll_loss(input: Operand, target: Operand, weight: Operand | None = None, *, ignore_index: int = -100,
             reduction: str = "mean") -> Tensor:  # fmt: skip
    """The negative log-likelihood: minus the log-probability of the right class.

    Arguments:
        input: log-probabilities, from `log_softmax`. The others as in `cross_entropy`, with labels.
    """
    t = as_tensor(target)
    x, labels, counted = _class_rows("nll_loss", input, t, ignore_index)
    w = _class_weights("nll_loss", weight, x)
    return _over_labels("nll_loss", -_pick(x, labels), labels, counted, w, reduction, t.array.shape)
