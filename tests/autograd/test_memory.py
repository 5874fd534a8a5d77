"""T18–T22: what stays alive, how long, and how much work is done; counted, not timed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import Function, backward, grad, record
from minidl.autograd.walk import topological_order

LENGTH = 100_000


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cycle collector is off: only reference counts free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _model() -> tuple[list[Any], Callable[[], Any]]:
    rng = np.random.default_rng(0)
    w = [dl.tensor(rng.standard_normal((4, 4)), requires_grad=True) for _ in range(3)]
    x = dl.tensor(rng.standard_normal((5, 4)))

    def loss() -> Any:
        h = x
        for m in w:
            h = (h @ m).tanh() + h
        return (h.softmax(-1).log() * h).sum() / h.norm()

    return w, loss


# ── leaks ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("no_collector")
def test_a_graph_dies_with_its_last_output() -> None:
    """T18: no reference cycle anywhere on the tape."""
    x = dl.tensor(np.ones(10), requires_grad=True)
    y = (x * 2).exp()
    z = y.sum()
    array, node, middle = weakref.ref(y.array), weakref.ref(z.creator), weakref.ref(y)
    del y
    assert array() is not None, "exp saved its output"
    del z
    assert array() is None
    assert node() is None
    assert middle() is None


@pytest.mark.usefixtures("no_collector")
def test_a_backward_walk_lets_go_of_what_was_saved() -> None:
    x = dl.tensor(np.ones(10), requires_grad=True)
    y = (x * 2).exp()
    z = y.sum()
    array = weakref.ref(y.array)
    del y
    z.backward()
    assert array() is None, "the saved output goes with the walk, though z still lives"


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("orders", [1, 2, 3])
def test_gradients_of_gradients_leave_nothing_behind(orders: int) -> None:
    """T18: `grad(create_graph=True)` stores nothing, so nothing can close a circle."""
    x = dl.tensor(np.linspace(0.1, 1, 10), requires_grad=True)
    y = (x.sin() * x.exp()).sum()
    watched = [weakref.ref(y), weakref.ref(y.creator)]
    for _ in range(orders):
        (g,) = grad(y, x, create_graph=True)
        y = (g * g).sum()
        watched += [weakref.ref(g), weakref.ref(g.array), weakref.ref(y), weakref.ref(y.creator)]
    del y, g
    assert [w() for w in watched if w() is not None] == []


@pytest.mark.usefixtures("no_collector")
def test_training_steps_leave_nothing_behind() -> None:
    w, loss = _model()

    def step() -> None:
        loss().backward()
        with dl.no_grad():
            for m in w:
                m -= 0.01 * m.grad
                m.grad = None

    step()
    before = len(gc.get_objects())
    for _ in range(5):
        step()
    assert len(gc.get_objects()) - before < 20


@pytest.mark.usefixtures("no_collector")
def test_hooks_kept_gradients_and_recorders_leave_nothing_behind() -> None:
    x = dl.tensor(np.ones(3), requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    with record() as heard:
        (y * y).sum().backward()
    watched = [weakref.ref(y), weakref.ref(y.array), weakref.ref(y.creator), weakref.ref(y.grad)]
    del y, heard
    assert [w() for w in watched if w() is not None] == []


@pytest.mark.usefixtures("no_collector")
def test_an_error_in_the_walk_leaves_nothing_behind() -> None:
    class Broken(Function):
        def forward(self, x: Any) -> Any:
            return x + 0

        def backward(self, gy: Any, needs: Any) -> Any:
            raise ValueError("broken rule")

    x = dl.tensor(np.ones(3), requires_grad=True)
    y = Broken()(x * 2)
    watched = [weakref.ref(y), weakref.ref(y.creator)]
    try:
        y.sum().backward()
    except ValueError:
        pass
    else:
        pytest.fail("the error of the rule was swallowed")
    del y
    assert [w() for w in watched if w() is not None] == []


# ── how much is kept ──────────────────────────────────────────────────────────────────────────────


def test_additions_keep_nothing() -> None:
    """T19: a hundred additions need a few arrays, not a hundred: addition saves neither inputs nor outputs."""
    x = dl.tensor(np.ones(1 << 16), requires_grad=True)
    size = x.array.nbytes
    tracemalloc.start()
    try:
        y = x
        for _ in range(100):
            y = y + 1.0
        forward = tracemalloc.get_traced_memory()[1] / size
        tracemalloc.reset_peak()
        y.backward(np.ones(1 << 16))
        walk = tracemalloc.get_traced_memory()[1] / size
    finally:
        tracemalloc.stop()
    assert forward < 4.5, f"100 additions peaked at {forward:.1f} arrays"
    assert walk < 5.5, f"their backward walk peaked at {walk:.1f} arrays"


def test_gradients_are_dropped_as_the_walk_goes() -> None:
    """T19: a hundred multiplications keep their inputs, but only a few gradients at a time."""
    x = dl.tensor(np.ones(1 << 14), requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1.0
    tracemalloc.start()
    try:
        y.backward(np.ones(1 << 14))
        peak = tracemalloc.get_traced_memory()[1] / x.array.nbytes
    finally:
        tracemalloc.stop()
    assert peak < 6, f"the walk peaked at {peak:.1f} arrays"


def test_a_rule_saves_only_what_the_wanted_gradients_use() -> None:
    """T19: the gradient of the weight needs the image, that of the image the weight; a constant needs neither."""
    x, w = dl.tensor(np.ones((2, 3))), dl.tensor(np.ones((3, 4)), requires_grad=True)
    for y in (x @ w, dl.ops.linear(x, w.detach().T.clone().requires_grad_()), x[:1] * w[:1, :3]):
        kept = [saved is not None for saved in y.creator._saved_inputs]
        assert kept == [True, False]
    y = x + w[:2, :3]
    assert y.creator._saved_inputs == ()
    z = (w / 3.0).creator
    assert [saved is not None for saved in z._saved_inputs] == [False, True]


# ── depth and work ────────────────────────────────────────────────────────────────────────────────


def test_a_chain_of_a_hundred_thousand_operations() -> None:
    """T20: forward, backward and destruction of a deep graph, with Python's small stack."""
    assert sys.getrecursionlimit() < LENGTH
    x = dl.tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y + 1.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.array, [1, 1])
    del y
    y = x
    for _ in range(LENGTH):
        y = -y
    del y  # never walked: destruction alone


def test_a_recorded_walk_over_a_deep_graph_can_be_destroyed() -> None:
    """T20, T18: the graph of the gradient is as deep, and goes with its last reference."""
    x = dl.tensor(np.full(2, 1.0), requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * x
    (g,) = grad(y.sum(), x, create_graph=True)
    node = weakref.ref(g.creator)
    del y, g
    assert node() is None


def _work(build: Callable[[int], Any], n: int) -> int:
    """How many Python functions of the engine a backward walk calls."""
    output = build(n)
    calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        output.backward()
    finally:
        sys.setprofile(None)
    return calls


def _chain(n: int) -> Any:
    y = dl.tensor(1.0, requires_grad=True)
    for _ in range(n):
        y = y + 1.0
    return y


def _ladder(n: int) -> Any:
    y = dl.tensor(1.0, requires_grad=True)
    for _ in range(n // 2):
        y = y * 0.5 + y * 0.5
    return y


def _fan(n: int) -> Any:
    x = dl.tensor(1.0, requires_grad=True)
    return dl.ops.stack([x + 1.0 for _ in range(n)]).sum()


def _every_earlier_value(n: int) -> Any:
    values = [dl.tensor(1.0, requires_grad=True)]
    for _ in range(n):
        values.append(values[-1] + values[0])
    return values[-1]


@pytest.mark.parametrize("build", [_chain, _ladder, _fan, _every_earlier_value])
def test_the_work_of_a_walk_grows_with_the_graph_and_no_faster(build: Callable[[int], Any]) -> None:
    """T21: ten times the graph is ten times the calls; a worklist sorted at every insertion would need a hundred."""
    _work(build, 50)
    assert _work(build, 2000) < 11 * _work(build, 200)


def test_the_order_visits_every_operation_once_after_all_its_consumers() -> None:
    x = dl.tensor(1.0, requires_grad=True)
    y = _ladder(40) * x
    order = topological_order([y.creator])
    assert len(order) == len(set(order))
    position = {node: i for i, node in enumerate(order)}
    for node in order:
        for edge in node.edges:
            if isinstance(edge, tuple):
                assert position[edge[0]] > position[node]


# ── no work that nobody asked for ─────────────────────────────────────────────────────────────────


def test_nobody_computes_the_gradient_of_the_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """T22: the first layer's input needs no gradient, and its kernel is not called."""
    from minidl import kernels
    from minidl.ops import convolution

    called: list[str] = []
    real = kernels.kernels_for

    class Spy:
        def __init__(self, room: Any) -> None:
            self.room = room

        def __getattr__(self, name: str) -> Any:
            called.append(name)
            return getattr(self.room, name)

    monkeypatch.setattr(convolution, "kernels_for", lambda x: Spy(real(x)))
    rng = np.random.default_rng(0)
    image = dl.tensor(rng.standard_normal((2, 3, 6, 7)))
    weights = [dl.tensor(rng.standard_normal(s), requires_grad=True) for s in ((4, 3, 3, 2), (2, 4, 2, 3))]
    y = dl.ops.conv2d(dl.ops.conv2d(image, weights[0]), weights[1])
    called.clear()
    y.sum().backward()
    assert called.count("conv2d_input_grad") == 1, "the second layer's, which the first one needs"
    assert called.count("conv2d_weight_grad") == 2
    assert image.grad is None
    called.clear()
    grad(dl.ops.conv2d(dl.ops.conv2d(image, weights[0]), weights[1]).sum(), weights[1])
    assert called.count("conv2d_input_grad") == 0
    assert called.count("conv2d_weight_grad") == 1


def test_constants_are_not_on_the_tape() -> None:
    x, c = dl.tensor([1.0], requires_grad=True), dl.tensor([2.0])
    heavy = (c * c).exp()
    assert heavy.creator is None
    with record() as heard:
        backward((heavy * x).sum())
    assert [e.function.name for e in heard.events if hasattr(e, "contributions")] == ["Sum", "Mul"]
