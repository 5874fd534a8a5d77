"""A classifier by angle: it looks at the direction of an embedding only, as comparing two faces does."""

from __future__ import annotations

import numpy as np

import minidl.nn.functional as F
from minidl import nn
from minidl.backend import Array, Generator
from minidl.creation import empty, tensor
from minidl.tensor import Tensor


class CosineClassifier(nn.Module):
    r"""The cosine between an embedding and the direction of each person, times a scale.

        y_k = s · cos(x, w_k) = s · (x / |x|) · (w_k / |w_k|)

    Trained by it, embeddings of one person point the same way, so that new faces can be compared by their cosine alone.

    Arguments:
        features: E, the length of an embedding.
        people: how many there are to tell apart.
        scale: s. With logits between -s and s, the loss can fall no lower than log(1 + (people - 1) exp(-2s)).
        generator: what the first directions are drawn from.

    Shapes:
        x: (N, E) → y: (N, people).

    Source: Wang, Xiang, Cheng, Yuille, "NormFace: L2 hypersphere embedding for face verification", ACM Multimedia 2017.
    """

    def __init__(self, features: int, people: int, scale: float = 10.0, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(empty(people, features))
        nn.init.default_(self.weight, None, generator)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the people for each embedding."""
        return self.scale * F.linear(F.normalize(x), F.normalize(self.weight))

    def point_at(self, embeddings: Array, codes: Array) -> None:
        """Take the mean direction of each person's embeddings for his or hers.

        Arguments:
            embeddings: (n, E) float32, rows of length 1.
            codes: (n,) whose they are, 0 … people - 1, everybody at least once.
        """
        centres = np.stack([embeddings[codes == code].mean(0) for code in range(int(codes.max()) + 1)])
        self.weight = nn.Parameter(tensor(centres.astype(np.float32), device=self.weight.device))
