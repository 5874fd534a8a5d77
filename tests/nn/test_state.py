"""Loading a state: all of it or nothing, and one message that lists everything that does not fit (T27)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.tensor import Tensor


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def _snapshot(model: nn.Module) -> dict[str, Any]:
    return {key: value.array.copy() for key, value in model.state_dict().items()}


def test_a_state_comes_back_whole() -> None:
    source, target = _model(), _model()
    source(dl.randn(6, 3))
    places = [p.array for p in target.parameters()]
    result = target.load_state_dict(source.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert result.missing_keys == result.unexpected_keys == []
    for key, value in _snapshot(source).items():
        assert np.array_equal(target.state_dict()[key], value), key
    assert all(p.array is place for p, place in zip(target.parameters(), places, strict=True))
    assert not np.shares_memory(target[0].weight.array, source[0].weight.array)


def test_the_state_shares_memory_and_is_off_the_tape() -> None:
    model = _model()
    state = model.state_dict(prefix="net.")
    assert next(iter(state)) == "net.0.weight"
    assert not any(value.requires_grad for value in state.values())
    assert np.shares_memory(state["net.0.weight"].array, model[0].weight.array)
    assert model.state_dict(keep_vars=True)["0.weight"] is model[0].weight


def test_a_failed_strict_load_lists_everything_and_changes_nothing() -> None:
    """T27: missing, unexpected, misshapen and of another dtype, in one message."""
    model = _model()
    state: dict[str, Any] = _snapshot(model)
    state["0.weight"] = state["0.weight"] + 1  # fits, and must not be loaded all the same
    del state["0.bias"]
    del state["1.num_batches_tracked"]
    state["3.weight"] = np.zeros((2, 5), "f4")
    state["2.weight"] = np.zeros((2, 3), "f4")
    state["2.bias"] = np.zeros(2, "f8")
    state["1.bias"] = "four numbers"
    before = _snapshot(model)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    lines = str(caught.value).splitlines()
    assert lines[0] == "load_state_dict: the state does not fit Sequential:"
    assert set(lines[1:-1] + lines[-1:]) >= {
        "  missing in the state: 0.bias (4,)",
        "  missing in the state: 1.num_batches_tracked ()",
        "  unexpected in the state: 3.weight (2, 5)",
        "  shape of 2.weight: the model has (2, 4), the state (2, 3)",
        "  dtype of 2.bias: the model has float32, the state float64",
    }
    assert any(line.startswith("  no numbers for 1.bias: ") for line in lines)
    assert len(lines) == 7
    for key, value in before.items():
        assert np.array_equal(model.state_dict()[key], value), key


def test_read_only_memory_is_found_before_anything_is_written() -> None:
    model, before = _model(), _snapshot(_model())
    fixed = np.zeros(2, "f4")
    fixed.flags.writeable = False
    model[2].bias.array = fixed
    kept = _snapshot(model)
    with pytest.raises(RuntimeError, match=r"memory of 2\.bias: the model holds a read-only array"):
        model.load_state_dict(before)
    assert all(np.array_equal(model.state_dict()[key], value) for key, value in kept.items())


def test_without_strict_the_rest_is_loaded_and_reported() -> None:
    model = _model()
    state: dict[str, Any] = {"0.weight": np.ones((4, 3), "f8"), "nose": np.ones(1)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == [key for key in model.state_dict() if key != "0.weight"]
    assert unexpected == ["nose"]
    assert model[0].weight.dtype == dl.float32
    assert model[0].weight.array.all()
    assert repr(model.load_state_dict(state, strict=False)).startswith("IncompatibleKeys(missing_keys=['0.bias'")


def test_without_strict_shapes_and_kinds_must_still_fit() -> None:
    model = _model()
    before = _snapshot(model)
    with pytest.raises(RuntimeError, match=r"shape of 0\.weight: the model has \(4, 3\), the state \(3, 4\)"):
        model.load_state_dict({"0.weight": np.ones((3, 4), "f4"), "0.bias": np.ones(4, "f4")}, strict=False)
    with pytest.raises(RuntimeError, match=r"dtype of 1\.num_batches_tracked: the model has int64, the state float32"):
        model.load_state_dict({"1.num_batches_tracked": np.float32(1.5)}, strict=False)
    assert all(np.array_equal(model.state_dict()[key], value) for key, value in before.items())


def test_one_number_does_not_spread_over_a_weight() -> None:
    """T27: broadcasting would accept it."""
    with pytest.raises(RuntimeError, match=r"shape of weight: the model has \(2, 2\), the state \(\)"):
        nn.Linear(2, 2, bias=False).load_state_dict({"weight": np.float32(0)})


def test_loading_invalidates_graphs_that_used_the_old_weights() -> None:
    """T5."""
    layer = nn.Linear(2, 2)
    y = layer(dl.ones(1, 2, requires_grad=True)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_a_model_takes_its_own_state_and_that_of_a_tied_model() -> None:
    model = _model()
    before = _snapshot(model)
    model.load_state_dict(model.state_dict())
    assert all(np.array_equal(model.state_dict()[key], value) for key, value in before.items())
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    other.load_state_dict(tied.state_dict())
    assert np.array_equal(other[0].weight, other[1].weight)


@pytest.mark.oracle
def test_a_state_may_hold_tensors_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": torch.ones(2, 2), "bias": Tensor(np.zeros(2, "f4"))})
    assert layer.weight.tolist() == [[1, 1], [1, 1]]
