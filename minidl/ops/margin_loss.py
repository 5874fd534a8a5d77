r"""Classifiers by angle with a margin: during training the right class must win by more than enough.

With θ_k the angle between an embedding and the direction of class k, and s a scale, the logits are s cos θ_k; only that
of the right class is made smaller, so that the embeddings of a class are drawn closer together than a plain softmax
would:

    CosFace    s (cos θ − m)
    ArcFace    s cos(θ + m)

cos(θ + m) = cos θ cos m − sin θ sin m needs no arc cosine, whose slope is infinite at ±1. The sine comes from the part
of x̂ that is perpendicular to ŵ, |x̂ − ŵ cos θ|: exact for small angles, where √(1 − cos² θ) loses half of its digits,
and with a bounded gradient everywhere, 0 where the angle is 0.

Source: Wang et al., arXiv:1801.09414 (CosFace); Deng et al., arXiv:1801.07698 (ArcFace).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import array_module
from minidl.ops.broadcasting import Operand, floating, promoted
from minidl.ops.choice import where
from minidl.ops.index import getitem
from minidl.ops.linalg import linear
from minidl.ops.loss import cross_entropy
from minidl.ops.metric_loss import class_labels
from minidl.ops.norms import norm
from minidl.ops.reduce import sum
from minidl.ops.registry import NONZERO, op
from minidl.ops.scaling import normalize
from minidl.ops.shape import unsqueeze

if TYPE_CHECKING:
    from minidl.tensor import Tensor

SHORTEST = 1e-6
"""Shorter embeddings count as this long. Their direction is noise, and the gradient of x/|x| grows with 1/|x|."""


def _directions(input: Operand, weight: Operand) -> tuple[Tensor, Tensor]:
    x, w = promoted(floating(input), floating(weight))
    return normalize(x, 2.0, -1, SHORTEST), normalize(w, 2.0, -1, SHORTEST)


@op(formula=r"y_k = s \cos(x, w_k)",
    adjoint=r"\bar x = \tfrac{s}{|x|} \sum_k \bar y_k (\hat w_k - \cos(x, w_k)\, \hat x)",
    example=lambda draw: {"input": draw(2, 3), "weight": draw(4, 3), "scale": 2.0}, domain=NONZERO)  # fmt: skip
def cosine_logits(input: Operand, weight: Operand, scale: float = 64.0) -> Tensor:
    """The cosines between embeddings and the directions of the classes, times a scale.

    Arguments:
        input: (N, E). weight: (K, E), a direction for each class. scale: s.

    Returns:
        (N, K), between −s and s.

    Source: Wang et al., "NormFace", arXiv:1704.06369.
    """
    x, w = _directions(input, weight)
    return linear(x, w) * scale


@op(formula=r"y_k = s \left( \cos\theta_k - [k = c]\, m \right)",
    adjoint=r"\bar x = \tfrac{s}{|x|} \sum_k \bar y_k (\hat w_k - \cos\theta_k\, \hat x)",
    example=lambda draw: {"input": draw(2, 3), "weight": draw(4, 3), "target": np.array([2, 0]), "scale": 2.0},
    domain=NONZERO)  # fmt: skip
def cosface_logits(
    input: Operand, weight: Operand, target: Operand, scale: float = 64.0, margin: float = 0.35
) -> Tensor:  # fmt: skip
    """The cosines, the right one reduced by the margin, times a scale: logits for `cross_entropy`.

    Arguments:
        input: (N, E). weight: (K, E), a direction for each class. target: (N,), integers in [0, K).
        scale: s. margin: m.

    Returns:
        (N, K).

    Source: Wang et al., arXiv:1801.09414, equation 4.
    """
    x, w = _directions(input, weight)
    labels = class_labels("cosface_logits", target, x, w)
    right = array_module(labels).arange(w.array.shape[0]) == labels[:, None]
    return (linear(x, w) - right.astype(x.array.real.dtype) * margin) * scale


@op(formula=r"y_k = s \cos(\theta_k + [k = c]\, m)",
    adjoint=r"\bar\theta_k = -s \sin(\theta_k + [k = c]\, m)\, \bar y_k",
    example=lambda draw: {"input": draw(2, 3), "weight": draw(4, 3), "target": np.array([2, 0]), "scale": 2.0},
    domain=NONZERO)  # fmt: skip
def arcface_logits(
    input: Operand, weight: Operand, target: Operand, scale: float = 64.0, margin: float = 0.5
) -> Tensor:  # fmt: skip
    """The cosines, that of the right class with its angle enlarged by the margin, times a scale.

    Beyond θ = π − m, where cos(θ + m) would rise again, the right logit goes on falling as s (cos θ − 1 + cos m), which
    meets it without a jump.

    Arguments:
        input: (N, E). weight: (K, E), a direction for each class. target: (N,), integers in [0, K).
        scale: s. margin: m, in radians, from 0 to π.

    Returns:
        (N, K), logits for `cross_entropy`.

    Raises:
        ValueError: a margin outside [0, π].

    Source: Deng et al., arXiv:1801.07698, equation 3.
    """
    if not 0 <= margin <= math.pi:
        raise ValueError(f"arcface_logits: the margin is an angle from 0 to π, got {margin}")
    x, w = _directions(input, weight)
    labels = class_labels("arcface_logits", target, x, w)
    cosines = linear(x, w)
    of_class = getitem(w, labels)
    cosine = sum(x * of_class, -1)
    sine = norm(x - unsqueeze(cosine, -1) * of_class, 2, -1)
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    beyond = cosine.array.real < -math.cos(margin)
    turned = where(beyond, cosine - (1 - math.cos(margin)), turned)
    right = array_module(labels).arange(w.array.shape[0]) == labels[:, None]
    return where(right, unsqueeze(turned, -1), cosines) * scale


@op(formula=r"y = -\tfrac1N \sum_n \ln \operatorname{softmax}(s (\cos\theta_n - [k = c_n]\, m))_{c_n}",
    adjoint=r"\bar x_n = J_{\text{logits}}^\top \tfrac1N (\operatorname{softmax} - [k = c_n])\, \bar y",
    example=lambda draw: {"input": draw(2, 3), "weight": draw(4, 3), "target": np.array([2, 0]), "scale": 2.0},
    domain=NONZERO)  # fmt: skip
def cosface_loss(input: Operand, weight: Operand, target: Operand, scale: float = 64.0, margin: float = 0.35, *,
                 reduction: str = "mean") -> Tensor:  # fmt: skip
    """Cross-entropy of `cosface_logits`."""
    t = class_labels("cosface_loss", target, floating(input), floating(weight))
    return cross_entropy(cosface_logits(input, weight, t, scale, margin), t, reduction=reduction)


@op(formula=r"y = -\tfrac1N \sum_n \ln \operatorname{softmax}(s \cos(\theta_n + [k = c_n]\, m))_{c_n}",
    adjoint=r"\bar x_n = J_{\text{logits}}^\top \tfrac1N (\operatorname{softmax} - [k = c_n])\, \bar y",
    example=lambda draw: {"input": draw(2, 3), "weight": draw(4, 3), "target": np.array([2, 0]), "scale": 2.0},
    domain=NONZERO)  # fmt: skip
def arcface_loss(input: Operand, weight: Operand, target: Operand, scale: float = 64.0, margin: float = 0.5, *,
                 reduction: str = "mean") -> Tensor:  # fmt: skip
    """Cross-entropy of `arcface_logits`."""
    t = class_labels("arcface_loss", target, floating(input), floating(weight))
    return cross_entropy(arcface_logits(input, weight, t, scale, margin), t, reduction=reduction)
