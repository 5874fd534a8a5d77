"""Reshapes that nobody wrote are no steps; everything else stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import traces

import minidl as dl
from minidl import player
from minidl.player.snapshot import array_of
from minidl.player.steps import steps_of
from minidl.player.tidy import tidied


def _products() -> player.Trace:
    W = dl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    h = dl.tensor([5.0, 6.0], requires_grad=True)
    with player.record() as tape:
        a = W @ h
        y = a * h
        y.sum().backward()
    return tape.trace()


def _ops(trace: player.Trace) -> list[str]:
    return [node["op"] for node in trace.nodes if node["call"] is not None]


def _gradients(trace: player.Trace) -> dict[str, Any]:
    """What each named value has received in all."""
    found = {}
    for event in trace.events:
        for part in event.get("contributions", ()):
            if part and trace.nodes[part["to"]]["name"]:
                found[trace.nodes[part["to"]]["name"]] = array_of(part["accumulated"]).tolist()  # type: ignore[union-attr]
    return found


def test_a_matrix_times_a_vector_is_one_step() -> None:
    raw, short = _products(), tidied(_products())
    assert _ops(raw) == ["Reshape", "MatMul", "Reshape", "Mul", "Sum"]
    assert _ops(short) == ["MatMul", "Mul", "Sum"]
    product = short.nodes[2]
    assert product["name"] == "a"
    assert product["value"]["shape"] == [2], "shown as the vector that the code means"
    assert [short.nodes[k]["name"] for k in product["inputs"]] == ["W", "h"]
    player.Trace.from_json(short.to_json())


def test_the_sums_of_gradients_are_right() -> None:
    """h is used twice, once through a reshape: Wᵀh + a, all in all, is what its last contribution shows."""
    W, h = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])
    expected = (W @ h + W.T @ h).tolist()
    found = _gradients(tidied(_products()))
    np.testing.assert_allclose(np.ravel(found["h"]), expected)
    np.testing.assert_allclose(found["W"], np.outer(h, h))


def test_formulas_keep_the_shapes_of_the_computation() -> None:
    step = next(s for s in steps_of(tidied(_products())) if s.kind == "forward")
    assert [p.expression.text() for p in step.plugged] == ["1·5 + 2·6", "3·5 + 4·6"]


@pytest.mark.parametrize(
    "write", [lambda x: x.reshape(2, 2) * 1.0, lambda x: x.view(4) * 1.0, lambda x: x.flatten() * 1.0]
)
def test_what_is_written_stays(write: Any) -> None:
    x = dl.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1)
    with player.record() as tape:
        write(x)
    trace = tape.trace()
    assert tidied(trace) is trace


def test_a_flatten_layer_stays() -> None:
    with player.record() as tape:
        layers = dl.nn.Sequential(dl.nn.Flatten(), dl.nn.Tanh())
        layers(dl.ones(1, 2, 2))
    assert "Reshape" in _ops(tidied(tape.trace()))


@pytest.mark.parametrize("name", traces.ALL)
def test_a_tidied_trace_is_a_trace(name: str) -> None:
    trace = traces.ALL[name]()
    short = tidied(trace)
    assert player.Trace.from_json(short.to_json()) == short
    assert tidied(short) == short, "there is nothing more to leave out"
    kinds = [s.kind for s in steps_of(trace) if s.kind not in ("forward", "backward")]
    assert [s.kind for s in steps_of(short) if s.kind not in ("forward", "backward")] == kinds
