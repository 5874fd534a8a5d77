"""Hooks: what they see, what they may change, that they can be taken away; against PyTorch where it has them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.tensor import Tensor


class Two(nn.Module):
    """Two inputs, two outputs, and a switch by keyword."""

    def forward(self, a: Tensor, b: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        return a * b * scale, a + b


def test_forward_hooks_see_and_replace() -> None:
    layer = nn.ReLU()
    seen: list[Any] = []
    before = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].tolist()))
    layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
    after = layer.register_forward_hook(lambda module, args, output: output * 10)
    assert layer(dl.tensor([-3.0, 2.0])).tolist() == [0, 30]
    assert seen == [[-3, 2]]
    before.remove()
    before.remove()
    after.remove()
    assert layer(dl.tensor([-3.0, 2.0])).tolist() == [0, 3]
    assert len(seen) == 1


def test_hooks_run_in_order_and_prepended_ones_first() -> None:
    layer, order = nn.Identity(), []
    layer.register_forward_hook(lambda *_: order.append("first"))
    layer.register_forward_hook(lambda *_: order.append("second"))
    with layer.register_forward_hook(lambda *_: order.append("zeroth"), prepend=True):
        layer(dl.ones(1))
    layer(dl.ones(1))
    assert order == ["zeroth", "first", "second", "first", "second"]


def test_hooks_can_take_keyword_arguments() -> None:
    layer, seen = Two(), []
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"scale": 3.0}), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, kwargs, output: seen.append(kwargs), with_kwargs=True)
    product, _ = layer(dl.ones(1), dl.ones(1), scale=2.0)
    assert product.item() == 3
    assert seen == [{"scale": 3.0}]


def test_a_module_with_hooks_computes_the_same_gradients() -> None:
    x = dl.randn(4, 3, generator=dl.Generator(0))
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    model(x).square().sum().backward()
    plain = [p.grad.array.copy() for p in model.parameters()]
    model.zero_grad()
    for module in model.modules():
        module.register_full_backward_hook(lambda *_: None)
        module.register_forward_hook(lambda *_: None)
    model(x).square().sum().backward()
    for g, p in zip(plain, model.parameters(), strict=True):
        np.testing.assert_array_equal(g, p.grad)


def _told(library: Any, tensor: Any, case: str) -> list[Any]:
    """What the backward hooks of one library are told, as plain lists."""
    told: list[Any] = []

    def plain(grads: Any) -> list[Any]:
        # PyTorch says zeros where an input wants no gradient or an output was not used, and None here and there
        return [[0.0, 0.0] if g is None else np.asarray(g.detach()).tolist() for g in grads]

    class Part(library.Module):  # type: ignore[misc, name-defined]
        def forward(self, a: Any, b: Any) -> Any:
            return a * b, a + b

    part = Part()
    part.register_full_backward_pre_hook(lambda m, gy: told.append(("before", plain(gy))))
    part.register_full_backward_hook(lambda m, gx, gy: told.append(("after", plain(gx), plain(gy))))
    a = tensor([1.0, 2.0], requires_grad=case != "constants")
    b = tensor([3.0, 5.0], requires_grad=case == "both")
    weight = tensor([1.0, 10.0], requires_grad=True)
    if case == "constants":
        part.forward = lambda a, b: (a * weight, b * weight)
    product, total = part(a, b)
    (product.sum() if case == "one output" else (product * total).sum()).backward()
    return [*told, None if a.grad is None else np.asarray(a.grad).tolist()]


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("case", ["both", "one input", "one output", "constants"])
def test_backward_hooks_are_told_what_torch_tells_them(case: str) -> None:
    torch = pytest.importorskip("torch")
    assert _told(nn, dl.tensor, case) == _told(torch.nn, torch.tensor, case)


def test_a_backward_hook_can_replace_the_gradients() -> None:
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda m, grad_input, grad_output: (grad_input[0] * 2,))
    layer.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] + 1,))
    x = dl.ones(2, requires_grad=True)
    layer(x * 3).sum().backward()
    assert x.grad.tolist() == [12, 12]
    layer.register_full_backward_hook(lambda m, grad_input, grad_output: (None, None))
    with pytest.raises(RuntimeError, match="the hook returned 2 gradients, there are 1"):
        layer(x).sum().backward()


def test_backward_hooks_work_for_second_derivatives() -> None:
    """T23: what the hooks pass on stays on the tape."""
    layer, seen = nn.Tanh(), []
    layer.register_full_backward_hook(lambda m, gx, gy: seen.append(gx[0].requires_grad))
    x = dl.tensor([0.5], dtype=dl.float64, requires_grad=True)
    (first,) = dl.autograd.grad(layer(x).sum(), x, create_graph=True)
    (second,) = dl.autograd.grad(first.sum(), x)
    t = np.tanh(0.5)
    np.testing.assert_allclose(second, [-2 * t * (1 - t * t)], rtol=1e-12)
    assert seen[0] is True


def test_without_gradients_backward_hooks_cost_nothing_and_integers_pass() -> None:
    table = nn.Embedding(3, 2)
    told: list[Any] = []
    table.register_full_backward_hook(lambda m, gx, gy: told.append((gx, gy[0].shape)))
    with dl.no_grad():
        assert not table(dl.tensor([0, 2])).requires_grad
    table(dl.tensor([0, 2])).sum().backward()
    assert told == [((None,), (2, 2))]


def test_a_changed_input_is_noticed_behind_a_hook() -> None:
    """T5: the passage shares memory, so it shares the version too."""
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda *_: None)
    x = dl.ones(1, 2, requires_grad=True)
    y = layer(x)
    with dl.no_grad():
        x.fill_(5)
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.sum().backward()


def test_hooked_modules_must_return_tensors() -> None:
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda *_: None)
    with pytest.raises(TypeError, match="must return a tensor or a tuple of tensors, this one returned dict"):
        layer({"x": dl.ones(1)})


def test_hooks_leave_no_cycles() -> None:
    """T19: with the collector off, a graph through hooked modules dies with its output."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    for module in model.modules():
        module.register_full_backward_hook(lambda *_: None)
    gc.collect()
    gc.disable()
    try:
        y = model(dl.ones(1, 2, requires_grad=True))
        node = weakref.ref(y.creator)
        del y
        assert node() is None
    finally:
        gc.enable()
