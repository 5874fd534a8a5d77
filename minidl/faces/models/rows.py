"""A face as a sequence: its rows, read by a recurrent network from above and from below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import minidl.nn.functional as F
from minidl import nn, ops
from minidl.backend import Generator
from minidl.faces.models.cosine import CosineClassifier
from minidl.faces.models.network import FaceNetwork
from minidl.tensor import Tensor

READERS: Final[dict[str, Callable[..., nn.Module]]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
"""The recurrent layers by name."""
STRETCHES: Final = 4
"""Into so many parts of the face its states are gathered: what was read where is kept apart."""


class FaceRows(FaceNetwork):
    """A recurrent network that reads a face row by row, in both directions.

        window t = rows 2t … 2t + 3  →  dense, normalised, relu  →  recurrent layers  →  mean state of each quarter

    An image has no order of time: reading rows is a demonstration, measured beside the convolutional network.

    Arguments:
        people: how many there are to tell apart.
        size: (rows, columns) of the input, at least 16 each.
        reader: "rnn", "lstm" or "gru".
        hidden: H, numbers in a state.
        layers: recurrent layers on top of each other.
        dropout: the share of each layer's states that is dropped in training; document 004 has two layers and 0.5.
        features: E, the length of an embedding.
        scale: of the cosine classifier.
        generator: what the first weights and the dropped states are drawn from.

    Shapes:
        x: (N, 1, *size) → (N, people).

    Source: document 003, sections 3.2 and 4.3.1 (递归神经网络: rows as time steps); document 004, sections 3 and 4.1
    (GRU; its program gives the layer an image where a sequence is due, which is put right here).
    """

    def __init__(
        self,
        people: int,
        size: tuple[int, int] = (56, 46),
        reader: str = "gru",
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        features: int = 128,
        scale: float = 10.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.token = nn.Sequential(nn.Linear(4 * size[1], hidden, generator=generator), nn.LayerNorm(hidden), nn.ReLU())
        between = dropout if layers > 1 else 0.0
        self.reader = READERS[reader](
            hidden, hidden, layers, batch_first=True, dropout=between, bidirectional=True, generator=generator
        )
        self.dropout = nn.Dropout(dropout, generator=generator)
        self.embedding = nn.Sequential(
            nn.Linear(STRETCHES * 2 * hidden, features, bias=False, generator=generator),
            nn.BatchNorm1d(features),
        )
        self.classifier = CosineClassifier(features, people, scale, generator=generator)

    def embed(self, x: Tensor) -> Tensor:
        """The embedding of each face; see `FaceNetwork.embed`."""
        N, _, H, W = x.shape
        pairs = x[:, 0, : H // 2 * 2].reshape(N, H // 2, 2 * W)
        windows = ops.cat([pairs[:, :-1], pairs[:, 1:]], 2)
        states, _ = self.reader(self.token(windows))
        stretches = F.adaptive_avg_pool1d(states.transpose(1, 2), STRETCHES)
        y: Tensor = self.embedding(self.dropout(stretches.flatten(1)))
        return y
