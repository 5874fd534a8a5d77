"""Faults in attention and its tiles, in embeddings and positions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from planting import Patch, around, fault, instead, line, rule

from minidl import ops
from minidl.kernels import attention as tiles
from minidl.ops import attention
from minidl.ops.index import PutItem

CAUSAL = "scaled_dot_product_attention, causal"
DROPOUT = "scaled_dot_product_attention, dropout"
MASKED = "scaled_dot_product_attention, a query that sees nothing"
PLAIN = "scaled_dot_product_attention"

# ── the gradient of tiles ─────────────────────────────────────────────────────────────────────────

line("attention: Σ ḡ o not taken off", PLAIN, tiles.attention_grad, "gs -= along", "pass")
line("attention: gradient of K by the wrong product", DROPOUT, tiles.attention_grad,
     "xp.matmul(gs.swapaxes(-1, -2), qs)", "xp.matmul(gs, ks)")  # fmt: skip
line("attention: gradient of K from queries without scale", PLAIN, tiles.attention_grad,
     "xp.matmul(gs.swapaxes(-1, -2), qs)", "xp.matmul(gs.swapaxes(-1, -2), qs / scale)")  # fmt: skip
line("attention: gradient of Q without scale", CAUSAL, tiles.attention_grad,
     "gq[batch.part, rows.part] *= scale", "pass")  # fmt: skip
line("attention: values learn from weights that were struck out", DROPOUT, tiles.attention_grad,
     "(p if kept is None else p * kept)", "p")  # fmt: skip
line("attention: gradient of the mask of the last batch element only", PLAIN, tiles._add,
     "gbias[place] += part[i]", "gbias[place] = part[i]")  # fmt: skip


@around("attention: dropout drawn afresh on the way back", DROPOUT, tiles.attention_grad)
def _(real: Any, rules: Any, **given: Any) -> Any:
    return real(rules=dataclasses.replace(rules, key=rules.key + np.uint64(1)), **given)


@fault("attention: queries that see nothing give nan", MASKED)
def _(patch: Patch) -> None:
    real = attention._weights

    def weights(q: Any, k: Any, bias: Any, rules: Any) -> Any:
        y = real(q, k, bias, rules)
        with np.errstate(all="ignore"):
            return ops.where(y.array.sum(axis=-1, keepdims=True) == 0, np.nan, y)

    patch.setattr(attention, "_weights", weights)


# ── forward, in one way of computing only ─────────────────────────────────────────────────────────

line("attention: causal mask hides the present as well", CAUSAL, tiles._Tiles.scores,
     "stop) > self.xp", "stop) >= self.xp")  # fmt: skip
line("attention: sums not faded when a larger score comes", PLAIN, tiles.attention,
     "sums *= faded", "pass", only="cut_anywhere")  # fmt: skip
line("attention: values not faded when a larger score comes", PLAIN, tiles.attention,
     "acc *= faded", "pass", only="cut_anywhere")  # fmt: skip
line("attention: keys of the first tile masked in every tile", CAUSAL, tiles._Tiles.scores,
     "self.xp.arange(columns.start, columns.stop)", "self.xp.arange(columns.stop - columns.start)",
     only="cut_anywhere")  # fmt: skip


@around("attention: the last, smaller tile left out", PLAIN, tiles._blocks, only="cut_anywhere")
def _(real: Any, size: int, length: int) -> Any:
    return real(size, length)[: max(1, size // length)]


# ── in the meaning ────────────────────────────────────────────────────────────────────────────────


@fault("attention: √E forgotten", PLAIN, only="defined")
def _(patch: Patch) -> None:
    patch.setattr(attention, "_scale", lambda scale, q: 1.0)


@instead("attention: mask added after the softmax", PLAIN, only="defined")
def _(query: Any, key: Any, value: Any, attn_mask: Any) -> Any:
    return ops.matmul(ops.attention_weights(query, key) + attn_mask, value)


@instead("attention: softmax over the queries", PLAIN, only="defined")
def _(query: Any, key: Any, value: Any, attn_mask: Any) -> Any:
    scores = ops.matmul(query, ops.transpose(key, -1, -2)) / np.sqrt(query.array.shape[-1]) + attn_mask
    return ops.matmul(ops.softmax(scores, -2), value)


@instead("attention: causal mask off by one", CAUSAL, only="future_does_not_matter")
def _(query: Any, key: Any, is_causal: bool, **given: Any) -> Any:
    seen = np.tri(query.array.shape[1], key.array.shape[1], k=1, dtype=bool)
    return ops.scaled_dot_product_attention(query, key, attn_mask=seen, **given)


@instead("attention: causal weights of keys to come", "attention_weights", only="future_does_not_matter")
def _(query: Any, key: Any, attn_mask: Any, is_causal: bool) -> Any:
    return ops.attention_weights(query, key, attn_mask)


@instead("attention: keys of the neighbour in the batch", PLAIN, only="one_by_one")
def _(query: Any, key: Any, value: Any, attn_mask: Any) -> Any:
    return ops.scaled_dot_product_attention(query, ops.flip(key, (0,)), value, attn_mask)


# ── embedding and position ────────────────────────────────────────────────────────────────────────


@rule("embedding: repeats overwrite instead of adding", "embedding", PutItem, "forward")
def _(self: Any, x: Any) -> Any:
    y = np.zeros(self.shape, x.dtype)
    y[self.buffers[0]] = x
    return y


@instead("embedding: the row of padding learns", "embedding, padding", only="declared_constant")
def _(input: Any, weight: Any, padding_idx: int) -> Any:
    return ops.embedding(input, weight)


@instead("embedding: numbers count from 1", "embedding", only="defined")
def _(input: Any, weight: Any) -> Any:
    return ops.embedding((input + 4) % 5, weight)


@instead("position encoding: exponent i/E in place of 2i/E", "position_encoding", only="defined")
def _(position: Any, embedding_dim: int, base: float) -> Any:
    return ops.position_encoding(position, embedding_dim, base**0.5)
