"""What losses mean, and softmax, on which most of them rest; in NumPy, as in `definitions_of_layers.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from definitions_of_layers import define, sigmoid

Array = Any
# ── softmax and the losses of classifiers ─────────────────────────────────────────────────────────


@define
def logsumexp(input: Array, dim: Any, keepdim: bool = False) -> Array:
    return np.log(np.exp(input).sum(axis=dim, keepdims=keepdim))


@define
def log_softmax(input: Array, dim: int) -> Array:
    return input - logsumexp(input, dim, True)


@define
def softmax(input: Array, dim: int) -> Array:
    return np.exp(log_softmax(input, dim))


def _reduced(losses: Array, reduction: str) -> Array:
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


@define
def cross_entropy(
    input: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:  # fmt: skip
    K = input.shape[1]
    log_p = np.moveaxis(log_softmax(input, 1), 1, -1).reshape(-1, K)
    w = np.ones(K) if weight is None else weight
    if target.dtype.kind == "f":
        t = np.moveaxis(target, 1, -1).reshape(-1, K) * (1 - label_smoothing) + label_smoothing / K
        losses = np.array([-sum(t[n, k] * w[k] * log_p[n, k] for k in range(K)) for n in range(len(t))])
        return _reduced(losses, reduction)
    losses, shares = [], []
    for c, row in zip(target.ravel(), log_p, strict=True):
        if c == ignore_index:
            losses.append(0.0)
            shares.append(0.0)
        else:
            t = label_smoothing / K + (1 - label_smoothing) * (np.arange(K) == c)
            losses.append(-(t * w * row).sum())
            shares.append(w[c])
    if reduction == "mean":
        return sum(losses) / sum(shares)
    return _reduced(np.array(losses).reshape(target.shape), reduction)


@define
def nll_loss(input: Array, target: Array, weight: Array | None = None, reduction: str = "mean") -> Array:
    w = np.ones(input.shape[1]) if weight is None else weight
    losses = np.array([-w[c] * row[c] for c, row in zip(target, input, strict=True)])
    return losses.sum() / sum(w[c] for c in target) if reduction == "mean" else _reduced(losses, reduction)


@define
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:  # fmt: skip
    losses = -target * np.log(input) - (1 - target) * np.log(1 - input)
    return _reduced(losses * (1 if weight is None else weight), reduction)


@define
def binary_cross_entropy_with_logits(
    input: Array, target: Array, weight: Array | None = None, pos_weight: Array | None = None, reduction: str = "mean"
) -> Array:
    p = sigmoid(input)
    losses = -(1 if pos_weight is None else pos_weight) * target * np.log(p) - (1 - target) * np.log(1 - p)
    return _reduced(losses * (1 if weight is None else weight), reduction)


@define
def mse_loss(input: Array, target: Array) -> Array:
    return ((input - target) ** 2).mean()


@define
def l1_loss(input: Array, target: Array) -> Array:
    return abs(input - target).mean()


@define
def smooth_l1_loss(input: Array, target: Array, beta: float = 1.0) -> Array:
    return huber_loss(input, target, delta=beta) / beta


@define
def huber_loss(input: Array, target: Array, delta: float = 1.0) -> Array:
    return np.mean([d * d / 2 if d <= delta else delta * (d - delta / 2) for d in abs(input - target).ravel()])


@define
def kl_div(input: Array, target: Array) -> Array:
    return (target * (np.log(target) - input)).mean()


# ── losses on embeddings ──────────────────────────────────────────────────────────────────────────


def _distance(a: Array, b: Array, eps: float = 1e-6) -> float:
    return math.sqrt(((a - b + eps) ** 2).sum())


@define
def pairwise_distance(x1: Array, x2: Array) -> Array:
    x1, x2 = np.broadcast_arrays(x1, x2)
    return np.array([_distance(a, b) for a, b in zip(x1, x2, strict=True)])


def _cosine(a: Array, b: Array) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


@define
def cosine_similarity(x1: Array, x2: Array) -> Array:
    return np.array([_cosine(a, b) for a, b in zip(x1, x2, strict=True)])


@define
def contrastive_loss(x1: Array, x2: Array, target: Array, margin: float = 1.0) -> Array:
    ds = [_distance(a, b, 0.0) for a, b in zip(x1, x2, strict=True)]
    return np.mean([d * d / 2 if t else max(0, margin - d) ** 2 / 2 for d, t in zip(ds, target, strict=True)])


@define
def cosine_embedding_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0) -> Array:
    pairs = zip(cosine_similarity(input1, input2), target, strict=True)
    return np.mean([1 - c if t == 1 else max(0, c - margin) for c, t in pairs])


@define
def triplet_margin_loss(
    anchor: Array, positive: Array, negative: Array, margin: float = 1.0, squared: bool = False, swap: bool = False,
    eps: float = 1e-6,
) -> Array:  # fmt: skip
    def d(a: Array, b: Array) -> float:
        return _distance(a, b, 0.0) ** 2 if squared else _distance(a, b, eps)

    losses = []
    for a, p, n in zip(anchor, positive, negative, strict=True):
        far = min(d(a, n), d(p, n)) if swap else d(a, n)
        losses.append(max(0, d(a, p) - far + margin))
    return np.mean(losses)


@define
def batch_triplet_loss(
    embeddings: Array, labels: Array, margin: float = 0.2, mining: str = "hard", squared: bool = True
) -> Array:
    x, N = embeddings, range(len(labels))
    alike = [[j for j in N if labels[j] == labels[i] and j != i] for i in N]
    other = [[j for j in N if labels[j] != labels[i]] for i in N]

    def d(i: int, j: int) -> float:
        return _distance(x[i], x[j], 0.0) ** (2 if squared else 1)

    triplets = []
    for i in N:
        if mining == "hard" and alike[i] and other[i]:
            far, near = max(alike[i], key=lambda j: d(i, j)), min(other[i], key=lambda j: d(i, j))
            triplets.append((i, far, near))
        if mining == "all":
            triplets += [(i, p, n) for p in alike[i] for n in other[i]]
    return np.mean([max(0, d(a, p) - d(a, n) + margin) for a, p, n in triplets])


@define
def center_loss(input: Array, centers: Array, target: Array) -> Array:
    return np.mean([_distance(x, centers[c], 0.0) ** 2 / 2 for x, c in zip(input, target, strict=True)])


def _margins(input: Array, weight: Array, target: Array, scale: float, turn: Callable[[float], float]) -> Array:
    """The cosines, those of the right class turned, times the scale."""
    y = [
        [turn(_cosine(x, w)) if k == c else _cosine(x, w) for k, w in enumerate(weight)]
        for x, c in zip(input, target, strict=True)
    ]
    return scale * np.array(y)


@define
def cosine_logits(input: Array, weight: Array, scale: float) -> Array:
    return _margins(input, weight, np.full(len(input), -1), scale, lambda c: c)


@define
def cosface_logits(input: Array, weight: Array, target: Array, scale: float, margin: float = 0.35) -> Array:
    return _margins(input, weight, target, scale, lambda c: c - margin)


@define
def arcface_logits(input: Array, weight: Array, target: Array, scale: float, margin: float = 0.5) -> Array:
    def turn(c: float) -> float:
        angle = math.acos(c) + margin
        return math.cos(angle) if angle <= math.pi else c - 1 + math.cos(margin)

    return _margins(input, weight, target, scale, turn)


@define
def cosface_loss(input: Array, weight: Array, target: Array, scale: float) -> Array:
    return cross_entropy(cosface_logits(input, weight, target, scale), target)


@define
def arcface_loss(input: Array, weight: Array, target: Array, scale: float) -> Array:
    return cross_entropy(arcface_logits(input, weight, target, scale), target)
