"""autocast in bfloat16: float32 tensors, whose products take their factors in 8 bits of fraction, there and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import stand_in
from rooms import Room, bfloat16
from stand_in import device_of_its_own

import minidl as dl
import minidl.nn.functional as F
from minidl import amp, nn
from minidl.backend import to_device
from minidl.kernels.gpu import linalg
from minidl.kernels.gpu.bfloat16 import _ROUND
from minidl.kernels.precision import bfloat16_factors


@pytest.fixture
def stood_in(emulated: Room) -> Iterator[Room]:
    """The stand-in alone, which knows what has run and has the compute capability that one wants."""
    with device_of_its_own(emulated):
        yield emulated


def host(x: Any) -> Any:
    return to_device(x.array, "cpu")


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def test_numbers_are_rounded_to_the_nearest_and_a_tie_to_the_even_one(emulated: Room) -> None:
    half = 2.0**-8  # of a step between 1 and 2
    x = np.array([1, 1 + half, 1 + 3 * half, 1 + half + 2.0**-23, -1 - half, 65536.1, 1e-40, 0, -0.0], "f4")
    bits = np.zeros(x.size, "u2")
    with emulated.here():
        _ROUND((x.dtype,), (1,), (32,), x, bits, x.size)
    found = (bits.astype("u4") << 16).view("f4")
    np.testing.assert_array_equal(found, bfloat16(x))
    np.testing.assert_array_equal(found[:6], [1, 1, 1 + 4 * half, 1 + 2 * half, -1, 65536])


SHAPES = [
    ((3, 4), (4, 5)), ((1, 7), (7, 1)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)), ((3, 0), (0, 2)), ((0, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("turned", ["neither", "left", "right", "both", "every other"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products_are_those_of_rounded_factors(device: str, shapes: Any, turned: str) -> None:
    """However the matrices lie in memory: cuBLAS is told, and nothing is copied but the rounded factors."""
    arrays: list[Any] = []
    there: list[Any] = []
    cupy: Any = sys.modules["cupy"]
    for seed, (shape, side) in enumerate(zip(shapes, ("left", "right"), strict=True)):
        if turned in (side, "both"):
            stored = normal(seed, *shape[:-2], shape[-1], shape[-2])
            arrays.append(np.moveaxis(stored, -1, -2))
            there.append(cupy.moveaxis(cupy.asarray(stored), -1, -2))
        else:
            step = 2 if turned == "every other" else 1
            stored = normal(seed, *shape[:-1], step * shape[-1])
            arrays.append(stored[..., ::step])
            there.append(cupy.asarray(stored)[..., ::step])
    a, b = arrays
    with bfloat16_factors():
        y = linalg.matmul(*there).get()
    expected = bfloat16(a).astype("f8") @ bfloat16(b).astype("f8")
    assert (y.dtype, y.shape) == (np.dtype("f4"), expected.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-5)


def test_a_dense_layer_rounds_its_factors_on_the_way_back_too(device: str) -> None:
    """Also where `backward` is called outside of the block, as with float16; nothing but the factors is rounded."""
    x, w, g = normal(0, 6, 5), normal(1, 4, 5), normal(2, 6, 4)
    tensors = [dl.tensor(a, device="cuda", requires_grad=True) for a in (x, w)]
    with dl.autocast("cuda", dtype=dl.bfloat16):
        y = F.linear(*tensors)
    y.backward(dl.tensor(g, device="cuda"))
    rx, rw, rg = (bfloat16(a).astype("f8") for a in (x, w, g))
    for actual, wanted in zip((y, *[t.grad for t in tensors]), (rx @ rw.T, rg @ rw, rg.T @ rx), strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_allclose(host(actual), wanted, rtol=1e-5, atol=1e-5)
    with dl.autocast("cuda", dtype=dl.bfloat16), dl.autocast("cuda", enabled=False):
        np.testing.assert_allclose(host(F.linear(*tensors)), x @ w.T, rtol=1e-5, atol=1e-5)


def test_a_gpu_without_bfloat16_computes_in_float32(stood_in: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turing has tensor cores for float16 only."""
    monkeypatch.setattr(stand_in.Device, "compute_capability", "75")
    x, w = normal(0, 6, 5), normal(1, 4, 5)
    with dl.autocast("cuda", dtype=dl.bfloat16):
        y = F.linear(dl.tensor(x, device="cuda"), dl.tensor(w, device="cuda"))
    np.testing.assert_allclose(host(y), x @ w.T, rtol=1e-6, atol=1e-6)


NETWORKS = {
    "convolution": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 2, stride=2), nn.Flatten(), nn.Linear(45, 3)
    ),
    "fused": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
    "attention": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), nn.Flatten(),
        nn.Linear(64, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_and_its_gradients_are_float32_but_for_rounding(device: str, name: str) -> None:
    dl.manual_seed(0)
    model = NETWORKS[name]()
    x, labels = dl.randn(6, 1, 8, 8), dl.tensor([0, 1, 2, 0, 1, 2])
    F.cross_entropy(model(x), labels).backward()
    expected = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    model = model.to("cuda")
    with dl.autocast("cuda", dtype=dl.bfloat16):
        loss = F.cross_entropy(model(x.cuda()), labels.cuda())
    loss.backward()
    size = max(np.abs(g).max() for g in expected)
    error = 0.0
    for parameter, g in zip(model.parameters(), expected, strict=True):
        assert parameter.grad.dtype == np.float32
        error = max(error, float(np.abs(host(parameter.grad) - g).max() / size))
    assert 1e-5 < error < 3e-2


@pytest.mark.parametrize("name", ["convolution", "fused"])
def test_training_starts_the_kernels_that_round(stood_in: Room, name: str) -> None:
    """There and back, though `backward` is called outside: nothing falls back to float32 unnoticed."""
    model, x = NETWORKS[name]().to("cuda"), dl.randn(6, 1, 8, 8).cuda()
    before = stood_in.ran
    with dl.autocast("cuda", dtype=dl.bfloat16):
        y = model(x)
    y.sum().backward()
    started = {kernel for kernel, count in stood_in.ran.items() if count > before.get(kernel, 0)}
    assert started >= {f"{kernel}_tensor_cores<float, __nv_bfloat16>" for kernel in ("correlate", "weight_gradient")}
    assert "to_bfloat16<float>" in started
    assert not {kernel for kernel in started if kernel.startswith(("correlate<", "weight_gradient<"))}


def test_gradients_of_gradients_exist(device: str) -> None:
    x = dl.tensor(normal(0, 3, 3), device="cuda", requires_grad=True)
    with dl.autocast("cuda", dtype=dl.bfloat16):
        y = (x @ x).sum()
    (g,) = dl.autograd.grad([y], [x], create_graph=True)
    (gg,) = dl.autograd.grad([(g * g).sum()], [x])
    assert np.isfinite(host(gg)).all()


def test_no_scale_is_needed(device: str) -> None:
    """The gradient that float16 loses (see `test_mixed_precision`), and one that would be infinite in it."""
    for scale in (1e-6, 1e6):
        w = dl.tensor([[1e-3]], device="cuda", requires_grad=True)
        with dl.autocast("cuda", dtype=dl.bfloat16):
            loss = (dl.tensor([[1e-2]], device="cuda") @ w).sum() * scale
        scaler = amp.GradScaler(enabled=False)
        scaler.scale(loss).backward()
        assert float(host(w.grad)[0, 0]) == pytest.approx(1e-2 * scale, rel=2.0**-7)


def test_there_are_no_tensors_of_it_and_everybody_says_so() -> None:
    assert repr(dl.bfloat16) == "minidl.bfloat16"
    for call in (
        lambda: dl.ones(2).to(dl.bfloat16), lambda: dl.ones(2).to(dtype=dl.bfloat16),
        lambda: dl.zeros(2, dtype=dl.bfloat16), lambda: dl.tensor([1.0], dtype=dl.bfloat16),
        lambda: nn.Linear(1, 1).to(dtype=dl.bfloat16), lambda: dl.set_default_dtype(dl.bfloat16),
        lambda: dl.promote_types(dl.bfloat16, dl.float32),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"there are no tensors of bfloat16.*autocast"):
            call()
    with pytest.raises(ValueError, match="bfloat16 needs the tensor cores of a GPU; on the CPU use float16"):
        dl.autocast("cpu", dtype=dl.bfloat16)


def test_on_the_cpu_nothing_changes() -> None:
    """`autocast("cuda")` leaves tensors elsewhere alone."""
    x, w = dl.tensor(normal(0, 4, 5), requires_grad=True), dl.tensor(normal(1, 5, 3))
    plain = x @ w
    with dl.autocast("cuda", dtype=dl.bfloat16):
        y = x @ w
    np.testing.assert_array_equal(y.detach().numpy(), plain.detach().numpy())
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.ones((4, 3), "f4") @ w.numpy().T, rtol=1e-6)
