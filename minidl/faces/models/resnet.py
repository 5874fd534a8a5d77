"""A deeper residual network: four stages of two blocks, as in ResNet-18, narrow enough for few faces."""

from __future__ import annotations

from minidl import nn
from minidl.backend import Generator
from minidl.faces.models.cnn import ResidualBlock
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor


class FaceResNet(FaceNetwork):
    """ResNet-18 with an eighth of its channels, and the last map flattened instead of averaged.

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        width: channels of the first stage; each further stage has twice as many and half the rows and columns.
        blocks: residual blocks a stage.
        features: E, the length of an embedding.
        dropout: the share of the flattened features that is dropped in training.
        scale: of the cosine classifier.
        generator: what the first weights and the dropped features are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 004, section 1.1, names it; He, Zhang, Ren, Sun, "Deep residual learning for image recognition",
    CVPR 2016.
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        width: int = 16,
        blocks: int = 2,
        features: int = 128,
        dropout: float = 0.2,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        rows, columns = (-(-side // 16) for side in size)
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False, generator=generator),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
        for stage in range(4):
            for block in range(blocks):
                first = block == 0
                out, stride = width * 2**stage, 2 if first and stage else 1
                layers.append(ResidualBlock(channels, out, stride, generator=generator))
                channels = out
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout, generator=generator))
        self.embedding = nn.Sequential(
            nn.Linear(channels * rows * columns, features, bias=False, generator=generator),
            nn.BatchNorm1d(features),
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        y: Tensor = self.embedding(self.features(x))
        return y
