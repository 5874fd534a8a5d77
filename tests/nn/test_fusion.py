"""Sequential fuses convolution, ReLU and max pooling; nobody can tell but by the clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.autograd import record


def network() -> nn.Sequential:
    generator = dl.Generator(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, (3, 2), padding=(1, 0), generator=generator), nn.ReLU(), nn.MaxPool2d((2, 3)),
        nn.Conv2d(8, 4, 2, stride=(1, 2), bias=False, generator=generator), nn.ReLU(), nn.MaxPool2d(2, stride=1),
    )  # fmt: skip


def run(model: nn.Sequential, x: dl.Tensor) -> list[np.ndarray[Any, Any]]:
    """Output and all gradients."""
    x.grad = None
    model.zero_grad()
    y = model(x)
    (y * dl.arange(y.numel()).float().reshape(y.shape)).sum().backward()
    return [y.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in model.parameters()]]


def operations(model: nn.Sequential, x: dl.Tensor) -> list[str]:
    """The operations on the tape, from the output back."""
    found, node = [], model(x).creator
    while node is not None:
        found.append(node.name)
        node = next((edge[0] for edge in node.edges or () if isinstance(edge, tuple)), None)
    return found


def test_fused_and_unfused_agree_in_value_and_gradient() -> None:
    model, x = network(), dl.randn(4, 3, 14, 17, generator=dl.Generator(1), requires_grad=True)
    assert operations(model, x) == ["Conv2dReluMaxPool2d"] * 2
    fused = run(model, x)
    with dl.use_kernels("numpy"):
        assert "Conv2dReluMaxPool2d" not in operations(model, x)
        plain = run(model, x)
    for a, b in zip(fused, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_hook_on_one_of_the_three_sees_what_flows(position: int) -> None:
    model, x = network(), dl.randn(2, 3, 14, 17, requires_grad=True)
    seen = []
    handle = model[position].register_forward_hook(lambda module, args, output: seen.append(type(module).__name__))
    assert operations(model, x).count("Conv2dReluMaxPool2d") == 1
    assert seen == [type(model[position]).__name__]
    handle.remove()


def test_a_recorder_hears_every_operation() -> None:
    model, x = network(), dl.randn(2, 3, 14, 17)
    with record() as heard:
        model(x)
    assert heard.operations == ["Conv2d", "ReLU", "MaxPool2d"] * 2


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2)],
)
def test_other_poolings_are_left_alone(pool: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), pool)
    assert "Conv2dReluMaxPool2d" not in operations(model, dl.randn(2, 3, 14, 17, requires_grad=True))
