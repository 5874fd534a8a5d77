"""The convolutional network for faces."""

from __future__ import annotations

from functools import partial

import minidl.nn.functional as F
from minidl import nn
from minidl.backend import Generator
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor


class ResidualBlock(nn.Module):
    r"""Two convolutions that learn what to add to their input.

        y = relu(BN(conv3×3(relu(BN(conv3×3(x))))) + shortcut(x))

    The shortcut is x itself, or a 1×1 convolution where the number of channels or the size changes.

    Arguments:
        channels, out: before and after.
        stride: of the first convolution and of the shortcut.
        generator: what the first weights are drawn from.

    Shapes:
        x: (N, channels, H, W) → y: (N, out, ⌈H / stride⌉, ⌈W / stride⌉).

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.
    """

    def __init__(self, channels: int, out: int, stride: int = 1, *, generator: Generator | None = None) -> None:
        super().__init__()
        conv = partial(nn.Conv2d, bias=False, generator=generator)
        self.body = nn.Sequential(
            conv(channels, out, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            conv(out, out, 3, padding=1),
            nn.BatchNorm2d(out),
        )
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else conv(channels, out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the block."""
        return F.relu(self.body(x) + self.shortcut(x))


class FaceCNN(FaceNetwork):
    """A small residual network that keeps where things are in a face.

    The map of features is flattened, not averaged: in an upright face the place of a feature says as much as the
    feature.

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        width: channels of the first convolution.
        features: E, the length of an embedding.
        dropout: the share of the flattened features that is dropped in training.
        scale: of the cosine classifier.
        generator: what the first weights and the dropped features are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 003, section 3.1 and document 001, section 3.1 (卷积神经网络): convolution, down-sampling and fully
    connected layers; strides take the place of pooling.
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        width: int = 16,
        features: int = 128,
        dropout: float = 0.2,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        rows, columns = (-(-side // 8) for side in size)
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False, generator=generator),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, generator=generator),
            ResidualBlock(width, 2 * width, stride=2, generator=generator),
            ResidualBlock(2 * width, 4 * width, stride=2, generator=generator),
            nn.Flatten(),
            nn.Dropout(dropout, generator=generator),
        )
        self.embedding = nn.Sequential(
            nn.Linear(4 * width * rows * columns, features, bias=False, generator=generator),
            nn.BatchNorm1d(features),
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        y: Tensor = self.embedding(self.features(x))
        return y
