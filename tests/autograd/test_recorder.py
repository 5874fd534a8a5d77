"""What a recorder hears, from which line, and that hearing changes nothing."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import Recorder, grad, record
from minidl.autograd.modes import tape
from minidl.autograd.recorder import DrawEvent, GradientEvent, NodeEvent


def line() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_operations_are_heard_in_order_with_values_and_lines() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    with record() as heard:
        y = x * x
        first = line() - 1
        z = dl.ops.linear(y.reshape(1, 2), y.reshape(1, 2))
        second = line() - 1
    assert heard.operations == ["Mul", "Reshape", "Reshape", "Linear"]
    events = [e for e in heard.events if isinstance(e, NodeEvent)]
    assert events[0].inputs[0] is x
    assert events[0].outputs[0] is y
    assert events[-1].outputs[0] is z
    assert events[0].function is y.creator
    assert [e.source.line for e in events] == [first, second, second, second]
    assert all(Path(e.source.file) == Path(__file__) for e in events), "the user's line, not the engine's"


def test_gradients_are_heard_consumers_first() -> None:
    x = dl.tensor(3.0, requires_grad=True)
    c = dl.tensor(2.0)
    y = (x * c).exp()
    with record() as heard:
        y.backward()
    events = [e for e in heard.events if isinstance(e, GradientEvent)]
    assert [e.function.name for e in events] == ["Exp", "Mul"]
    assert events[0].upstream.item() == 1
    assert events[1].upstream is events[0].contributions[0]
    assert events[1].contributions[1] is None, "the constant got nothing"
    assert events[1].contributions[0].item() == pytest.approx(2 * np.exp(6))
    assert heard.operations == [], "the arithmetic of the rules is not part of what the user wrote"


def test_the_arithmetic_of_a_recorded_walk_is_heard() -> None:
    x = dl.tensor(3.0, requires_grad=True)
    with record() as heard:
        grad(x.sin(), x, create_graph=True)
    assert heard.operations == ["Sin", "Cos", "Mul"]


def test_what_was_heard_does_not_change_afterwards() -> None:
    """T1: a later backward adds to the leaf's gradient in place, not to the one in the event."""
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    with record() as heard:
        (x * 3).sum().backward()
    before = [
        g.array.copy() for e in heard.events if isinstance(e, GradientEvent) for g in e.contributions if g is not None
    ]
    for _ in range(2):
        (x * 3).sum().backward()
    x.grad.zero_()
    after = [g.array for e in heard.events if isinstance(e, GradientEvent) for g in e.contributions if g is not None]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sums_of_several_gradients_do_not_change_what_was_heard() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    parts = [x * float(k) for k in range(1, 6)]
    with record() as heard:
        dl.ops.stack(parts).sum().backward()
    contributions = [e.contributions[0].array for e in heard.events if e.function.name == "Mul"]
    assert sorted(c[0] for c in contributions) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(x.grad.array, [15, 15])


def test_draws_are_heard_with_their_purpose() -> None:
    with record() as heard:
        x = dl.randn(2, 3, generator=dl.Generator(0))
        here = line() - 1
    (event,) = [e for e in heard.events if isinstance(e, DrawEvent)]
    assert event.purpose == "randn"
    np.testing.assert_array_equal(event.value, x.array)
    assert event.source.line == here


def test_hearing_changes_no_number() -> None:
    def run() -> tuple[Any, Any]:
        x = dl.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True)
        y = (dl.ops.softmax(x @ x.T, -1) @ x).tanh().sum()
        y.backward()
        return y.array, x.grad.array

    quiet = run()
    with record():
        loud = run()
    for a, b in zip(quiet, loud, strict=True):
        np.testing.assert_array_equal(a, b)


def test_blocks_nest_and_restore() -> None:
    x = dl.tensor(1.0)
    with record() as outer:
        x.exp()
        with pytest.raises(ValueError, match="inside"), record() as inner:  # noqa: PT012
            x.sin()
            raise ValueError("inside")
        x.cos()
    assert outer.operations == ["Exp", "Cos"]
    assert inner.operations == ["Sin"]
    assert tape.recorder is None


def test_other_threads_are_not_heard() -> None:
    x = dl.tensor(1.0)
    with record() as heard:
        thread = threading.Thread(target=x.exp)
        thread.start()
        thread.join(10)
    assert heard.events == []


def test_a_recorder_of_one_s_own() -> None:
    class Count(Recorder):
        count = 0

        def on_node(self, function: Any, inputs: Any, outputs: Any) -> None:
            self.count += 1

    mine = Count()
    with record(mine) as heard:
        dl.tensor([1.0, 2.0]).exp().sum()
    assert heard is mine
    assert mine.count == 2
    assert mine.events == []


def test_results_without_a_gradient_are_heard_too() -> None:
    with record() as heard, dl.no_grad():
        dl.tensor([1.0, 2.0]).exp()
    (event,) = heard.events
    assert event.function.name == "Exp"
