"""How near two vectors are."""

from __future__ import annotations

from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.tensor import Tensor


class CosineSimilarity(Module):
    r"""The cosine of the angle between two vectors, $\frac{x \cdot y}{\max(|x|, \epsilon) \max(|y|, \epsilon)}$.

    Arguments:
        dim: the dimension of the vectors.
        eps: ε, which keeps vectors of length 0 apart from a division by 0.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The distance of each pair of vectors (N, E).

    Arguments:
        p: of which norm.
        eps: added to every difference, as in PyTorch.
        keepdim: keep the last dimension, of size 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
