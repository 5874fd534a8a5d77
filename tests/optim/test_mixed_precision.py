"""autocast and GradScaler: products in few digits, parameters and gradients in float32, and no gradient lost."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl import amp, nn, optim
from minidl.ops.registry import REGISTRY

HALF, SINGLE, DOUBLE = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)


def test_every_name_in_the_lists_is_an_operation_and_none_is_in_both() -> None:
    assert REGISTRY.keys() >= amp.LOWER
    assert REGISTRY.keys() >= amp.FULL
    assert not amp.LOWER & amp.FULL


def test_inside_products_are_half_and_losses_are_single_outside_everything_is_single() -> None:
    x, w = dl.randn(4, 3), dl.randn(5, 3)
    with dl.autocast("cpu", dtype=dl.float16):
        y = F.linear(x, w)
        assert y.dtype == HALF
        assert (y * 2).dtype == HALF
        assert F.softmax(y, 1).dtype == SINGLE
        assert F.cross_entropy(y, dl.tensor([0, 1, 2, 3])).dtype == SINGLE
        with dl.autocast("cpu", enabled=False):
            assert F.linear(x, w).dtype == SINGLE
        assert dl.is_autocast_enabled("cpu")
        assert not dl.is_autocast_enabled("cuda")
    assert F.linear(x, w).dtype == SINGLE
    assert not dl.is_autocast_enabled("cpu")


def test_float64_and_tensors_on_another_device_are_left_alone() -> None:
    x = dl.randn(4, 3, dtype=dl.float64)
    with dl.autocast("cpu"):
        assert (x @ x.T).dtype == DOUBLE
    with dl.autocast("cuda"):
        assert (dl.randn(2, 2) @ dl.randn(2, 2)).dtype == SINGLE


def test_another_thread_computes_in_full_precision() -> None:
    seen: list[Any] = []
    with dl.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append((dl.ones(2, 2) @ dl.ones(2, 2)).dtype))
        thread.start()
        thread.join()
    assert seen == [SINGLE]


NETWORKS = {
    "convolution": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    ),
    "fused": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
    "attention": lambda: nn.Sequential(
        nn.Flatten(1, 2),
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
        nn.Flatten(),
        nn.Linear(64, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("inside", [False, True], ids=["backward outside", "backward inside"])
def test_gradients_are_float32_and_those_of_the_whole_network_in_float32_but_for_rounding(
    name: str, inside: bool
) -> None:
    dl.manual_seed(0)
    model = NETWORKS[name]()
    x, labels = dl.randn(6, 1, 8, 8), dl.tensor([0, 1, 2, 0, 1, 2])
    F.cross_entropy(model(x), labels).backward()
    expected = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    with dl.autocast("cpu"):
        loss = F.cross_entropy(model(x), labels)
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    size = max(np.abs(g).max() for g in expected)
    differs = False
    for parameter, g in zip(model.parameters(), expected, strict=True):
        assert parameter.grad.dtype == SINGLE
        np.testing.assert_allclose(parameter.grad.numpy(), g, rtol=2e-2, atol=1e-2 * size)
        differs = differs or not np.array_equal(parameter.grad.numpy(), g)
    assert differs, "nothing was computed in float16"


def test_without_a_scale_small_gradients_vanish_in_float16_and_with_it_they_do_not() -> None:
    w = dl.tensor([[1e-3]], requires_grad=True)
    x = dl.tensor([[1e-2]])
    optimizer = optim.SGD([w], lr=0.0)

    def gradient(scaler: amp.GradScaler) -> float:
        optimizer.zero_grad()
        with dl.autocast("cpu"):
            loss = (
                x @ w
            ).sum() * 1e-6  # the gradient of the product, 1e-6, is a float16 of two digits; of w, 1e-8, none
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        return float(w.grad.item())

    assert gradient(amp.GradScaler(enabled=False)) != pytest.approx(1e-8, rel=0.05)
    assert gradient(amp.GradScaler(init_scale=2.0**16)) == pytest.approx(1e-8, rel=5e-3)


def test_an_overflow_skips_the_step_and_halves_the_scale_and_calm_doubles_it() -> None:
    w = dl.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    scaler = amp.GradScaler(init_scale=8.0, growth_interval=2)
    scales = []
    for gradient in (1.0, np.inf, 1.0, 1.0, np.nan, 1.0):
        optimizer.zero_grad()
        scaler.scale(w.sum()).backward()
        w.grad.array[:] *= np.float32(gradient)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert scales == [8.0, 4.0, 4.0, 8.0, 4.0, 4.0]
    assert w.item() == 2.0 - 4 * 0.5, "four steps of −0.5, and none at infinity and nan"


def test_a_forgotten_update_is_said_before_gradients_65536_times_too_large_are_used() -> None:
    w = dl.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    scaler = amp.GradScaler()
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    optimizer.zero_grad()
    scaler.scale(w.sum()).backward()
    with pytest.raises(RuntimeError, match="call update once an iteration"):
        scaler.step(optimizer)
    assert w.item() == 1.5, "one step of −0.5"
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be a positive number"):
            scaler.update(scale)


def test_a_scaler_resumes_from_its_state() -> None:
    scaler, other = amp.GradScaler(init_scale=4.0, growth_interval=3), amp.GradScaler()
    scaler._steps_since = 2
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    with pytest.raises(ValueError, match="growth_factor missing"):
        other.load_state_dict({k: v for k, v in scaler.state_dict().items() if k != "growth_factor"})


def test_misuse_is_a_sentence() -> None:
    w = dl.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    scaler = amp.GradScaler()
    with pytest.raises(RuntimeError, match="call step"):
        scaler.update()
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already"):
        scaler.unscale_(optimizer)
    with pytest.raises(ValueError, match="'cuda' or 'cpu'"):
        dl.autocast("tpu")
    with pytest.raises(ValueError, match="must be float16 or bfloat16, got int8"):
        dl.autocast("cpu", dtype=np.int8)
    with pytest.raises(ValueError, match="bfloat16 needs the tensor cores of a GPU"):
        dl.autocast("cpu", dtype="bfloat16")
    with pytest.raises(ValueError, match="'half a float' is no dtype"):
        dl.autocast("cpu", dtype="half a float")
    for wrong in ({"init_scale": 0.0}, {"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"growth_interval": 0}):
        with pytest.raises(ValueError, match="GradScaler"):
            amp.GradScaler(**wrong)


@pytest.mark.oracle
def test_the_scaler_walks_through_the_scales_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = (dl.tensor([2.0], requires_grad=True), torch.tensor([2.0], requires_grad=True))
    steps = []
    for w, kind, package in ((ours, amp.GradScaler, optim), (theirs, torch.amp.GradScaler, torch.optim)):
        device = {} if package is optim else {"device": "cpu"}
        scaler, optimizer = kind(init_scale=16.0, growth_interval=2, **device), package.SGD([w], lr=0.25)
        seen = []
        for k in (1.0, 1.0, float("inf"), 1.0, 1.0, 1.0, 1.0):
            optimizer.zero_grad()
            scaler.scale(w.sum() * k).backward()
            scaler.step(optimizer)
            scaler.update()
            seen.append((scaler.get_scale(), float(w.item())))
        steps.append(seen)
    assert steps[0] == steps[1]
