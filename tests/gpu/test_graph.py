"""Captured training steps: bit for bit the steps without a graph, on a GPU and on the stand-in.

While the stand-in captures, it computes nothing; its runs repeat what was written down, with the numbers that Python
had then. So what the host counts stands still in it, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import cuda, nn
from minidl.backend import to_device
from minidl.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop
from minidl.optim.lr_scheduler import CosineAnnealingLR
from minidl.tensor import Tensor

F = nn.functional
STEPS = 6


def host(x: Any) -> Any:
    return to_device(x.array, "cpu").copy()


def network(device: str) -> nn.Module:
    dl.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 4),
    ).to(device)  # fmt: skip


def batches(device: str) -> list[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(0)
    return [
        (dl.tensor(rng.standard_normal((5, 1, 7, 10)).astype("f4")).to(device),
         dl.tensor(rng.integers(0, 4, 5)).to(device))
        for _ in range(STEPS)
    ]  # fmt: skip


OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda p: SGD(p, lr=0.05),
    "momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, dampening=0.5, weight_decay=0.01),
    "Nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, maximize=True),
    "Adam": lambda p: Adam(p, lr=0.05, weight_decay=0.01),
    "AdamW": lambda p: AdamW(p, lr=0.05),
    "amsgrad": lambda p: Adam(p, lr=0.05, amsgrad=True),
    "NAdam": lambda p: NAdam(p, lr=0.05),
    "RMSprop": lambda p: RMSprop(p, lr=0.01),
}
OUTSIDE = {"NAdam", "RMSprop"}


def trained(device: str, make: Callable[[Any], Optimizer], captured: bool, lower: Any = None) -> list[Any]:
    """Losses, parameters, running averages and state after some steps with a schedule."""
    model = network(device)
    groups = [*model.parameters()]
    optimizer = make([{"params": groups[:2]}, {"params": groups[2:], "lr": 0.02}])
    schedule = CosineAnnealingLR(optimizer, T_max=STEPS)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        with dl.autocast("cuda", dtype=lower or dl.float16, enabled=lower is not None):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    run: Any = cuda.graph(step, optimizer, warm_up=2) if captured else None
    found = []
    for x, y in batches(device):
        if captured:
            loss = run(x, y)
        else:
            optimizer.zero_grad()
            loss = step(x, y)
            optimizer.step()
        found.append(host(loss))
        schedule.step()
    if captured:
        kind = type(optimizer).__name__
        assert run._graph is not None
        assert bool(run._updates) == (kind not in OUTSIDE), "the update is in the graph"
    state = [value for s in optimizer.state.values() for value in s.values()]
    arrays = [s.get() if hasattr(s, "get") else s for s in state]
    return [*found, *[host(t) for t in model.state_dict().values()], *arrays]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_captured_training_step_is_the_step_bit_for_bit(device: str, name: str) -> None:
    """Rates of a schedule, counts, momentum's first step, running averages: none stands still, none moves twice."""
    plain, captured = (trained(device, OPTIMIZERS[name], c) for c in (False, True))
    for i, (a, b) in enumerate(zip(plain, captured, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"figure {i}")
    assert len({float(loss) for loss in captured[:STEPS]}) == STEPS


def test_products_in_bfloat16_are_captured(device: str) -> None:
    plain, captured = (trained(device, OPTIMIZERS["AdamW"], c, dl.bfloat16) for c in (False, True))
    for a, b in zip(plain, captured, strict=True):
        np.testing.assert_array_equal(a, b)


def line(device: str) -> tuple[Tensor, Tensor]:
    return dl.tensor([1.0, -2.0], device=device, requires_grad=True), dl.tensor([3.0, 4.0], device=device)


def squares(w: Tensor) -> Callable[[Tensor], Tensor]:
    def step(x: Tensor) -> Tensor:
        loss = ((w * x) ** 2).sum()
        loss.backward()
        return loss

    return step


def test_an_option_that_is_changed_by_hand_holds_in_the_next_run(device: str) -> None:
    w, x = line(device)
    optimizer = SGD([w], lr=0.0)
    train = cuda.graph(squares(w), optimizer, warm_up=1)
    for _ in range(3):
        train(x)
    np.testing.assert_array_equal(host(w), [1, -2])
    optimizer.param_groups[0]["lr"] = 0.25
    train(x)
    np.testing.assert_array_equal(host(w), [1 - 0.25 * 2 * 9, -2 + 0.25 * 4 * 16])


def test_a_state_that_was_loaded_is_noticed(device: str) -> None:
    """T26: the graph would go on changing arrays that nobody looks at any more."""
    w, x = line(device)
    optimizer = Adam([w], lr=0.1)
    train = cuda.graph(squares(w), optimizer, warm_up=1)
    for _ in range(2):
        train(x)
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match=r"changes other arrays than when the step was captured.*make a new graph"):
        train(x)


class Clipped(SGD):
    """Somebody's own rule: array expressions, whose numbers would stand still."""

    def rule(self, p: Any, g: Any, arrays: Any, group: Any, numbers: Any) -> None:
        p -= group["lr"] * g.clip(-1, 1)


class Counted(SGD):
    """Somebody's own step."""

    count = 0

    def step(self, closure: Any = None) -> Any:
        self.count += 1
        return super().step(closure)


@pytest.mark.parametrize("kind", [Clipped, Counted])
def test_rules_and_steps_of_ones_own_stay_outside(device: str, kind: Any) -> None:
    found = []
    for captured in (False, True):
        w, x = line(device)
        optimizer = kind([w], lr=0.01)
        step = squares(w)
        run: Any = cuda.graph(step, optimizer, warm_up=1) if captured else None
        for i in range(4):
            optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
            if captured:
                run(x)
            else:
                optimizer.zero_grad()
                step(x)
                optimizer.step()
        found.append(host(w))
        assert kind is Clipped or optimizer.count == 4
    np.testing.assert_array_equal(*found)


def test_half_parameters_are_stepped_outside(device: str) -> None:
    w = dl.tensor(np.array([1.0, -2.0], "f2"), device=device, requires_grad=True)
    train = cuda.graph(squares(w), SGD([w], lr=0.125), warm_up=1)
    for _ in range(3):
        train(dl.tensor(np.ones(2, "f2"), device=device))
    np.testing.assert_array_equal(host(w), np.array([1, -2], "f2") * np.float16(0.75) ** 3)


def test_a_parameter_without_a_gradient_stays_as_it_is(device: str) -> None:
    (w, x), other = line(device), dl.ones(3, device=device).requires_grad_()
    train = cuda.graph(squares(w), Adam([other, w], lr=0.1), warm_up=1)
    for _ in range(3):
        train(x)
    np.testing.assert_array_equal(host(other), [1, 1, 1])


def test_a_captured_dropout_draws_anew(device: str) -> None:
    """T38."""
    x = dl.ones(1000).to(device)
    run = cuda.graph(lambda x: F.dropout(x, 0.5) + 0, warm_up=1)
    run(x)
    first, second = (host(run(x)) for _ in range(2))
    assert (first != second).any()


def test_what_would_stand_still_is_refused(device: str) -> None:
    w, x = line(device)
    optimizer, scaler = SGD([w], lr=0.1), dl.amp.GradScaler(init_scale=2.0)

    def stepping(x: Tensor) -> None:
        squares(w)(x)
        optimizer.step()

    def scaling(x: Tensor) -> None:
        w.grad = None
        scaler.scale((w * x).sum()).backward()

    def reading(x: Tensor) -> Tensor:
        return x * float(x.sum())

    for step, sentence in (
        (stepping, "the rate of SGD would stand still in a captured graph; leave optimizer.step"),
        (scaling, "the scale of GradScaler would stand still.*give the scale to the function as a tensor"),
        (reading, "reads a result on the host"),
    ):
        run = cuda.graph(step, warm_up=1)
        run(x)
        with pytest.raises(RuntimeError, match=sentence):
            run(x)


def test_a_scale_that_is_an_input_is_captured(device: str) -> None:
    """How float16 is trained in a graph: the scaler steps outside, and its scale is a tensor."""
    found = []
    for captured in (False, True):
        model = network(device)
        optimizer, scaler = SGD(model.parameters(), lr=0.05), dl.amp.GradScaler(init_scale=2.0**10, growth_interval=2)

        def step(images: Tensor, labels: Tensor, scale: Tensor, model: nn.Module = model) -> Tensor:
            model.zero_grad()
            with dl.autocast("cuda"):
                loss = F.cross_entropy(model(images), labels)
            (loss * scale).backward()
            return loss

        run: Any = cuda.graph(step, warm_up=2) if captured else step
        for x, y in batches(device):
            run(x, y, dl.tensor(np.float32(scaler.get_scale())).to(device))
            scaler.step(optimizer)
            scaler.update()
        found.append([host(p) for p in model.parameters()])
        assert scaler.get_scale() == 2.0**13
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
