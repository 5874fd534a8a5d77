"""Weights travel both ways with PyTorch through safetensors: same names, same layouts, same outputs."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.io import load_safetensors, save_safetensors

torch = pytest.importorskip("torch", reason="torch is not installed")
stored = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.oracle


def cnn(nn):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 4, (3, 2), stride=2, groups=2), nn.GroupNorm(2, 4), nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Flatten(), nn.Linear(36, 5),
    )  # fmt: skip


def words(nn):
    return nn.Sequential(nn.Embedding(20, 8, padding_idx=1), nn.LayerNorm(8), nn.Linear(8, 3, bias=False))


def signal(nn):
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ConvTranspose1d(4, 3, 2))


IMAGES, TOKENS = (3, 2, 9, 12), (3, 7, 8)
MODELS = {
    "CNN": (cnn, IMAGES),
    "words": (words, None),
    "signal": (signal, (3, 2, 11)),
    "RNN": (lambda nn: nn.RNN(8, 5, 2, nonlinearity="relu", batch_first=True), TOKENS),
    "LSTM": (lambda nn: nn.LSTM(8, 5, 2, batch_first=True, bidirectional=True), TOKENS),
    "LSTM without bias": (lambda nn: nn.LSTM(8, 5, bias=False), TOKENS),
    "GRU": (lambda nn: nn.GRU(8, 5, 2, batch_first=True, bidirectional=True), TOKENS),
    "LSTMCell": (lambda nn: nn.LSTMCell(8, 5), (3, 8)),
    "GRUCell": (lambda nn: nn.GRUCell(8, 5), (3, 8)),
    "attention": (lambda nn: nn.MultiheadAttention(8, 2, batch_first=True), TOKENS),
    "encoder layer": (lambda nn: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), TOKENS),
    "encoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu"), 2, nn.LayerNorm(8)
        ),
        TOKENS,
    ),
}


def stir(arrays, rng):
    """Numbers of their own for every parameter and running statistic, so that none can stand in for another."""
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            array[...] = (
                rng.uniform(0.5, 1.5, array.shape) if "running_var" in name else rng.normal(0, 0.4, array.shape)
            )
        else:
            array[...] = 17


def flat(result):
    if result is None:
        return []
    if isinstance(result, tuple | list):
        return [y for part in result for y in flat(part)]
    return [result.detach().numpy()]


def same_outputs(name, ours, theirs, rng):
    shape = MODELS[name][1]
    x = rng.integers(0, 20, (3, 7)) if shape is None else rng.standard_normal(shape).astype("f4")
    three = name == "attention"
    with torch.no_grad(), nn.evaluating(ours):
        expected = flat(theirs.eval()(*[torch.from_numpy(x)] * (3 if three else 1)))
        found = flat(ours(*[dl.tensor(x)] * (3 if three else 1)))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_ours_loads_into_the_module_of_pytorch(name, tmp_path, rng):
    make = MODELS[name][0]
    ours, theirs = make(nn), make(torch.nn)
    stir({key: x.array for key, x in ours.state_dict().items()}, rng)
    save_safetensors(tmp_path / "w.safetensors", ours.state_dict())
    assert theirs.load_state_dict(stored.load_file(tmp_path / "w.safetensors"), strict=True) is not None
    same_outputs(name, ours, theirs, rng)


@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_pytorch_loads_into_our_module(name, tmp_path, rng):
    make = MODELS[name][0]
    ours, theirs = make(nn), make(torch.nn)
    stir({key: x.numpy() for key, x in theirs.state_dict().items()}, rng)
    stored.save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours.load_state_dict(load_safetensors(tmp_path / "w.safetensors"), strict=True)
    same_outputs(name, ours, theirs, rng)


@pytest.mark.parametrize("name", MODELS)
def test_names_order_shapes_and_dtypes_are_pytorchs(name):
    make = MODELS[name][0]
    ours, theirs = make(nn).state_dict(), make(torch.nn).state_dict()
    assert [(key, tuple(x.shape), x.dtype.name) for key, x in ours.items()] == [
        (key, tuple(x.shape), str(x.dtype).removeprefix("torch.")) for key, x in theirs.items()
    ]


def test_a_file_of_another_model_is_refused_on_both_sides(tmp_path):
    save_safetensors(tmp_path / "gru.safetensors", nn.GRU(8, 5).state_dict())
    with pytest.raises(RuntimeError, match="weight_ih_l0"):
        nn.LSTM(8, 5).load_state_dict(load_safetensors(tmp_path / "gru.safetensors"))
    with pytest.raises(RuntimeError, match="weight_ih_l0"):
        torch.nn.LSTM(8, 5).load_state_dict(stored.load_file(tmp_path / "gru.safetensors"))
