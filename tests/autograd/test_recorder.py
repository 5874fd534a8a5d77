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
from minidl.autograd.recorder import DrawEvent, GradientEvent, NodeEvent, UpdateEvent, named, scope


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


def test_gradients_are_heard_with_what_they_add_up_to() -> None:
    """x² + x at 3: the contributions 1, 3, 3 add up to 1, 4, 7; what `.grad` held before is counted in."""
    x = dl.tensor(3.0, requires_grad=True)
    with record() as heard:
        (x * x + x).backward()
    first = [a.item() for e in heard.events if isinstance(e, GradientEvent) for a in e.accumulated if a is not None]
    assert first == [1, 1, 4, 7], "the product receives 1, then x three contributions"
    with record() as heard:
        (x * 2.0).backward()
    (event,) = [e for e in heard.events if isinstance(e, GradientEvent)]
    assert event.accumulated[0].item() == 9
    assert event.accumulated[1] is None


def test_modules_and_named_parts_are_heard() -> None:
    class Listener(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.inside: bool | None = None
            self.path: list[str] = []
            self.heard: list[str] = []

        def on_enter(self, part: Any) -> None:
            self.path.append(part if isinstance(part, str) else type(part).__name__)

        def on_leave(self) -> None:
            self.path.pop()

        def on_name(self, name: str, value: Any) -> None:
            self.heard.append(name)

        def on_node(self, function: Any, inputs: Any, outputs: Any) -> None:
            self.heard.append("/".join([*self.path, function.name]))

    net = dl.nn.Sequential(dl.nn.Linear(2, 2), dl.nn.Tanh())
    mine = Listener()
    with record(mine):
        net(dl.ones(1, 2))
        with scope("t=0"):
            named("h", dl.ones(1).exp())
    assert mine.heard == ["Sequential/Linear/Linear", "Sequential/Tanh/Tanh", "t=0/Exp", "h"]
    assert mine.path == []


def test_names_and_scopes_cost_nothing_where_nobody_listens() -> None:
    x = dl.ones(2)
    with scope("t=0"):
        assert named("h", x) is x


@pytest.mark.parametrize(("inside", "choice", "fused"), [
    (None, "auto", True), (None, "numpy", False), (True, "auto", False), (False, "numpy", True),
])  # fmt: skip
def test_inside_decides_what_a_fused_operation_is_heard_as(inside: bool | None, choice: str, fused: bool) -> None:
    with dl.use_kernels(choice), record(Recorder(inside=inside)) as heard:
        dl.ops.cross_entropy(dl.ones(2, 3), dl.tensor([0, 1]))
    assert ("SoftmaxCrossEntropy" in heard.operations) is fused
    assert ("LogSoftmax" in heard.operations) is not fused


def test_updates_are_heard_with_the_state_before_and_after() -> None:
    w = dl.tensor([1.0], requires_grad=True)
    optimizer = dl.optim.SGD([w], lr=0.1, momentum=0.9)
    with record() as heard:
        for _ in range(2):
            optimizer.zero_grad()
            (w * 2.0).sum().backward()
            optimizer.step()
    first, second = [e for e in heard.events if isinstance(e, UpdateEvent)]
    assert dict(first.state_before) == {}
    np.testing.assert_array_equal(first.state_after["momentum_buffer"], [2.0])
    np.testing.assert_array_equal(second.state_before["momentum_buffer"], [2.0])
    np.testing.assert_allclose(second.state_after["momentum_buffer"], [3.8])
    np.testing.assert_array_equal(first.gradient, [2.0])
    assert first.options["momentum"] == 0.9
    assert first.formula == dl.optim.SGD.formula


def test_a_lesson_s_own_line_is_the_reader_s() -> None:
    """Lessons are installed below minidl, and are user code nevertheless."""
    code = compile("x.exp()", str(Path(dl.__file__).parent / "lessons" / "L01_graph.py"), "exec")
    engine = compile("x.exp()", str(Path(dl.__file__).parent / "nn" / "linear.py"), "exec")
    with record() as heard:
        exec(code, {"x": dl.ones(1)})
        exec(engine, {"x": dl.ones(1)})
    files = [Path(e.source.file).name for e in heard.events]
    assert files == ["L01_graph.py", "test_recorder.py"]


def test_results_without_a_gradient_are_heard_too() -> None:
    with record() as heard, dl.no_grad():
        dl.tensor([1.0, 2.0]).exp()
    (event,) = heard.events
    assert event.function.name == "Exp"
