"""Containers: order, names, indices, slices; parameters of what they hold belong to whoever holds them."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import minidl as dl
from minidl import nn


def _three() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def test_sequential_applies_its_modules_in_turn() -> None:
    model, x = _three(), dl.randn(4, 2)
    assert model(x).equal(model[2](model[1](model[0](x))))
    assert len(model) == 3
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Linear"]
    assert model[-1] is model[2]
    assert nn.Sequential()(x) is x


def test_sequential_takes_names() -> None:
    model = nn.Sequential(OrderedDict([("first", nn.Linear(2, 3)), ("act", nn.ReLU())]))
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.first is model[0]
    assert model(dl.ones(1, 2)).shape == (1, 3)


def test_slices_share_the_modules_and_keep_their_names() -> None:
    model = _three()
    part = model[1:]
    assert type(part) is nn.Sequential
    assert part[1] is model[2]
    assert list(part.state_dict()) == ["2.weight", "2.bias"]
    part.append(nn.ReLU())
    assert [name for name, _ in part.named_children()] == ["1", "2", "3"]


def test_appending_never_replaces_a_module_whose_name_is_taken() -> None:
    part = _three()[1:]
    part.append(nn.Tanh()).append(nn.Sigmoid())
    assert [type(m).__name__ for m in part] == ["ReLU", "Linear", "Tanh", "Sigmoid"]


def test_changing_a_sequential() -> None:
    model = _three()
    model[1] = nn.Tanh()
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert isinstance(model[1], nn.Tanh)
    model.insert(1, nn.Identity()).extend([nn.ReLU()])
    assert [type(m).__name__ for m in model] == ["Linear", "Identity", "Tanh", "Linear", "ReLU"]
    del model[1:3]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    last = model.pop()
    assert isinstance(last, nn.ReLU)
    assert len(model) == 2


def test_indices_and_kinds_that_do_not_exist_are_sentences() -> None:
    with pytest.raises(IndexError, match="Sequential: index 3 of 3"):
        _three()[3]
    with pytest.raises(TypeError, match=r"Sequential\.1: expected a Module or None, got function"):
        nn.Sequential(nn.ReLU(), dl.relu)  # type: ignore[arg-type]


def test_module_list() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)])
    layers.append(nn.Linear(2, 1)).insert(0, nn.ReLU())
    assert list(layers.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert isinstance(layers[1:], nn.ModuleList)
    joined = layers + nn.ModuleList([nn.Tanh()])
    assert [type(m).__name__ for m in joined] == ["ReLU", "Linear", "Linear", "Tanh"]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        layers(dl.ones(1, 2))


def test_module_dict() -> None:
    heads = nn.ModuleDict({"b": nn.Linear(2, 1), "a": nn.ReLU()})
    heads["c"] = nn.Linear(1, 1)
    assert list(heads) == list(heads.keys()) == ["b", "a", "c"]
    assert "a" in heads
    assert len(heads) == 3
    removed = heads.pop("b")
    assert isinstance(removed, nn.Linear)
    heads.update([("a", nn.Tanh())])
    assert [(name, type(m).__name__) for name, m in heads.items()] == [("a", "Tanh"), ("c", "Linear")]
    assert [type(m).__name__ for m in heads.values()] == ["Tanh", "Linear"]


def test_parameter_list() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.ParameterList([dl.ones(2), nn.Parameter(dl.zeros(3))])

    model = Net()
    assert [name for name, _ in model.named_parameters()] == ["factors.0", "factors.1"]
    model.factors.append(dl.ones(1))
    model.factors[0] = nn.Parameter(dl.zeros(2))
    assert [tuple(p.shape) for p in model.factors] == [(2,), (3,), (1,)]
    assert model.factors[-1].requires_grad
    assert "(1): Parameter of shape (3,), float32" in repr(model)


@pytest.mark.oracle
def test_lists_and_dictionaries_print_and_save_as_in_torch() -> None:
    torch = pytest.importorskip("torch")

    def made(nn):  # type: ignore[no-untyped-def]
        return nn.Sequential(
            nn.ModuleDict({"a": nn.ReLU(), "b": nn.ModuleList([nn.Linear(1, 2), nn.Linear(2, 1)])}),
            nn.Sequential(),
            nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh()), nn.Sequential(nn.Tanh()), nn.ReLU()]),
            nn.ParameterList([nn.Linear(1, 1).weight]),
        )

    ours, theirs = made(nn), made(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours[:3]) == repr(theirs[:3])
