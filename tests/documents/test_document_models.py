"""The networks of the documents: how large their outputs are, and how many numbers they learn.

Counts on the pages are Keras's. Convolutions and dense layers have as many here. An LSTM has one row of biases for
each gate in Keras and two here, as in PyTorch (b_ih and b_hh): 4·H more a layer. A GRU of Keras, reset after by
default, has two as well: the same count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import minidl as dl
from minidl import nn
from minidl.tensor import Tensor


def convolutions(channels: int, *after: nn.Module) -> nn.Sequential:
    """Three convolutions with pooling, as documents 000 and 003 have them."""
    layers: list[nn.Module] = []
    for C, F in ((channels, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(C, F, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, *after)


class Columns(nn.Module):
    """The corrected twin of 000-C1: the columns of the last map, one after the other, through an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = convolutions(3)
        self.lstm = nn.LSTM(128 * 12, 128, batch_first=True)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.maps(x).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.lstm(columns)[0][:, -1])


class Rows(nn.Module):
    """003-C4 and 004-C1: the rows of an image as steps, two recurrent layers, the last state into a dense layer."""

    def __init__(self, layer: Any, features: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = layer(features, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


@dataclass(frozen=True)
class Network:
    """Where it is printed, the network, an input, the output, Keras's count and how many more there are here."""

    place: str
    model: Any
    input: tuple[int, ...]
    output: tuple[int, ...]
    keras: int
    more: int = 0

    def __str__(self) -> str:
        return self.place


NETWORKS = [
    Network("000-C1d", lambda: convolutions(3, nn.Flatten(), nn.Linear(15360, 128), nn.ReLU(), nn.Dropout(0.5)),
            (1, 3, 96, 112), (1, 128), 2_059_456),
    Network("000-C1", Columns, (1, 3, 112, 96), (1, 5), 946_373, more=4 * 128),
    Network("001-C4a", lambda: nn.Sequential(nn.Linear(401_408, 128, bias=False)), (1, 401_408), (1, 128), 51_380_224),
    Network("003-T4", lambda: convolutions(1, nn.Flatten(), nn.Linear(25088, 512), nn.ReLU(), nn.Linear(512, 5)),
            (1, 1, 128, 128), (1, 5), 12_940_805),
    Network("003-C4", lambda: Rows(nn.LSTM, 128, 5), (1, 128, 128), (1, 5), 263_813, more=2 * 4 * 128),
    Network("004-C1", lambda: Rows(nn.GRU, 192, 1), (1, 64, 192), (1, 1), 222_849),
]  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_count_and_shape(network: Network) -> None:
    model = network.model().eval()
    assert sum(p.numel() for p in model.parameters()) == network.keras + network.more
    with dl.no_grad():
        assert tuple(model(dl.zeros(*network.input)).shape) == network.output


def pictures(model: nn.Sequential, *size: int) -> list[tuple[int, int]]:
    """The height and width after each convolution and pooling."""
    x, found = dl.zeros(1, *size), []
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            found.append(tuple(x.shape[2:]))
    return found


def test_000_C1d_trail() -> None:
    trail = pictures(convolutions(3), 3, 96, 112)
    assert trail == [(94, 110), (47, 55), (45, 53), (22, 26), (20, 24), (10, 12)]
    assert 128 * 10 * 12 == nn.Flatten()(convolutions(3)(dl.zeros(1, 3, 96, 112))).shape[1] == 15360


def test_000_C1_trail() -> None:
    """Faces are taller than wide: the map becomes 12 × 10, ten columns of 128·12 numbers."""
    assert pictures(convolutions(3), 3, 112, 96)[-1] == (12, 10)


def test_003_C2_and_L08_trail() -> None:
    """128 → 126 → 63 → 61 → 30 → 28 → 14 and 14·14·128 = 25088."""
    assert [h for h, _ in pictures(convolutions(1), 1, 128, 128)] == [126, 63, 61, 30, 28, 14]
    assert nn.Flatten()(convolutions(1)(dl.zeros(1, 1, 128, 128))).shape[1] == 25088


def test_003_T4_nearly_all_is_in_one_dense_layer() -> None:
    model = NETWORKS[3].model()
    found = nn.summary(model, dl.zeros(1, 1, 128, 128))
    (dense,) = [row for row in found.rows if row.parameters == 25088 * 512 + 512]
    assert f"{100 * found.share(dense):.1f}" == "99.3"


def test_001_C4a_a_dense_layer_behind_224_by_224() -> None:
    """'same' padding and one pooling leave 112 × 112 × 32 = 401 408 numbers, not 16 · 16 · 32."""
    front = nn.Sequential(nn.Conv2d(3, 32, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    with dl.no_grad():
        assert tuple(front(dl.zeros(1, 3, 224, 224)).shape) == (1, 401_408)


def test_004_F3_both_biases_of_a_gru() -> None:
    """Keras has bias (2, 3H) with the reset after; here they are two vectors of 3H."""
    layer = nn.GRU(192, 128)
    assert [tuple(b.shape) for b in (layer.bias_ih_l0, layer.bias_hh_l0)] == [(3 * 128,), (3 * 128,)]
    assert sum(p.numel() for p in layer.parameters()) == 3 * 128 * (128 + 192 + 2)


def test_004_T7_a_gru_has_three_blocks_where_an_lstm_has_four() -> None:
    gru, lstm = (sum(p.numel() for p in layer(64, 128).parameters()) for layer in (nn.GRU, nn.LSTM))
    assert 4 * gru == 3 * lstm


@pytest.mark.parametrize("size", [(64, 64, 3), (1, 64, 64, 3)])
def test_004_C1_a_gru_does_not_take_an_image(size: tuple[int, ...]) -> None:
    """One image of Keras's layout has as many axes as a batch of sequences, but not as many features."""
    with pytest.raises(RuntimeError, match="GRU"):
        nn.GRU(192, 128, batch_first=True)(dl.zeros(*size))
