"""Losses on embeddings as modules, and the heads that learn a direction or a centre for every person."""

from __future__ import annotations

from typing import Any

from minidl.backend import Device, Generator
from minidl.creation import empty
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.loss import _Loss
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops.mining import MINING
from minidl.tensor import Tensor


class TripletMarginLoss(_Loss):
    """max(0, d(a, p) − d(a, n) + margin) of anchors, positives and negatives (N, E).

    Arguments:
        margin, p, eps, swap, squared: as in `F.triplet_margin_loss`; with squared=True it is the loss of FaceNet.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, *, reduction: str = "mean",
        squared: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap, self.squared = margin, p, eps, swap, squared

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction,
            squared=self.squared,
        )  # fmt: skip


class BatchTripletLoss(_Loss):
    """The triplet loss of a batch of embeddings (N, E) with labels (N,), over triplets chosen among them.

    Arguments:
        margin, squared: as in `F.triplet_margin_loss`.
        mining: "hard", "semi-hard" or "all"; see `F.mine_triplets`.
        reduction: "mean", "sum" or "none", over the triplets.
    """

    def __init__(
        self, margin: float = 0.2, mining: str = "hard", *, squared: bool = True, reduction: str = "mean"
    ) -> None:  # fmt: skip
        super().__init__(reduction)
        if mining not in MINING:
            raise ValueError(f"BatchTripletLoss: mining must be one of {', '.join(MINING)}, got {mining!r}")
        self.margin, self.mining, self.squared = margin, mining, squared

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.batch_triplet_loss(
            embeddings, labels, self.margin, self.mining, squared=self.squared, reduction=self.reduction
        )


class ContrastiveLoss(_Loss):
    """½ d² of pairs (N, E) that are alike (target 1), ½ max(0, margin − d)² of others (target 0)."""

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor, x2: Tensor, target: Tensor) -> Tensor:
        return F.contrastive_loss(x1, x2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """1 − cos of pairs (N, E) that are alike (target 1), max(0, cos − margin) of others (target −1)."""

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class _PerClass(Module):
    """A row of E numbers for each of K classes."""

    rows = "weight"

    def __init__(self, in_features: int, num_classes: int, device: Device | str | None, dtype: Any,
                 generator: Generator | None) -> None:  # fmt: skip
        super().__init__()
        self.in_features, self.num_classes = in_features, num_classes
        table = Parameter(empty(num_classes, in_features, dtype=dtype, device=device or "cpu"))
        self.register_parameter(self.rows, table)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the rows anew, standard normal: their directions are spread evenly."""
        init.normal_(getattr(self, self.rows), generator=generator)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, num_classes={self.num_classes}"


class _MarginHead(_PerClass):
    """Logits from angles; with labels, those of training, otherwise the cosines times the scale."""

    weight: Parameter

    def __init__(self, in_features: int, num_classes: int, scale: float, margin: float, device: Device | str | None,
                 dtype: Any, generator: Generator | None) -> None:  # fmt: skip
        super().__init__(in_features, num_classes, device, dtype, generator)
        self.scale, self.margin = scale, margin

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}, margin={self.margin}"


class ArcFace(_MarginHead):
    r"""A classifier by angle whose right class must win by an angle: logits $s \cos(\theta + m)$ for `cross_entropy`.

    Arguments:
        in_features: E, the length of an embedding. num_classes: K.
        scale: s. margin: m, in radians.
        generator: what the first directions are drawn from.

    Weights: weight (K, E), of which only the directions count.

    Source: Deng et al., arXiv:1801.07698.
    """

    def __init__(
        self, in_features: int, num_classes: int, scale: float = 64.0, margin: float = 0.5,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, num_classes, scale, margin, device, dtype, generator)

    def forward(self, input: Tensor, target: Tensor | None = None) -> Tensor:
        """Logits (N, K) of embeddings (N, E); with labels (N,) the margin is in them."""
        if target is None:
            return F.cosine_logits(input, self.weight, self.scale)
        return F.arcface_logits(input, self.weight, target, self.scale, self.margin)


class CosFace(_MarginHead):
    r"""A classifier by angle whose right class must win by a cosine: logits $s (\cos\theta - m)$ for `cross_entropy`.

    Arguments, weights: as in `ArcFace`; the margin m is one of cosines.

    Source: Wang et al., arXiv:1801.09414.
    """

    def __init__(
        self, in_features: int, num_classes: int, scale: float = 64.0, margin: float = 0.35,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, num_classes, scale, margin, device, dtype, generator)

    def forward(self, input: Tensor, target: Tensor | None = None) -> Tensor:
        """Logits (N, K) of embeddings (N, E); with labels (N,) the margin is in them."""
        if target is None:
            return F.cosine_logits(input, self.weight, self.scale)
        return F.cosface_logits(input, self.weight, target, self.scale, self.margin)


class CenterLoss(_PerClass):
    """Half the squared distance of embeddings from the centre of their class; the centres are learned too.

    Arguments:
        num_classes: K. feat_dim: E.
        reduction: "mean", "sum" or "none".
        generator: what the first centres are drawn from.

    Weights: centers (K, E). Usually added to cross-entropy with a small factor.

    Source: Wen et al., ECCV 2016.
    """

    centers: Parameter
    rows = "centers"

    def __init__(
        self, num_classes: int, feat_dim: int, *, reduction: str = "mean", device: Device | str | None = None,
        dtype: Any = None, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(feat_dim, num_classes, device, dtype, generator)
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"CenterLoss: reduction must be one of mean, sum, none, got {reduction!r}")
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.center_loss(input, self.centers, target, reduction=self.reduction)
