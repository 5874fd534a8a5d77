r"""Losses on embeddings: the same person close together, different persons apart. Nothing is said of any class.

    pair       ½ d²  if alike,  ½ max(0, m − d)²  if not                        contrastive
    triplet    max(0, d(a, p) − d(a, n) + m)                                    anchor, positive, negative
    centre     ½ |x − c_y|²                                                     c_y: the centre of the class

Distances are safe where two embeddings coincide and where one is 0: the gradient of |x| at 0 is taken as 0. Document
003 names only cross-entropy and the squared error as losses of face recognition (ERRATA 003-T14); FaceNet's is the
triplet loss (ERRATA 004-T4).

Source: Hadsell, Chopra and LeCun, CVPR 2006 (contrastive); Schroff, Kalenichenko and Philbin, arXiv:1503.03832
(triplet, semi-hard negatives); Hermans, Beyer and Leibe, arXiv:1703.07737 (hardest in the batch); Wen et al., ECCV
2016 (centre).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import Array
from minidl.ops.broadcasting import Operand, as_tensor, floating, promoted
from minidl.ops.choice import clamp, minimum, where
from minidl.ops.index import getitem
from minidl.ops.loss import reduced
from minidl.ops.mining import mine_triplets
from minidl.ops.norms import norm
from minidl.ops.reduce import sum
from minidl.ops.registry import DISTINCT, NONZERO, Domain, op
from minidl.ops.scaling import normalize

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def _floats(*operands: Operand) -> tuple[Tensor, ...]:
    return promoted(*[floating(x) for x in operands])


# ── how near ──────────────────────────────────────────────────────────────────────────────────────


@op(formula=r"y = \lVert x_1 - x_2 + \varepsilon \rVert_p",
    adjoint=r"\bar x_1 = \tfrac{1}{y} (x_1 - x_2 + \varepsilon)\, \bar y,\quad \bar x_2 = -\bar x_1 \quad (p = 2)",
    example=lambda draw: {"x1": draw(3, 4), "x2": draw(4)})  # fmt: skip
def pairwise_distance(
    x1: Operand, x2: Operand, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:  # fmt: skip
    """The distance of two vectors, or of each pair of two lists of them.

    Arguments:
        x1, x2: (N, E) or (E,), shapes that broadcast.
        p: of which norm.
        eps: added to every difference, as in PyTorch; with 0 the distance is exact and its gradient at 0 is 0.
        keepdim: keep the last dimension, of size 1.
    """
    a, b = _floats(x1, x2)
    return norm(a - b + eps if eps else a - b, p, -1, keepdim)


@op(formula=r"y = \frac{x_1 \cdot x_2}{\max(|x_1|, \varepsilon)\, \max(|x_2|, \varepsilon)}",
    adjoint=r"\bar x_1 = \frac{1}{|x_1|} \left( \hat x_2 - y\, \hat x_1 \right) \bar y,\quad "
            r"\bar x_2 = \frac{1}{|x_2|} \left( \hat x_1 - y\, \hat x_2 \right) \bar y",
    example=lambda draw: {"x1": draw(3, 4), "x2": draw(3, 4)}, domain=NONZERO)  # fmt: skip
def cosine_similarity(x1: Operand, x2: Operand, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors; with a vector of length 0 it is 0.

    Arguments:
        x1, x2: shapes that broadcast. dim: along which the vectors lie.
        eps: shorter vectors are divided by this.
    """
    a, b = _floats(x1, x2)
    return sum(normalize(a, 2.0, dim, eps) * normalize(b, 2.0, dim, eps), dim)


def _distance(a: Tensor, b: Tensor, squared: bool) -> Tensor:
    d = a - b
    return sum(d * d, -1) if squared else norm(d, 2, -1)


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────


@op(formula=r"y = t\, \tfrac12 d^2 + (1 - t)\, \tfrac12 \max(0, m - d)^2,\quad d = |x_1 - x_2|",
    adjoint=r"\bar x_1 = \left( t - (1 - t)\, \tfrac{\max(0, m - d)}{d} \right) (x_1 - x_2)\, \bar y,\quad "
            r"\bar x_2 = -\bar x_1",
    example=lambda draw: {"x1": draw(4, 2), "x2": draw(4, 2), "target": np.array([1, 0, 0, 1]), "margin": 6.0},
    oracle="richardson", domain=DISTINCT)  # fmt: skip
def contrastive_loss(x1: Operand, x2: Operand, target: Operand, margin: float = 1.0, *,
                     reduction: str = "mean") -> Tensor:  # fmt: skip
    r"""Pull pairs that are alike together, push others apart until they are `margin` away.

    Arguments:
        x1, x2: (N, E). target: (N,), 1 for a pair that is alike, 0 for one that is not.
        margin: m. reduction: "mean", "sum" or "none".

    Source: Hadsell, Chopra and LeCun, CVPR 2006, where 0 and 1 mean the opposite.
    """
    a, b = _floats(x1, x2)
    t = as_tensor(target)
    d = _distance(a, b, squared=False)
    if t.array.shape != d.array.shape:
        raise RuntimeError(f"contrastive_loss: {d.array.shape} pairs want as many targets, got {t.array.shape}")
    short = clamp(margin - d, min=0.0)
    alike = t.array.astype(a.array.real.dtype)
    return reduced(
        "contrastive_loss", _distance(a, b, True) * (alike / 2) + short * short * ((1 - alike) / 2), reduction
    )


@op(formula=r"y = t = 1 \;?\; 1 - \cos(x_1, x_2) : \max(0, \cos(x_1, x_2) - m)",
    adjoint=r"\bar x_1 = s\, \nabla_1 \cos(x_1, x_2)\, \bar y,\quad s = t = 1 \;?\; -1 : [\cos > m]",
    example=lambda draw: {"input1": draw(4, 3), "input2": draw(4, 3), "target": np.array([1, -1, 1, -1]),
                          "margin": -0.9}, oracle="richardson", domain=NONZERO)  # fmt: skip
def cosine_embedding_loss(input1: Operand, input2: Operand, target: Operand, margin: float = 0.0, *,
                          reduction: str = "mean") -> Tensor:  # fmt: skip
    """1 − cosine for pairs that are alike, and the cosine above `margin` for those that are not.

    Arguments:
        input1, input2: (N, E) or (E,). target: (N,) or (), 1 for alike, −1 for not.
        margin: between −1 and 1. reduction: "mean", "sum" or "none".

    Raises:
        RuntimeError: shapes that do not fit.
    """
    a, b = _floats(input1, input2)
    t = as_tensor(target)
    if a.array.ndim not in (1, 2) or a.array.shape != b.array.shape or t.array.shape != a.array.shape[:-1]:
        raise RuntimeError(
            f"cosine_embedding_loss: expected two inputs (N, E) and targets (N,), got {a.array.shape}, "
            f"{b.array.shape} and {t.array.shape}"
        )
    cosine = cosine_similarity(a, b, -1)
    losses = where(t.array == 1, 1 - cosine, where(t.array == -1, clamp(cosine - margin, min=0.0), 0.0))
    return reduced("cosine_embedding_loss", losses, reduction)


# ── triplets ──────────────────────────────────────────────────────────────────────────────────────


@op(formula=r"y = \max(0,\; d(a, p) - d(a, n) + m)",
    adjoint=r"\bar p = [y > 0]\, \nabla_p\, d(a, p)\, \bar y,\quad "
            r"\bar n = -[y > 0]\, \nabla_n\, d(a, n)\, \bar y,\quad "
            r"\bar a = -\bar p - \bar n",
    example=lambda draw: {"anchor": draw(4, 2), "positive": draw(4, 2), "negative": draw(4, 2), "margin": 0.5},
    oracle="richardson", domain=DISTINCT)  # fmt: skip
def triplet_margin_loss(
    anchor: Operand, positive: Operand, negative: Operand, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, *, reduction: str = "mean", squared: bool = False,
) -> Tensor:  # fmt: skip
    """The anchor shall be nearer to the positive than to the negative, by `margin` at least.

    Arguments:
        anchor, positive, negative: (N, E) or (E,).
        margin: m. p, eps: as in `pairwise_distance`.
        swap: use the negative's distance from the positive where that is smaller.
        reduction: "mean", "sum" or "none".
        squared: squared distances without eps, as in the paper; PyTorch has only the distances themselves.

    Source: Schroff, Kalenichenko and Philbin, arXiv:1503.03832, equation 2 (squared); Balntas et al., BMVC 2016 (swap).

    >>> import minidl as dl
    >>> a, p, n = dl.tensor([1.0, 0.0]), dl.tensor([0.8, 0.6]), dl.tensor([0.0, 1.0])
    >>> triplet_margin_loss(a, p, n, margin=2.0, squared=True)  # 0.4 − 2.0 + 2.0
    tensor(0.4)
    """
    a, b, c = _floats(anchor, positive, negative)
    if squared and p != 2:
        raise ValueError(f"triplet_margin_loss: squared distances are those of p=2, got p={p}")

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return _distance(x, y, True) if squared else pairwise_distance(x, y, p, eps)

    near, far = distance(a, b), distance(a, c)
    if swap:
        far = minimum(far, distance(b, c))
    return reduced("triplet_margin_loss", clamp(near - far + margin, min=0.0), reduction)


@op(formula=r"y = \tfrac{1}{|T|} \sum_{(a, p, n) \in T} \max(0,\; d(x_a, x_p) - d(x_a, x_n) + m)",
    adjoint=r"\bar x_i = \sum_{t \in T} [i \in t]\, \nabla_{x_i} y_t\, \tfrac{\bar y}{|T|}",
    example=lambda draw: {"embeddings": draw(5, 2), "labels": np.array([0, 1, 0, 1, 0]), "margin": 0.5},
    oracle="richardson", domain=Domain(distinct=0.4))  # fmt: skip
def batch_triplet_loss(
    embeddings: Operand, labels: Operand, margin: float = 0.2, mining: str = "hard", *, squared: bool = True,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` over triplets that are chosen out of the batch; 0 where there are none.

    Arguments:
        embeddings: (N, E), usually normalised. labels: (N,), integers; a batch wants several of each.
        margin, squared: as in `triplet_margin_loss`. mining: as in `mine_triplets`.
        reduction: "mean", over the triplets; "sum"; or "none", the losses of the triplets.
    """
    x = floating(embeddings)
    triplets = mine_triplets(x, labels, mining, margin, squared=squared)
    rows = [getitem(x, i) for i in triplets]
    if reduction == "mean" and not triplets[0].array.size:
        reduction = "sum"  # the mean of nothing would be nan
    return triplet_margin_loss(rows[0], rows[1], rows[2], margin, eps=0.0, squared=squared, reduction=reduction)


# ── centres ───────────────────────────────────────────────────────────────────────────────────────


@op(formula=r"y = \tfrac{1}{2N} \sum_n |x_n - c_{t_n}|^2",
    adjoint=r"\bar x_n = \tfrac1N (x_n - c_{t_n})\, \bar y,\quad "
            r"\bar c_k = \tfrac1N \sum_n [t_n = k] (c_k - x_n)\, \bar y",
    example=lambda draw: {"input": draw(4, 3), "centers": draw(3, 3), "target": np.array([0, 2, 2, 1])})  # fmt: skip
def center_loss(input: Operand, centers: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Half the squared distance from the centre of the class; added to cross-entropy it keeps each class together.

    The paper moves a centre by the mean of its differences over 1 + n_k; here the centres follow their gradient.

    Arguments:
        input: (N, E). centers: (K, E). target: (N,), integers in [0, K).
        reduction: "mean", "sum" or "none".

    Raises:
        IndexError: a label that is no class.

    Source: Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016.
    """
    x, c = _floats(input, centers)
    return reduced(
        "center_loss", _distance(x, getitem(c, class_labels("center_loss", target, x, c)), True) * 0.5, reduction
    )


def class_labels(name: str, target: Operand, x: Tensor, rows: Tensor) -> Array:
    """Labels (N,) of the embeddings (N, E), each the number of a row of (K, E)."""
    t = as_tensor(target).array
    if x.array.ndim != 2 or rows.array.ndim != 2 or x.array.shape[1] != rows.array.shape[1]:
        raise RuntimeError(
            f"{name}: expected embeddings (N, E) and rows (K, E), got {x.array.shape} and {rows.array.shape}"
        )
    if t.dtype.kind not in "iu" or t.shape != x.array.shape[:1]:
        raise RuntimeError(
            f"{name}: expected N={x.array.shape[0]} integer labels, got {t.dtype.name} of shape {t.shape}"
        )
    if t.size and not 0 <= int(t.min()) <= int(t.max()) < rows.array.shape[0]:
        raise IndexError(f"{name}: labels lie in [0, {rows.array.shape[0]}), got {int(t.min())} to {int(t.max())}")
    return t.copy()  # the gradient needs it as it is now
