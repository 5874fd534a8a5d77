"""What operations mean, in NumPy, row by row and without the engine: the values that they are held to.

Each function takes the arguments of the operation of its name. Written from the formulas of the papers, slowly and
with loops, so that it shares neither lines nor tricks with what it checks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any
DEFINITIONS: dict[str, Callable[..., Any]] = {}


def define(function: Callable[..., Any]) -> Callable[..., Any]:
    DEFINITIONS[function.__name__] = function
    return function


# ── recurrent networks ────────────────────────────────────────────────────────────────────────────


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _gates(count: int, x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> list[Array]:
    return np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, count)


def _rnn(x: Array, h: Array, *weights: Array, nonlinearity: str = "tanh") -> tuple[Array]:
    (a,) = _gates(1, x, h, *weights)
    return (np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0),)


def _lstm(x: Array, h: Array, c: Array, *weights: Array) -> tuple[Array, Array]:
    i, f, g, o = _gates(4, x, h, *weights)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, reset: str = "after", z_keeps: str = "old"
) -> tuple[Array]:
    r, z, _ = map(_sigmoid, _gates(3, x, h, w_ih, w_hh, b_ih, b_hh))
    H = h.size
    w, b = w_hh[2 * H :], b_hh[2 * H :]
    inside = r * (w @ h + b) if reset == "after" else w @ (r * h) + b
    n = np.tanh(w_ih[2 * H :] @ x + b_ih[2 * H :] + inside)
    return (z * h + (1 - z) * n,) if z_keeps == "old" else ((1 - z) * h + z * n,)


def _recurrent(name: str, step: Callable[..., tuple[Array, ...]], states: tuple[str, ...]) -> None:
    def weights(given: dict[str, Array]) -> list[Array]:
        zeros = np.zeros(len(given["w_hh"]))
        biases = [given.pop(b, None) for b in ("b_ih", "b_hh")]
        return [given.pop("w_ih"), given.pop("w_hh"), *[zeros if b is None else b for b in biases]]

    def cell(input: Array, **given: Any) -> tuple[Array, ...]:
        w, s = weights(given), [given.pop(state) for state in states]
        rows = [step(x, *[h[n] for h in s], *w, **given) for n, x in enumerate(input)]
        return tuple([np.stack(column) for column in zip(*rows, strict=True)])

    def layer(input: Array, lengths: Any = None, reverse: bool = False, **given: Any) -> tuple[Array, ...]:
        w, last = weights(given), [given.pop(state).copy() for state in states]
        y = np.zeros((*input.shape[:2], last[0].shape[1]))
        for n in range(input.shape[1]):
            steps = range(len(input) if lengths is None else lengths[n])
            s = tuple([h[n] for h in last])
            for t in reversed(steps) if reverse else steps:
                s = step(input[t, n], *s, *w, **given)
                y[t, n] = s[0]
            for h, value in zip(last, s, strict=True):
                h[n] = value
        return (y, *last)

    DEFINITIONS[name], DEFINITIONS[f"{name}_cell"] = layer, cell


_recurrent("rnn", _rnn, ("h0",))
_recurrent("lstm", _lstm, ("h0", "c0"))
_recurrent("gru", _gru, ("h0",))


# ── attention, and what goes before it ────────────────────────────────────────────────────────────


@define
def attention_weights(
    query: Array, key: Array, attn_mask: Array | None = None, is_causal: bool = False, scale: float | None = None
) -> Array:
    (L, E), S = query.shape[-2:], key.shape[-2]
    lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    query, key = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (query, key))
    mask = None if attn_mask is None else np.broadcast_to(attn_mask, (*lead, L, S))
    y = np.zeros((*lead, L, S))
    for at in np.ndindex(*lead, L):
        seen = [
            j
            for j in range(S)
            if not (is_causal and j > at[-1]) and not (mask is not None and mask.dtype == bool and not mask[*at, j])
        ]
        e = {}
        for j in seen:
            score = float(query[at] @ key[*at[:-1], j]) * (1 / math.sqrt(E) if scale is None else scale)
            e[j] = math.exp(score + (mask[*at, j] if mask is not None and mask.dtype != bool else 0.0))
        for j in seen:
            y[*at, j] = e[j] / sum(e.values())
    return y


@define
def scaled_dot_product_attention(query: Array, key: Array, value: Array, **given: Any) -> Array:
    return attention_weights(query, key, **given) @ value


@define
def embedding(input: Array, weight: Array, padding_idx: int | None = None) -> Array:
    return np.stack([weight[k] for k in input.ravel()]).reshape(*input.shape, -1)


@define
def position_encoding(position: Array, embedding_dim: int, base: float = 10000.0) -> Array:
    y = np.zeros((*position.shape, embedding_dim))
    for d in range(embedding_dim):
        angle = position / base ** (2 * (d // 2) / embedding_dim)
        y[..., d] = np.cos(angle) if d % 2 else np.sin(angle)
    return y


@define
def position_encoding_2d(row: Array, column: Array, embedding_dim: int, base: float = 10000.0) -> Array:
    row, column = np.broadcast_arrays(row, column)
    halves = [position_encoding(x, embedding_dim // 2, base) for x in (row, column)]
    return np.concatenate(halves, -1)


# ── normalisation ─────────────────────────────────────────────────────────────────────────────────


def _standardized(x: Array, eps: float) -> Array:
    mu = x.sum() / x.size
    return (x - mu) / math.sqrt(((x - mu) ** 2).sum() / x.size + eps)


def _channels(y: Array, weight: Array | None, bias: Array | None) -> Array:
    along = (-1, *(1,) * (y.ndim - 2))
    return y * (1 if weight is None else weight.reshape(along)) + (0 if bias is None else bias.reshape(along))


@define
def batch_norm(
    input: Array, running_mean: Any, running_var: Any, weight: Array | None = None, bias: Array | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    y = input.copy()
    for c in range(input.shape[1]):
        if training:
            y[:, c] = _standardized(input[:, c], eps)
        else:
            y[:, c] = (input[:, c] - running_mean.array[c]) / math.sqrt(running_var.array[c] + eps)
    return _channels(y, weight, bias)


@define
def layer_norm(
    input: Array, normalized_shape: tuple[int, ...], weight: Array | None = None, bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:  # fmt: skip
    lead = input.shape[: input.ndim - len(normalized_shape)]
    y = np.zeros(input.shape)
    for at in np.ndindex(*lead):
        y[at] = _standardized(input[at], eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


@define
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    size = input.shape[1] // num_groups
    y = np.zeros(input.shape)
    for n, g in itertools.product(range(len(input)), range(num_groups)):
        y[n, g * size : (g + 1) * size] = _standardized(input[n, g * size : (g + 1) * size], eps)
    return _channels(y, weight, bias)


@define
def instance_norm(input: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5) -> Array:
    return group_norm(input, input.shape[1], weight, bias, eps)


@define
def rms_norm(input: Array, normalized_shape: tuple[int, ...], weight: Array | None = None, eps: float = 0.0) -> Array:
    y = np.zeros(input.shape)
    for at in np.ndindex(*input.shape[: input.ndim - len(normalized_shape)]):
        y[at] = input[at] / math.sqrt((input[at] ** 2).sum() / input[at].size + eps)
    return y if weight is None else y * weight


@define
def normalize(input: Array, p: float = 2.0, dim: int = 1) -> Array:
    return np.apply_along_axis(lambda x: x / (abs(x) ** p).sum() ** (1 / p), dim, input)


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
    p = _sigmoid(input)
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


# ── windows and matrices ──────────────────────────────────────────────────────────────────────────


@define
def conv2d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    (SH, SW), (P, Q), (DH, DW) = (v if isinstance(v, Sequence) else (v, v) for v in (stride, padding, dilation))
    x = np.pad(input, ((0, 0), (0, 0), (P, P), (Q, Q)))
    O, C, KH, KW = weight.shape
    OH, OW = (x.shape[2] - DH * (KH - 1) - 1) // SH + 1, (x.shape[3] - DW * (KW - 1) - 1) // SW + 1
    y = np.zeros((len(x), O, OH, OW))
    for n, o, i, j in np.ndindex(y.shape):
        start = o // (O // groups) * C
        for c, u, v in np.ndindex(C, KH, KW):
            y[n, o, i, j] += x[n, start + c, i * SH + u * DH, j * SW + v * DW] * weight[o, c, u, v]
    return y if bias is None else y + bias[:, None, None]


@define
def conv2d_relu_max_pool2d(kernel_size: tuple[int, int], pool_stride: tuple[int, int], **given: Any) -> Array:
    (KH, KW), (SH, SW) = kernel_size, pool_stride
    z = conv2d(**given)
    y = np.zeros((*z.shape[:2], (z.shape[2] - KH) // SH + 1, (z.shape[3] - KW) // SW + 1))
    for n, o, i, j in np.ndindex(y.shape):
        y[n, o, i, j] = max(0, z[n, o, i * SH : i * SH + KH, j * SW : j * SW + KW].max())
    return y


def _turned(vectors: Array, *others: Array) -> list[Array]:
    """Columns whose largest component is positive, and the others turned along with them."""
    signs = [np.sign(column[abs(column).argmax()]) for column in vectors.T]
    return [vectors * signs, *[other * signs for other in others]]


@define
def eigh(input: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eig((input + input.T) / 2)
    order = values.argsort()
    return values[order], _turned(vectors[:, order])[0]


@define
def svd(input: Array) -> tuple[Array, Array, Array]:
    n, m = input.shape
    values, right = np.linalg.eig(input.T @ input)
    order = values.argsort()[::-1][: min(n, m)]
    s = np.sqrt(values[order])
    u, v = _turned(input @ right[:, order] / s, right[:, order])
    return u, s, v.T
