"""Convolution first, then a sequence: the columns of the feature map, read from left to right and back."""

from __future__ import annotations

from functools import partial

import minidl.nn.functional as F
from minidl import nn
from minidl.backend import Generator
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor

STRETCHES = 3
"""Left, middle and right of the face are kept apart."""


class FaceCNNLSTM(FaceNetwork):
    """A convolutional network whose feature map a recurrent one reads column by column.

        x (N, 1, H, W)  →  map (N, C, H/8, W/8)  →  W/8 columns of C · H/8 numbers  →  LSTM  →  mean of each third

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        width: channels of the first convolution; the following two have two and four times as many.
        hidden: H, numbers in a state.
        dropout: the share of the columns' numbers that is dropped in training.
        features: E, the length of an embedding.
        scale: of the cosine classifier.
        generator: what the first weights and the dropped numbers are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 000, sections 3.3 and 4. Its program takes the outputs of one network for inputs of another and
    cannot run; what it describes is convolution that feeds a recurrent network (Donahue et al., "Long-term recurrent
    convolutional networks for visual recognition and description", CVPR 2015). An LSTM itself has no convolution.
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        width: int = 16,
        hidden: int = 128,
        dropout: float = 0.2,
        features: int = 128,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        conv = partial(nn.Conv2d, padding=1, bias=False, generator=generator)
        layers: list[nn.Module] = []
        for before, after in ((1, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [conv(before, after, 3), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout, generator=generator)
        self.reader = nn.LSTM(
            4 * width * (size[0] // 8), hidden, batch_first=True, bidirectional=True, generator=generator
        )
        self.stretches = min(STRETCHES, size[1] // 8)
        self.embedding = nn.Sequential(
            nn.Linear(self.stretches * 2 * hidden, features, bias=False, generator=generator),
            nn.BatchNorm1d(features),
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        columns = self.features(x).permute(0, 3, 1, 2).flatten(2)
        states, _ = self.reader(self.dropout(columns))
        stretches = F.adaptive_avg_pool1d(states.transpose(1, 2), self.stretches)
        y: Tensor = self.embedding(stretches.flatten(1))
        return y
