"""Operations in other forms than that of the register's example: options that change what is computed.

The registry walk and the mutation suite treat a form like an operation of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Generator
from minidl.ops.registry import REAL, REGISTRY, Domain, Operation
from minidl.tensor import Tensor

Draw = Callable[..., np.ndarray]
FORMS: dict[str, Operation] = {}


def form(name: str, **changed: Any) -> Callable[[Callable[[Draw], dict[str, Any]]], None]:
    """Enter a form, named after its operation, a comma and what is different; the function gives its arguments."""

    def enter(example: Callable[[Draw], dict[str, Any]]) -> None:
        operation = REGISTRY[name.split(",")[0]]
        FORMS[name] = dataclasses.replace(operation, example=example, **changed)

    return enter


# ── recurrent networks ────────────────────────────────────────────────────────────────────────────


def _recurrent(gates: int, states: tuple[str, ...], draw: Draw, T: int, N: int, H: int, **given: Any) -> dict[str, Any]:
    arrays = {"input": draw(T, N, 1), **{s: draw(N, H) for s in states}}
    weights = {"w_ih": draw(gates * H, 1), "w_hh": draw(gates * H, H)}
    return arrays | weights | {"b_ih": draw(gates * H), "b_hh": draw(gates * H)} | given


@form("rnn, reverse and ragged")
def _(draw: Draw) -> dict[str, Any]:
    return _recurrent(1, ("h0",), draw, 3, 3, 2, lengths=np.array([2, 3, 1]), reverse=True)


@form("rnn, relu", oracle="richardson", domain=Domain(gap=1.0))
def _(draw: Draw) -> dict[str, Any]:
    return _recurrent(1, ("h0",), draw, 3, 2, 2, nonlinearity="relu")


@form("lstm, reverse and ragged")
def _(draw: Draw) -> dict[str, Any]:
    return _recurrent(4, ("h0", "c0"), draw, 3, 3, 1, lengths=np.array([2, 3, 1]), reverse=True)


@form("gru, whole sequences")
def _(draw: Draw) -> dict[str, Any]:
    return _recurrent(3, ("h0",), draw, 3, 2, 2)


@form("gru, reset before, z keeps new, reverse and ragged")
def _(draw: Draw) -> dict[str, Any]:
    lengths = np.array([2, 3, 1])
    return _recurrent(3, ("h0",), draw, 3, 3, 1, lengths=lengths, reverse=True, reset="before", z_keeps="new")


# ── attention and embedding ───────────────────────────────────────────────────────────────────────


def _attention(draw: Draw, L: int = 3, S: int = 3, **given: Any) -> dict[str, Any]:
    return {"query": draw(2, L, 2), "key": draw(2, S, 2), "value": draw(2, S, 1)} | given


@form("scaled_dot_product_attention, causal")
def _(draw: Draw) -> dict[str, Any]:
    return _attention(draw, S=4, is_causal=True, scale=0.9)


@form("scaled_dot_product_attention, dropout")
def _(draw: Draw) -> dict[str, Any]:
    return _attention(draw, dropout_p=0.4, generator=Generator(3))


@form("scaled_dot_product_attention, a query that sees nothing")
def _(draw: Draw) -> dict[str, Any]:
    return _attention(draw, attn_mask=np.array([[True, True, False], [False, False, False], [True, False, True]]))


@form("embedding, padding", orders=0)  # the gradient of the padding row is 0, which is not its derivative
def _(draw: Draw) -> dict[str, Any]:
    return {"input": np.array([[1, 2, 2], [1, 3, 0]]), "weight": draw(5, 3), "padding_idx": 2}


# ── normalisation and windows ─────────────────────────────────────────────────────────────────────


@form("batch_norm, evaluation")
def _(draw: Draw) -> dict[str, Any]:
    running = {"running_mean": Tensor(np.array([0.3, -0.5])), "running_var": Tensor(np.array([0.7, 1.9]))}
    return {"input": draw(3, 2, 2), **running, "weight": draw(2), "bias": draw(2), "training": False}


@form("conv2d_relu_max_pool2d, many dead")
def _(draw: Draw) -> dict[str, Any]:
    arrays = {"input": draw(1, 1, 6, 6) / 3, "weight": draw(2, 1, 2, 2), "bias": np.array([-1.1, -0.4])}
    return arrays | {"kernel_size": (2, 3), "pool_stride": (1, 2)}


# ── losses ────────────────────────────────────────────────────────────────────────────────────────


@form("cross_entropy, smooth labels and weights")
def _(draw: Draw) -> dict[str, Any]:
    target = np.array([[0, 2], [1, 1], [-100, 0]])
    return {"input": draw(3, 3, 2), "target": target, "weight": abs(draw(3)) + 0.5, "label_smoothing": 0.3}


@form("cross_entropy, weights")
def _(draw: Draw) -> dict[str, Any]:
    return {"input": draw(3, 4), "target": np.array([3, 0, 1]), "weight": abs(draw(4)) + 0.5}


@form("cross_entropy, probabilities for labels")
def _(draw: Draw) -> dict[str, Any]:
    return {"input": draw(3, 4), "target": draw(3, 4), "label_smoothing": 0.2, "reduction": "sum"}


@form("binary_cross_entropy_with_logits, no class counts more")
def _(draw: Draw) -> dict[str, Any]:
    return {"input": draw(3, 2), "target": draw(3, 2), "reduction": "sum"}


@form("triplet_margin_loss, squared and swapped")
def _(draw: Draw) -> dict[str, Any]:
    return {k: draw(4, 2) for k in ("anchor", "positive", "negative")} | {"squared": True, "swap": True, "margin": 0.5}


@form("batch_triplet_loss, all")
def _(draw: Draw) -> dict[str, Any]:
    labels = np.array([0, 1, 0, 1])
    return {"embeddings": draw(4, 2), "labels": labels, "margin": 0.5, "mining": "all", "squared": False}


@form("arcface_logits, beyond the turning point")
def _(draw: Draw) -> dict[str, Any]:
    return {"input": draw(3, 3), "weight": draw(2, 3), "target": np.array([1, 0, 1]), "scale": 2.0, "margin": 2.6}


# ── matrices ──────────────────────────────────────────────────────────────────────────────────────


@form("svd, more columns than rows", domain=REAL)
def _(draw: Draw) -> dict[str, Any]:
    return {"input": draw(2, 3) * 0.4 + np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])}


OPERATIONS: dict[str, Operation] = {**REGISTRY, **FORMS}
"""Every operation in every form."""
