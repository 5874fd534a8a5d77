"""What layers mean, in NumPy, row by row and without the engine: the values that they are held to.

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
    """Enter a definition under its name."""
    DEFINITIONS[function.__name__] = function
    return function


# ── recurrent networks ────────────────────────────────────────────────────────────────────────────


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _gates(count: int, x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> list[Array]:
    return np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, count)


def _rnn(x: Array, h: Array, *weights: Array, nonlinearity: str = "tanh") -> tuple[Array]:
    (a,) = _gates(1, x, h, *weights)
    return (np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0),)


def _lstm(x: Array, h: Array, c: Array, *weights: Array) -> tuple[Array, Array]:
    i, f, g, o = _gates(4, x, h, *weights)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def _gru(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, reset: str = "after", z_keeps: str = "old"
) -> tuple[Array]:
    r, z, _ = map(sigmoid, _gates(3, x, h, w_ih, w_hh, b_ih, b_hh))
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
