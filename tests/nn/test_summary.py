"""summary: the numbers of the documents, counted by our own networks; and nothing changed by looking."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as dl
from minidl import nn


def _article_003() -> nn.Sequential:
    """The network of document 003, section 4.2."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 14 * 14, 512), nn.ReLU(), nn.Linear(512, 5),
    )  # fmt: skip


def test_the_network_of_article_003() -> None:
    """LESSONS L08: the shape trail, 12,940,805 parameters, and 99.3 % of them in one dense layer."""
    facts = nn.summary(_article_003(), (1, 1, 128, 128))
    assert facts.parameters == facts.trainable == 12_940_805
    sides = [shape[-1] for shape in facts.trail if len(shape) == 4]
    assert list(dict.fromkeys(sides)) == [128, 126, 63, 61, 30, 28, 14]
    largest = max(facts.rows, key=facts.share)
    assert (largest.name, largest.kind, largest.output_shapes) == ("10", "Linear", ((1, 512),))
    assert round(100 * facts.share(largest), 1) == 99.3
    assert facts.parameter_bytes == 4 * 12_940_805


def test_the_convolutions_of_document_000() -> None:
    """ERRATA 000-C1d: 94×110 → 47×55 → 45×53 → 22×26 → 20×24 → 10×12 → 15360 → 128, 2,059,456 parameters."""
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(15360, 128), nn.Dropout(0.5),
    )  # fmt: skip
    facts = nn.summary(model, (1, 3, 96, 112))
    assert facts.parameters == 2_059_456
    trail = list(dict.fromkeys(shape[2:] or shape[1:] for shape in facts.trail))
    assert trail == [(96, 112), (94, 110), (47, 55), (45, 53), (22, 26), (20, 24), (10, 12), (15360,), (128,)]


class Odd(nn.Module):
    """A tied weight, a layer used twice, one never used, a parameter of its own, something frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.tied, self.idle = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(2, 2)
        self.tied.weight = self.twice.weight
        self.scale = nn.Parameter(dl.ones(3), requires_grad=False)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, a: dl.Tensor, b: dl.Tensor) -> dict[str, dl.Tensor]:
        return {"y": self.norm(self.tied(self.twice(self.twice(a)))) * self.scale + b}


def test_every_parameter_counts_once_and_memory_is_that_of_the_outputs() -> None:
    model = Odd()
    a, b = dl.ones(4, 3), dl.ones(4, 3)
    facts = nn.summary(model, (a, b))
    told = [(row.name, row.parameters) for row in facts.rows]
    assert told == [("twice", 12), ("twice", 0), ("tied", 3), ("norm", 6), ("Odd", 3), ("idle", 6)]
    assert facts.parameters == sum(p.numel() for p in model.parameters()) == 30
    assert facts.trainable == 27
    assert facts.input_shapes == ((4, 3), (4, 3))
    assert facts.activation_bytes == 4 * (4 * 3) * (2 + 4)
    assert facts.trail[-1] == (4, 3)


def test_looking_changes_nothing() -> None:
    """T33: modes, statistics, gradients, hooks and the default generator are as before, also when the pass fails."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[2].eval()
    before = {key: value.array.copy() for key, value in model.state_dict().items()}
    stream = dl.backend.default_generator.get_state()
    nn.summary(model, (2, 3))
    with pytest.raises(RuntimeError, match="linear"):
        nn.summary(model, (2, 5))
    assert [m.training for m in model] == [True, True, False]
    assert all(np.array_equal(model.state_dict()[key], value) for key, value in before.items())
    assert all(p.grad is None for p in model.parameters())
    assert all(not (m._hooks and m._hooks.forward) for m in model.modules())
    assert dl.backend.default_generator.get_state() == stream


def test_it_prints_a_table() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    model[0].requires_grad_(False)
    assert str(nn.summary(model, (2, 3))).splitlines() == [
        "layer  kind    output  parameters   share",
        "─────────────────────────────────────────",
        "input          2×3",
        "0      Linear  2×4             16  76.2 %",
        "1      ReLU    2×4              0",
        "2      Linear  2×1              5  23.8 %",
        "─────────────────────────────────────────",
        "Sequential: 21 parameters (5 trained, 16 frozen), 168 bytes",
        "activations of one forward pass: 192 bytes",
    ]
    assert "12,940,805 parameters" in repr(nn.summary(_article_003(), (1, 1, 128, 128)))
    assert "not called" in str(nn.summary(Odd(), (dl.ones(1, 3), dl.ones(1, 3))))


def test_a_wrong_input_is_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"expected a shape, a tensor or a tuple of tensors, got \('a', 3\)"):
        nn.summary(nn.ReLU(), ("a", 3))
