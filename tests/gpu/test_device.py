"""Operations, layers, training and checkpoints on CUDA kernels: on the emulator always, on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case
from forms import OPERATIONS
from rooms import Room
from stand_in import device_of_its_own

import minidl as dl
from minidl import cuda, nn
from minidl.backend import to_device
from minidl.faces.generated import generated_faces
from minidl.faces.recognizer import FaceRecognizer
from minidl.io import checkpoint, load_safetensors, save_safetensors
from minidl.tensor import Tensor

DTYPES = ("float32", "float64")
DRAWS_ON_THE_DEVICE = {"dropout", "dropout1d", "dropout2d"}
"""Operations whose random numbers on a GPU are others than on the CPU."""


@pytest.fixture
def gpu(device: str, request: pytest.FixtureRequest) -> str:
    """A GPU: what a stand-in does not have."""
    if "stand-in" in request.node.callspec.id:
        pytest.skip("the memory pool and the speed are the GPU's own")
    return device


# ── the register ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_on_the_device_is_the_operation(device: str, name: str) -> None:
    """Value and gradients of the registry walk, every array on the GPU."""
    for dtype in DTYPES:
        arrays = [x.astype(dtype) for x in Case(OPERATIONS[name]).arrays]
        there = Case(OPERATIONS[name])
        there.arguments = {key: _moved(value, device) for key, value in there.arguments.items()}
        xs = [Tensor._wrap(to_device(x, device), True) for x in arrays]
        ys = there(*xs)
        assert name == "to_device" or all(y.device == dl.Device(device) for y in ys)
        if name.partition(",")[0] in DRAWS_ON_THE_DEVICE:
            continue
        expected = Case(OPERATIONS[name]).value_and_gradients(arrays)
        gys = [Tensor._wrap(to_device(g, device)) for g in there.cotangents(ys)]
        gxs = dl.autograd.grad(ys, xs, gys, allow_unused=True)
        values = [to_device(y.array, "cpu") for y in ys]
        gradients = [
            np.zeros_like(x) if g is None else to_device(g.array, "cpu") for x, g in zip(arrays, gxs, strict=True)
        ]
        _assert_same((values, gradients), expected, dtype)


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind != "f":
        return Tensor._wrap(to_device(value, device))
    return value.to(device) if isinstance(value, Tensor) else value


def _assert_same(found: Any, expected: Any, dtype: str) -> None:
    tolerance = {"float32": 3e-5, "float64": 1e-11}[dtype]
    for actual, wanted in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * scale)


def test_training_starts_the_kernels_of_the_room(emulated: Room) -> None:
    """None of what a step computes is left to array expressions unnoticed."""
    before = emulated.ran
    with device_of_its_own(emulated):
        x, y = (dl.tensor(a).to("cuda") for a in batch())
        trained(network().to("cuda"), x, y, steps=1)
    started = {name.partition("<")[0] for name, count in emulated.ran.items() if count > before.get(name, 0)}
    assert started >= {"correlate", "weight_gradient", "add_slices", "channel_sums", "relu_max_pool_gradient",
                       "layer_norm", "softmax_cross_entropy", "adam"}  # fmt: skip


# ── training ──────────────────────────────────────────────────────────────────────────────────────


def network() -> nn.Module:
    dl.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 4),
    )  # fmt: skip


def batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 1, 12, 9)).astype("f4"), rng.integers(0, 4, 6)


def trained(model: nn.Module, x: Tensor, y: Tensor, steps: int = 3) -> list[Any]:
    """The losses and then the parameters after some steps."""
    optimizer = dl.optim.AdamW(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return [np.array(losses), *[np.asarray(to_device(p.array, "cpu")) for p in model.parameters()]]


@pytest.fixture
def on_device(device: str) -> tuple[nn.Module, Tensor, Tensor]:
    x, y = batch()
    return network().to(device), dl.tensor(x).to(device), dl.tensor(y).to(device)


class TestDevice:
    """What needs a GPU."""

    def test_a_network_trains_as_on_the_cpu(self, on_device: Any) -> None:
        """Convolution, norms, pooling, loss and optimizer together."""
        x, y = (dl.tensor(a) for a in batch())
        for actual, wanted in zip(trained(*on_device), trained(network(), x, y), strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=2e-3)

    def test_two_runs_give_the_same_bits(self, device: str) -> None:
        """T32."""
        x, y = (dl.tensor(a).to(device) for a in batch())
        first, second = (trained(network().to(device), x, y) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_repeated_rows_are_added_in_order(self, device: str) -> None:
        """T29, T32."""
        rng = np.random.default_rng(0)
        index, rows = rng.integers(0, 7, 5000), rng.standard_normal((5000, 3)).astype("f4")
        found = []
        for _ in range(3):
            table = dl.zeros(7, 3).to(device).requires_grad_()
            (table[dl.tensor(index).to(device)] * dl.tensor(rows).to(device)).sum().backward()
            assert table.grad is not None
            found.append(to_device(table.grad.array, "cpu"))
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])

    def test_float16_is_added_up_in_float32(self, device: str) -> None:
        """70,000 ones are 65,504 at most in float16, and the mean of squares would be infinite."""
        x = dl.tensor(np.full((1, 70_000), 0.25, "f2")).to(device)
        w = dl.tensor(np.ones((70_000, 2), "f2")).to(device)
        np.testing.assert_array_equal(to_device((x @ w).array, "cpu"), np.full((1, 2), 17_500, "f2"))

    def test_a_checkpoint_comes_back_on_the_device(self, device: str, tmp_path: Path) -> None:
        model, other = network().to(device), network()
        save_safetensors(tmp_path / "model.safetensors", model.state_dict())
        other.load_state_dict(load_safetensors(tmp_path / "model.safetensors"))
        for a, b in zip(model.parameters(), other.to(device).parameters(), strict=True):
            assert b.device == dl.Device(device)
            np.testing.assert_array_equal(to_device(a.array, "cpu"), to_device(b.array, "cpu"))

    def test_a_face_recognizer_learns(self, gpu: str) -> None:
        """The network of `minidl faces` tells three made-up people apart."""
        people = generated_faces(3, 6, (56, 46))
        recognizer = FaceRecognizer("cnn", image_size=(56, 46), device=gpu)
        recognizer.fit(people.images, people.labels, epochs=60, progress=False)
        assert recognizer.device == dl.Device(gpu)
        assert (np.asarray(recognizer.predict(people.images)) == people.labels).mean() > 0.9

    def test_a_face_recognizer_is_saved_on_the_device_and_comes_back(self, device: str, tmp_path: Path) -> None:
        """On the stand-in too: one epoch through images, augmentation, training, calibration and file."""
        people = generated_faces(3, 2, (40, 32))
        recognizer = FaceRecognizer("rnn", image_size=(40, 32), device=device)
        recognizer.fit(people.images, people.labels, epochs=1, progress=False)
        recognizer.save(tmp_path / "model.minidl")
        back = FaceRecognizer.load(tmp_path / "model.minidl", device=device)
        assert back.device == recognizer.device == dl.Device(device)
        on_cpu = FaceRecognizer.load(tmp_path / "model.minidl", device="cpu")
        features = [r.represent(people.images) for r in (recognizer, back, on_cpu)]
        np.testing.assert_array_equal(features[0], features[1])
        np.testing.assert_allclose(features[0], features[2], rtol=0, atol=1e-4)

    def test_memory_comes_and_goes(self, gpu: str) -> None:
        cuda.empty_cache()
        before = cuda.memory_allocated()
        x = dl.zeros(1 << 20).to(gpu)
        assert cuda.memory_allocated() - before >= 4 << 20
        assert cuda.memory_reserved() >= cuda.memory_allocated()
        del x
        assert cuda.memory_allocated() == before


# ── everything that works on the CPU ──────────────────────────────────────────────────────────────


def numbers(*shape: int) -> Tensor:
    return dl.tensor(np.random.default_rng(0).standard_normal(shape).astype("f4"))


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor]]] = {
    "RNN": (lambda: nn.RNN(8, 5, num_layers=2, bidirectional=True), lambda m, x: m(x)[0]),
    "LSTM": (lambda: nn.LSTM(8, 5, num_layers=2, bidirectional=True), lambda m, x: m(x)[0]),
    "GRU": (lambda: nn.GRU(8, 5, num_layers=2, bidirectional=True), lambda m, x: m(x)[0]),
    "attention": (lambda: nn.MultiheadAttention(8, 2), lambda m, x: m(x, x, x)[0]),
    "transformer": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), 2), lambda m, x: m(x)
    ),
    "group norm": (lambda: nn.GroupNorm(2, 6), lambda m, x: m(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_layer_on_the_device_is_the_layer(device: str, name: str) -> None:
    found = []
    for where in ("cpu", device):
        dl.manual_seed(1)
        make, run = LAYERS[name]
        layer = make().to(where)
        y = run(layer, numbers(4, 6, 8).to(where))
        (y * numbers(*y.shape).to(where)).sum().backward()
        gradients = [p.grad for p in layer.parameters()]
        assert all(g is not None and g.device == dl.Device(where) for g in gradients)
        found.append([to_device(t.array, "cpu") for t in (y, *gradients) if t is not None])
    for actual, wanted in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam"])
def test_an_optimizer_on_the_device_is_the_optimizer(device: str, name: str, tmp_path: Path) -> None:
    """T26: also after a checkpoint."""
    found = []
    for where in ("cpu", device):
        dl.manual_seed(1)
        layer = nn.Linear(3, 2).to(where)
        optimizer = getattr(dl.optim, name)(layer.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            (layer(numbers(4, 3).to(where)) ** 2).sum().backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
            if step == 1:
                checkpoint.save(tmp_path / where, model=layer, optimizer=optimizer)
                checkpoint.load(tmp_path / where, model=layer, optimizer=optimizer)
        found.append([to_device(p.array, "cpu") for p in layer.parameters()])
        assert layer.weight.device == dl.Device(where)
    for actual, wanted in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-5)


def test_mixed_precision_trains_on_the_device(device: str) -> None:
    x, y = (dl.tensor(a).to(device) for a in batch())
    model, scaler = network().to(device), dl.amp.GradScaler()
    optimizer = dl.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        with dl.autocast("cuda"):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


def test_tensors_are_made_printed_and_read_on_the_device(device: str) -> None:
    for make in (dl.zeros, dl.ones, dl.rand, dl.randn):
        assert make(2, 3, device=device).device == dl.Device(device)
    x = dl.tensor([1.0, 2.0], device=device)
    assert repr(x) == "tensor([1., 2.], device='cuda:0')"
    assert (float(x.sum()), x.tolist()) == (3.0, [1.0, 2.0])
    np.testing.assert_array_equal(x.cpu().numpy(), [1.0, 2.0])


def test_dropout_draws_on_the_device_and_is_the_same_for_a_seed(device: str) -> None:
    x = dl.ones(500).to(device)
    first, second, third = (
        to_device(nn.functional.dropout(x, 0.5, generator=dl.Generator(seed)).array, "cpu") for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()
    assert {*np.unique(first)} == {0.0, 2.0}
