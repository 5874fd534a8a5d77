"""A face as a set of patches that look at each other: self-attention, with the place of each patch added to it."""

from __future__ import annotations

import minidl.nn.functional as F
from minidl import nn, ops
from minidl.backend import Generator
from minidl.creation import empty
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor


def _encoder(width: int, layers: int, heads: int, dropout: float, generator: Generator | None) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True, generator=generator
    )
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))


class FaceAttention(FaceNetwork):
    """Overlapping patches as tokens, their row and column as waves, and where they are kept to the end.

        12×12 pixels every 6  →  dense  →  + position in two dimensions  →  attention  →  mean of each sixth

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        width: numbers a token.
        layers, heads: of the encoder.
        dropout: in the encoder.
        patch, hop: sides and distance of the patches in pixels; without overlap four times as many faces are
            mistaken.
        features: E, the length of an embedding.
        scale: of the cosine classifier.
        generator: what the first weights and the masks of dropout are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 003, sections 3.3 and 4.4.1 (自注意力机制), with the position of section 3.3.3 as vectors and the
    weights normalised over positions (its program takes the softmax of single numbers).
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        width: int = 96,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        patch: int = 12,
        hop: int = 6,
        features: int = 128,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        # A border of half a hop, so that the patches reach the last pixels.
        padding = hop // 2
        rows, columns = ((side + 2 * padding - patch) // hop + 1 for side in size)
        self.tokens = nn.Conv2d(1, width, patch, stride=hop, padding=padding, generator=generator)
        self.positions = nn.SinusoidalPositions2d(width, rows, columns)
        self.encoder = _encoder(width, layers, heads, dropout, generator)
        self.regions = (min(3, rows), min(2, columns))
        self.embedding = nn.Sequential(
            nn.Linear(self.regions[0] * self.regions[1] * width, features, bias=False, generator=generator),
            nn.BatchNorm1d(features),
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        patches = self.positions(self.tokens(x))
        N, E, rows, columns = patches.shape
        seen = self.encoder(patches.flatten(2).transpose(1, 2))
        regions = F.adaptive_avg_pool2d(seen.transpose(1, 2).reshape(N, E, rows, columns), self.regions)
        y: Tensor = self.embedding(regions.flatten(1))
        return y


class FaceViT(FaceNetwork):
    """A vision transformer as it was published: patches side by side, learned positions, and a token that gathers.

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        width: numbers a token.
        layers, heads: of the encoder.
        dropout: in the encoder.
        patch: side of the patches in pixels.
        features: E, the length of an embedding.
        scale: of the cosine classifier.
        generator: what the first weights and the masks of dropout are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 004, section 1.1, and document 003, section 6.3, name it; Dosovitskiy et al., arXiv:2010.11929.
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        width: int = 96,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
        patch: int = 8,
        features: int = 128,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        rows, columns = (side // patch for side in size)
        self.tokens = nn.Conv2d(1, width, patch, stride=patch, generator=generator)
        self.gatherer = nn.Parameter(empty(1, 1, width))
        nn.init.normal_(self.gatherer, 0.0, 0.02, generator)
        self.positions = nn.LearnedPositions(1 + rows * columns, width, generator=generator)
        self.encoder = _encoder(width, layers, heads, dropout, generator)
        self.embedding = nn.Sequential(
            nn.Linear(width, features, bias=False, generator=generator), nn.BatchNorm1d(features)
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        patches = self.tokens(x).flatten(2).transpose(1, 2)
        gatherer = self.gatherer.expand(patches.shape[0], -1, -1)
        seen = self.encoder(self.positions(ops.cat([gatherer, patches], 1)))
        y: Tensor = self.embedding(seen[:, 0])
        return y
