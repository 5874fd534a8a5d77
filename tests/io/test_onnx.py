"""What is exported to ONNX computes the same elsewhere: every layer, for batches of any size, in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as dl
from minidl import nn, ops
from minidl.io import export_onnx
from minidl.nn import functional as F

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class Calls(nn.Module):
    """Any function of tensors as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class Holds(nn.Module):
    """A layer and what to do with it."""

    def __init__(self, layer, function):
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, *args):
        return self.function(self.layer, *args)


def drawn(rng, shape, high=None):
    return rng.integers(0, high, shape) if high else rng.standard_normal(shape).astype("f4")


def flat(result):
    if result is None:
        return []
    return [result.numpy()] if isinstance(result, dl.Tensor) else [y for part in result for y in flat(part)]


def ours(model, arrays):
    with nn.evaluating(model), dl.no_grad():
        return flat(model(*[dl.tensor(x) for x in arrays]))


def theirs(path, arrays):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), arrays, strict=True)})


def settle(model, rng):
    """Weights and running statistics that no two channels share, so that none can stand in for another."""
    for parameter in model.parameters():
        parameter.array[...] += rng.normal(0, 0.1, parameter.shape)
    for name, buffer in model.named_buffers():
        if buffer.dtype.kind == "f" and "running" in name:
            buffer.array[...] = rng.uniform(0.5, 2.0, buffer.shape)
    return model


def agree(model, path, arrays):
    expected, found = ours(model, arrays), theirs(path, arrays)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


IMAGE, SIGNAL, ROW, TOKENS = (3, 4, 9, 8), (3, 4, 9), (3, 6), (3, 5, 6)
LAYERS = {
    "Linear": (lambda: nn.Linear(6, 5), ROW),
    "Linear of tokens": (lambda: nn.Linear(6, 5), TOKENS),
    "Linear without bias": (lambda: nn.Linear(6, 5, bias=False), ROW),
    "Identity": (lambda: nn.Identity(), ROW),
    "Flatten": (lambda: nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(84, 3)), IMAGE),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), ROW),
    "Dropout": (lambda: nn.Sequential(nn.Dropout(0.9), nn.Linear(6, 2)), ROW),
    "Dropout2d": (lambda: nn.Sequential(nn.Dropout2d(0.9), nn.ReLU()), IMAGE),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), SIGNAL),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3), IMAGE),
    "Conv2d with all": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), (1, 2), 2), IMAGE),
    "Conv2d same": (lambda: nn.Conv2d(4, 6, (4, 3), padding="same"), IMAGE),
    "Conv2d reflect": (lambda: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect"), IMAGE),
    "Conv2d replicate": (lambda: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="replicate"), IMAGE),
    "Conv2d circular": (lambda: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="circular"), IMAGE),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1), SIGNAL),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2), IMAGE),
    "ConvTranspose2d dilated": (lambda: nn.ConvTranspose2d(4, 2, 3, 1, 0, 2, dilation=3), IMAGE),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1), SIGNAL),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGE),
    "MaxPool2d with all": (lambda: nn.MaxPool2d((3, 2), 2, 1, (2, 1), ceil_mode=True), IMAGE),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1), SIGNAL),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), IMAGE),
    "AvgPool2d padded": (lambda: nn.AvgPool2d(3, 2, 1), IMAGE),
    "AvgPool2d hanging": (lambda: nn.AvgPool2d(3, (3, 3), 1, ceil_mode=True), IMAGE),
    "AvgPool2d uncounted": (lambda: nn.AvgPool2d(3, 3, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    "AvgPool2d divisor": (lambda: nn.AvgPool2d((3, 2), 3, 1, ceil_mode=True, divisor_override=5), IMAGE),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), SIGNAL),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "AdaptiveAvgPool2d of 1": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), ROW),
    "BatchNorm1d of signals": (lambda: nn.BatchNorm1d(4, eps=0.1), SIGNAL),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "BatchNorm2d without statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(6), TOKENS),
    "LayerNorm over two": (lambda: nn.LayerNorm((9, 8), eps=0.1), IMAGE),
    "LayerNorm without weights": (lambda: nn.LayerNorm(6, elementwise_affine=False), TOKENS),
    "RMSNorm": (lambda: nn.RMSNorm(6), TOKENS),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "ReLU": (lambda: nn.ReLU(), ROW),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), ROW),
    "ELU": (lambda: nn.ELU(0.7), ROW),
    "GELU": (lambda: nn.GELU(), ROW),
    "GELU tanh": (lambda: nn.GELU("tanh"), ROW),
    "SiLU": (lambda: nn.SiLU(), ROW),
    "Sigmoid": (lambda: nn.Sigmoid(), ROW),
    "Tanh": (lambda: nn.Tanh(), ROW),
    "Softplus": (lambda: nn.Softplus(2.0, 3.0), ROW),
    "LogSigmoid": (lambda: nn.LogSigmoid(), ROW),
    "Hardtanh": (lambda: nn.Hardtanh(-0.3, 0.6), ROW),
    "ReLU6": (lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU6()), ROW),
    "Softshrink": (lambda: nn.Softshrink(0.3), ROW),
    "Softmax": (lambda: nn.Softmax(1), TOKENS),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), TOKENS),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "Upsample to a size": (lambda: nn.Upsample(size=(5, 13)), IMAGE),
    "SinusoidalPositions": (lambda: nn.SinusoidalPositions(6, 20), TOKENS),
    "SinusoidalPositions2d": (lambda: nn.SinusoidalPositions2d(4, 20, 20), IMAGE),
    "LearnedPositions": (lambda: nn.LearnedPositions(20, 6), TOKENS),
    "RNN": (lambda: nn.RNN(6, 4, batch_first=True), TOKENS),
    "RNN relu": (lambda: nn.RNN(6, 4, 2, "relu", batch_first=True), TOKENS),
    "LSTM": (lambda: nn.LSTM(6, 4, batch_first=True), TOKENS),
    "LSTM deep, both ways": (lambda: nn.LSTM(6, 4, 2, batch_first=True, bidirectional=True, dropout=0.5), TOKENS),
    "GRU": (lambda: nn.GRU(6, 4, batch_first=True), TOKENS),
    "GRU, reset before": (lambda: nn.GRU(6, 4, batch_first=True, reset="before", z_keeps="new"), TOKENS),
    "GRU both ways": (lambda: nn.GRU(6, 4, bias=False, batch_first=True, bidirectional=True), TOKENS),
    "RNNCell": (lambda: nn.RNNCell(6, 4), ROW),
    "LSTMCell": (lambda: nn.LSTMCell(6, 4), ROW),
    "GRUCell": (lambda: nn.GRUCell(6, 4), ROW),
    "attention": (lambda: Holds(nn.MultiheadAttention(6, 2, batch_first=True), lambda a, x: a(x, x, x)), TOKENS),
    "attention, tiled": (
        lambda: Holds(nn.MultiheadAttention(6, 3, batch_first=True),
                      lambda a, x: a(x, x, x, need_weights=False, is_causal=True)), TOKENS),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), TOKENS),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True), 2),
        TOKENS),
}  # fmt: skip

ELSEWHERE = {
    "Embedding": "in test_onnx_models.py, as its input is whole numbers",
    "CosineSimilarity": "among the functions, as it takes two inputs",
    "PairwiseDistance": "among the functions, as it takes two inputs",
    "MultiheadAttention": "as attention, as it takes three inputs",
    "ArcFace": "nowhere: it takes the labels and serves training only",
    "CosFace": "nowhere: it takes the labels and serves training only",
}
"""Where layers are tested that are not among `LAYERS`."""

FUNCTIONS = {
    "arithmetic": (lambda x: (2 * x + 1) / (x * x + 3) - x**3 - -x, ROW),
    "powers": (lambda x: (x.abs() + 0.1).pow(0.3) + (x.abs() + 0.1) ** x + (x * x + 1).rsqrt(), ROW),
    "exponentials": (lambda x: x.exp() + (x.abs() + 1).log() + x.abs().log1p() + ops.expm1(x), ROW),
    "waves": (lambda x: x.sin() * x.cos() + ops.erf(x), ROW),
    "rounding": (lambda x: (4 * x).round() + x.floor() * 10 + x.ceil() * 100 + ops.trunc(3 * x) + x.sign(), ROW),
    "clamp": (lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2), ROW),
    "extremes of two": (lambda x: ops.maximum(x, 0.3) + ops.minimum(x, x * x), ROW),
    "where": (lambda x: ops.where((x > 0) & (x < 1) | (x == 2), x, -x) + ops.where(~(x >= 0), x, x <= 0.5), ROW),
    "questions": (lambda x: (x != 0, x > 1, ops.isnan(x), ops.logical_not(x)), ROW),
    "masked_fill": (lambda x: ops.masked_fill(x, x < 0, 7.0), ROW),
    "sums": (lambda x: (x.sum(1), x.mean((0, 2), keepdim=True) * 0 + x.mean((1, 2), keepdim=True), x.amax(1)), TOKENS),
    "reductions": (lambda x: (x.amin((1, 2)), x.logsumexp(1), x.norm(dim=2), x.prod(1), x.var(1), x.std(2)), TOKENS),
    "sum of all": (lambda x: x.sum(), TOKENS),
    "cumsum": (lambda x: x.cumsum(1), TOKENS),
    "matmul": (lambda x: x @ x.transpose(1, 2), TOKENS),
    "einsum": (lambda x: ops.einsum("bij,bkj->bik", x, x), TOKENS),
    "normalize": (lambda x: F.normalize(x), ROW),
    "distance": (lambda x: nn.PairwiseDistance()(x, x * x), ROW),
    "cosine": (lambda x: nn.CosineSimilarity()(x, x * x), ROW),
    "cat": (lambda x: ops.cat([x, 2 * x], 1), ROW),
    "cat of a batch": (lambda x: ops.cat([x, 2 * x]), ROW),
    "stack": (lambda x: ops.stack([x, -x], 1), ROW),
    "split": (lambda x: [a + b for a, b in zip(x.split([2, 2, 2], 1), x.chunk(3, 1), strict=True)], ROW),
    "unbind": (lambda x: x.unbind(1)[3] + 1, ROW),
    "indexing": (lambda x: (x[:, 0], x[:, -1, 2:], x[..., ::2], x[:, None, 1:-1], x[:, 4:0:-2], x[-1]), TOKENS),
    "index by array": (lambda x: x[:, :, np.array([5, 0, 0])] + ops.index_select(x, 2, np.array([1, 2, -1])), TOKENS),
    "the last examples": (lambda x: x[2:] + x[-3:-1].sum(0) + x[:1], (5, 6)),
    "cut behind the batch": (lambda x: x.split([len(x) - 2, 2])[1] + ops.narrow(x, 0, 1, len(x) - 1)[:1], ROW),
    "flip": (lambda x: x.flip((1, 2)), TOKENS),
    "roll": (lambda x: ops.roll(x, 2, 1), TOKENS),
    "pad": (lambda x: F.pad(x, (1, -2, 0, 3), value=0.5), TOKENS),
    "permute": (lambda x: x.permute(2, 0, 1).reshape(6, -1), TOKENS),
    "triangles": (lambda x: ops.tril(x, 1) + ops.triu(x, -1), TOKENS),
    "reshapes": (lambda x: x.reshape(-1, 3).unsqueeze(0).squeeze(0).reshape(len(x), 10, 3), TOKENS),
    "batch on two axes": (lambda x: (x @ x.transpose(0, 1)).reshape(len(x), 1, len(x)), ROW),
    "expand": (lambda x: x.unsqueeze(1).expand(-1, 4, -1), ROW),
    "tile": (lambda x: ops.tile(x, (1, 2)) + ops.repeat_interleave(x, 2, 1), ROW),
    "casts": (lambda x: (x.double() * 2).float() + (x > 0).float() + x.long().float(), ROW),
    "detached": (lambda x: x.detach() + x.data + x.clone(), ROW),
    "fused on purpose": (lambda x: F.scaled_dot_product_attention(x, x, x, np.tri(5, dtype=bool)), TOKENS),
    "mean of a batch, not folded": (lambda x: x - x.mean(0), ROW),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_the_same_in_onnxruntime_for_any_batch(name, tmp_path, rng):
    make, shape = LAYERS[name]
    model = settle(make(), rng)
    export_onnx(model, dl.tensor(drawn(rng, shape)), tmp_path / "m.onnx")
    for n in (shape[0], 1, 2, 6):
        agree(model, tmp_path / "m.onnx", [drawn(rng, (n, *shape[1:]))])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_compute_the_same_in_onnxruntime_for_any_batch(name, tmp_path, rng):
    function, shape = FUNCTIONS[name]
    model = Calls(function)
    export_onnx(model, dl.tensor(drawn(rng, shape)), tmp_path / "m.onnx")
    for n in (shape[0], 4, 6):
        agree(model, tmp_path / "m.onnx", [drawn(rng, (n, *shape[1:]))])


def test_every_layer_is_among_the_tested():
    containers = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList"}
    classes = {name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    tested = {name.split()[0].rstrip(",") for name in LAYERS} | {*ELSEWHERE}
    missing = {name for name in classes - containers - tested if not name.endswith("Loss")}
    assert not missing, "give each of these layers an example among LAYERS"
