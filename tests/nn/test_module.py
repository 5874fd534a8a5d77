"""Module: names and their order, switches, conversions, copies; and what it says when it is used wrongly."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.tensor import Tensor


class Net(nn.Module):
    """A network with everything: a parameter and a buffer of its own, children, a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(dl.ones(3))
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
        self.register_buffer("centre", dl.zeros(3))
        self.register_buffer("scratch", dl.zeros(2), persistent=False)
        self.tail = nn.Linear(3, 4, bias=False)
        self.tail.weight = self.body[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.head(self.body((x - self.centre) * self.scale)))


NAMES = ["scale", "head.weight", "head.bias", "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"]


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def test_parameters_come_in_the_order_of_declaration_and_tied_ones_once() -> None:
    """This module's own first, then child by child, as PyTorch does it."""
    model = Net()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert len(list(model.parameters())) == len(NAMES)
    assert [n for n, _ in model.named_parameters(remove_duplicate=False)] == [*NAMES, "tail.weight"]
    assert [n for n, _ in model.named_parameters("net", recurse=False)] == ["net.scale"]
    assert [n for n, _ in model.named_buffers()] == [
        "centre", "scratch", "body.1.running_mean", "body.1.running_var", "body.1.num_batches_tracked",
    ]  # fmt: skip


def test_the_state_names_tied_parameters_twice_and_leaves_scratch_out() -> None:
    keys = list(Net().state_dict())
    assert keys == ["scale", "centre", "head.weight", "head.bias", "body.0.weight", "body.0.bias", "body.1.weight",
                    "body.1.bias", "body.1.running_mean", "body.1.running_var", "body.1.num_batches_tracked",
                    "tail.weight"]  # fmt: skip


def test_modules_and_children() -> None:
    model = Net()
    assert [name for name, _ in model.named_modules()] == ["", "head", "body", "body.0", "body.1", "body.2", "tail"]
    assert [name for name, _ in model.named_children()] == ["head", "body", "tail"]
    assert model.get_submodule("body.1") is model.body[1]
    with pytest.raises(AttributeError, match="nothing is called 'nose'"):
        model.get_submodule("body.nose")
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.ReLU(), shared)
    assert [name for name, _ in twice.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in twice.named_children()] == ["0", "1"]
    assert len(list(twice.parameters())) == 2


def test_order_does_not_depend_on_the_hash_seed() -> None:
    """T25: five processes with five hash seeds agree on names, order and the first weights."""
    program = (
        "import minidl as dl; from minidl import nn; dl.manual_seed(3);"
        "m = nn.ModuleDict({c: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for c in 'zebra'});"
        "print([(n, p.tolist()) for n, p in m.named_parameters()], list(m.state_dict()))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(5)
    ]  # fmt: skip
    assert len(set(said)) == 1
    assert said[0].index("z.0.weight") < said[0].index("e.0.weight") < said[0].index("a.0.weight")


# ── assigning ─────────────────────────────────────────────────────────────────────────────────────


def test_a_name_keeps_its_place_when_it_is_assigned_anew() -> None:
    model = Net()
    model.scale = nn.Parameter(dl.zeros(3))
    model.head = nn.Linear(4, 3)
    assert [name for name, _ in model.named_parameters()] == NAMES
    model.centre = dl.ones(3)
    assert model.centre.tolist() == [1, 1, 1]
    assert "centre" in model.state_dict()


def test_a_name_can_change_its_kind() -> None:
    model = Net()
    model.plain = None
    model.plain = nn.Parameter(dl.ones(2))
    assert "plain" in dict(model.named_parameters())
    model.plain = nn.Linear(1, 1)
    assert "plain.weight" in model.state_dict()
    assert "plain" not in model.state_dict()
    model.centre = nn.Parameter(dl.ones(3))
    assert "centre" in dict(model.named_parameters())
    assert "centre" not in dict(model.named_buffers())
    del model.plain
    assert not hasattr(model, "plain")


def test_a_parameter_can_be_switched_off() -> None:
    layer = nn.Linear(2, 3)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    assert layer(dl.ones(1, 2)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("scale", dl.ones(3), r"Net\.scale: expected a Parameter or None, got Tensor"),
        ("centre", 3.0, r"Net\.centre: expected a Tensor or None, got float"),
        ("head", 3.0, r"Net\.head: expected a Module or None, got float"),
    ],
)
def test_what_is_registered_does_not_become_something_else_unnoticed(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        setattr(Net(), name, value)


def test_registering_refuses_what_cannot_be() -> None:
    model = Net()
    with pytest.raises(KeyError, match=r"a name without a dot, got 'a\.b'"):
        model.register_buffer("a.b", dl.ones(1))
    with pytest.raises(KeyError, match="has an attribute 'forward' already"):
        model.register_parameter("forward", nn.Parameter(dl.ones(1)))
    with pytest.raises(TypeError, match="expected a Parameter or None, got Tensor"):
        model.register_parameter("fresh", dl.ones(1))
    with pytest.raises(TypeError, match="expected a Module or None, got int"):
        model.register_module("fresh", 3)


def test_forgetting_super_init_is_a_sentence() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    class Empty(nn.Module):
        def __init__(self) -> None:
            self.size = 3

    with pytest.raises(AttributeError, match=r"Forgetful: call super\(\).__init__\(\)"):
        Forgetful()
    with pytest.raises(AttributeError, match=r"Empty: call super\(\).__init__\(\)"):
        Empty()(dl.ones(1))


def test_a_missing_name_and_a_missing_forward_are_sentences() -> None:
    with pytest.raises(AttributeError, match="Net has no attribute 'nose'"):
        _ = Net().nose
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        nn.Module()(dl.ones(1))


# ── switches ──────────────────────────────────────────────────────────────────────────────────────


def test_train_and_eval_reach_everything_below() -> None:
    model = Net()
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())


def test_evaluating_gives_back_every_mode_even_when_an_exception_passes() -> None:
    """T33: what was frozen in evaluation mode stays so, what was training trains again."""
    model = Net()
    model.body[1].eval()
    with pytest.raises(ZeroDivisionError), nn.evaluating(model):  # noqa: PT012
        assert not model.training
        raise ZeroDivisionError
    assert model.training
    assert not model.body[1].training
    assert model.body[0].training


def test_evaluation_changes_no_later_training_step() -> None:
    """T24: layers hold no hidden state; a step after an evaluation equals the step without it."""
    x = dl.randn(5, 3, generator=dl.Generator(1))
    one, other = Net(), Net()
    other.load_state_dict(one.state_dict())
    with nn.evaluating(other), dl.no_grad():
        other(dl.randn(7, 3, generator=dl.Generator(2)))
    for model in (one, other):
        model(x).square().sum().backward()
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        assert np.array_equal(p.grad, q.grad), name
    for (name, a), b in zip(one.named_buffers(), other.buffers(), strict=True):
        assert np.array_equal(a, b), name


def test_frozen_parameters_get_no_gradient_and_the_others_do() -> None:
    """T39: the rest of the network trains on."""
    model = Net()
    model.body.requires_grad_(False)
    model(dl.ones(2, 3)).sum().backward()
    has = {name: p.grad is not None for name, p in model.named_parameters()}
    assert has == {name: not name.startswith("body") for name in NAMES}
    assert nn.utils.clip_grad_norm_(model.parameters(), 1.0).item() > 0


def test_zero_grad() -> None:
    model = Net()
    model(dl.ones(2, 3)).sum().backward()
    model.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.array.any() for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_apply_visits_children_first() -> None:
    seen: list[str] = []
    Net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "Linear", "BatchNorm1d", "ReLU", "Sequential", "Linear", "Net"]


# ── dtype, copies ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("convert", ["half", "float", "double"])
def test_converting_keeps_the_parameters_the_same_objects(convert: str) -> None:
    """An optimizer that holds them goes on working; gradients and floating buffers come along, counters do not."""
    model = Net()
    before = list(model.parameters())
    model(dl.ones(2, 3)).sum().backward()
    wanted = {"half": dl.float16, "float": dl.float32, "double": dl.float64}[convert]
    assert getattr(model, convert)() is model
    assert all(p is q for p, q in zip(before, model.parameters(), strict=True))
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {wanted}
    assert model.body[1].running_mean.dtype == wanted
    assert model.body[1].num_batches_tracked.dtype == dl.int64
    assert model.tail.weight is model.body[0].weight


def test_to_takes_a_dtype_a_device_or_a_tensor() -> None:
    model = nn.Linear(2, 2)
    assert model.to("cpu").weight.dtype == dl.float32
    assert model.to(dl.float64).weight.dtype == dl.float64
    assert model.to(dl.ones(1, dtype=dl.float16)).weight.dtype == dl.float16
    assert model.cpu().to(dtype=dl.float32, device="cpu").weight.dtype == dl.float32
    with pytest.raises(TypeError, match="expected a floating dtype, got int64"):
        model.to(dl.int64)


def test_a_graph_from_before_a_conversion_refuses_to_lie() -> None:
    """T5: the weight that was saved is not the weight any more."""
    layer = nn.Linear(2, 2)
    x = dl.ones(1, 2, requires_grad=True)
    y = layer(x).sum()
    layer.double()
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_equal_separate_and_still_tied(duplicate: Any) -> None:
    model = Net()
    model(dl.ones(2, 3))
    model.head.requires_grad_(False)
    model.body.eval()
    twin = duplicate(model)
    for (name, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert np.array_equal(a, b), name
        assert not np.shares_memory(a.array, b.array)
    assert twin.tail.weight is twin.body[0].weight
    assert isinstance(twin.scale, nn.Parameter)
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    assert [m.training for m in twin.modules()] == [m.training for m in model.modules()]
    assert list(twin.state_dict()) == list(model.state_dict())
    twin.scale.data.fill_(9)
    assert model.scale.tolist() == [1, 1, 1]


def test_a_parameter_shares_memory_and_prints_itself() -> None:
    x = dl.ones(2)
    p = nn.Parameter(x)
    assert np.shares_memory(x.array, p.array)
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert not nn.Parameter(x, requires_grad=False).requires_grad
    counts = pickle.loads(pickle.dumps(nn.Parameter(dl.tensor([1, 2]), requires_grad=False)))
    assert counts.tolist() == [1, 2]
    assert type(p + 1) is Tensor
    assert nn.Parameter(p * 2).is_leaf


def test_a_parameter_shares_the_version_of_its_memory() -> None:
    """T5: writing into the tensor it was made from is noticed."""
    x = dl.ones(2)
    y = nn.Parameter(x).square().sum()
    x.fill_(3)
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_printing_nests() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 3), nn.ReLU())

        def extra_repr(self) -> str:
            return "size=3"

    assert repr(Outer()) == (
        "Outer(\n  size=3\n  (inner): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=3, bias=True)\n    (1): ReLU()\n  )\n)"
    )
    assert {"inner", "forward", "training"} <= set(dir(Outer()))


def test_a_shallow_copy_has_tables_of_its_own_and_shares_the_parameters() -> None:
    m = nn.Sequential(nn.Linear(2, 3))
    c = copy.copy(m[0])
    assert c.weight is m[0].weight
    c.bias = None
    c.weight = nn.Parameter(dl.zeros(3, 2))
    assert m[0].bias is not None
    assert sorted(m[0].state_dict()) == ["bias", "weight"]
    assert c.weight is c._parameters["weight"] is not m[0].weight
    assert list(c.state_dict()) == ["weight"]


def test_what_is_pickled_without_mirrored_attributes_loads() -> None:
    m = nn.BatchNorm1d(3)
    state = {k: v for k, v in m.__dict__.items() if not any(k in table for table in m._tables())}
    loaded = nn.BatchNorm1d.__new__(nn.BatchNorm1d)
    loaded.__setstate__(state)
    assert loaded.weight is m.weight
    assert loaded.running_mean is m.running_mean
    loaded.running_mean = None
    assert m.running_mean is not None
