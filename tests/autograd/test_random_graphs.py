"""T2, T3, T17: random graphs, against an engine that knows only one thing: add up all paths.

The naive engine below stores for every value its parents and the local derivative towards each. The derivative of
one value by another is the sum over all paths between them of the product of the local derivatives: no order of
nodes, no table, nothing in common with the backward walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import minidl as dl
from minidl.autograd import Function, grad, no_grad

SIZE = 3


@dataclass
class Value:
    """A value of the naive engine."""

    array: np.ndarray
    parents: list[tuple[Value, np.ndarray]] = field(default_factory=list)

    def derivative(self, other: Value) -> np.ndarray:
        """∂self/∂other, element by element: the sum over all paths."""
        if self is other:
            return np.ones(SIZE)
        return sum((local * parent.derivative(other) for parent, local in self.parents), np.zeros(SIZE))

    def paths(self) -> int:
        return 1 + sum(parent.paths() for parent, _ in self.parents)

    def reaches(self, other: Value) -> bool:
        return self is other or any(parent.reaches(other) for parent, _ in self.parents)


class Both(Function):
    """Two outputs: product and difference."""

    saves_inputs = (0, 1)

    def forward(self, a: Any, b: Any) -> Any:
        return a * b, a - b

    def backward(self, gy: Any, needs: Any) -> Any:
        a, b = self.saved_inputs
        g, h = gy
        return (g * b + h if needs[0] else None), (g * a - h if needs[1] else None)


UNARY: dict[str, tuple[Any, Any, Any]] = {
    "neg": (lambda x: -x, lambda a: -a, lambda a: -np.ones(SIZE)),
    "sin": (lambda x: x.sin(), np.sin, np.cos),
    "tanh": (lambda x: x.tanh(), np.tanh, lambda a: 1 / np.cosh(a) ** 2),
    "square": (lambda x: x * x, lambda a: a * a, lambda a: 2 * a),
    "view": (lambda x: x.reshape(1, SIZE)[0], lambda a: a, lambda a: np.ones(SIZE)),
    "mirror": (lambda x: x.flip(0).flip(0), lambda a: a, lambda a: np.ones(SIZE)),
}
BINARY: dict[str, tuple[Any, Any, Any, Any]] = {
    "add": (lambda x, y: x + y, lambda a, b: a + b, lambda a, b: np.ones(SIZE), lambda a, b: np.ones(SIZE)),
    "sub": (lambda x, y: x - y, lambda a, b: a - b, lambda a, b: np.ones(SIZE), lambda a, b: -np.ones(SIZE)),
    "mul": (lambda x, y: x * y, lambda a, b: a * b, lambda a, b: b, lambda a, b: a),
    "mean": (lambda x, y: (x + y) / 2, lambda a, b: (a + b) / 2, lambda a, b: np.full(SIZE, 0.5),
             lambda a, b: np.full(SIZE, 0.5)),
}  # fmt: skip
MOST_PATHS = 300


class RandomGraphs(RuleBasedStateMachine):
    """Both engines build the same graph; whenever a derivative is asked for, they must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Any, Value]] = []
        self.leaves: list[tuple[Any, Value]] = []
        self.expected: list[np.ndarray | None] = []

    def draw(self, data: st.DataObject) -> tuple[Any, Value]:
        return self.pairs[data.draw(st.integers(0, len(self.pairs) - 1))]

    def keep(self, x: Any, value: Value) -> None:
        np.testing.assert_allclose(x.array, value.array, rtol=1e-12, atol=1e-12)
        if value.paths() < MOST_PATHS and np.abs(value.array).max() < 50:
            self.pairs.append((x, value))

    @initialize(seed=st.integers(0, 99))
    def start(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)
        for _ in range(2):
            self.leaf()

    @rule()
    def leaf(self) -> None:
        array = self.numbers.uniform(-1, 1, SIZE)
        pair = (dl.tensor(array, requires_grad=True), Value(array))
        self.pairs.append(pair)
        self.leaves.append(pair)
        self.expected.append(None)

    @rule(data=st.data(), name=st.sampled_from(sorted(UNARY)))
    def unary(self, data: st.DataObject, name: str) -> None:
        ours, theirs, local = UNARY[name]
        x, value = self.draw(data)
        self.keep(ours(x), Value(theirs(value.array), [(value, local(value.array))]))

    @rule(data=st.data(), name=st.sampled_from(sorted(BINARY)))
    def binary(self, data: st.DataObject, name: str) -> None:
        ours, theirs, left, right = BINARY[name]
        (x, a), (y, b) = self.draw(data), self.draw(data)
        parents = [(a, left(a.array, b.array)), (b, right(a.array, b.array))]
        self.keep(ours(x, y), Value(theirs(a.array, b.array), parents))

    @rule(data=st.data(), used=st.sampled_from(["first", "second", "both"]))
    def two_outputs(self, data: st.DataObject, used: str) -> None:
        (x, a), (y, b) = self.draw(data), self.draw(data)
        product, difference = Both()(x, y)
        if used != "second":
            self.keep(product, Value(a.array * b.array, [(a, b.array), (b, a.array)]))
        if used != "first":
            self.keep(difference, Value(a.array - b.array, [(a, np.ones(SIZE)), (b, -np.ones(SIZE))]))

    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        x, value = self.draw(data)
        self.keep(x.detach() * 1.0, Value(value.array))

    @rule(data=st.data())
    def off_the_tape(self, data: st.DataObject) -> None:
        x, value = self.draw(data)
        with no_grad():
            self.keep(x.sin(), Value(np.sin(value.array)))

    @precondition(lambda self: len(self.pairs) > 3)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        del self.pairs[data.draw(st.integers(0, len(self.pairs) - 1))]

    @rule(data=st.data())
    def differentiate(self, data: st.DataObject) -> None:
        """`grad` by all leaves and by two other values, with a random cotangent."""
        (x, value), (y, other), (z, third) = self.draw(data), self.draw(data), self.draw(data)
        wanted = [pair for pair in [*self.leaves, (y, other), (z, third)] if pair[0].requires_grad]
        if not x.requires_grad:
            return
        gy = self.numbers.uniform(0.5, 1.5, SIZE)
        found = grad(x, [w for w, _ in wanted], gy, retain_graph=True, allow_unused=True)
        for gradient, (_, target) in zip(found, wanted, strict=True):
            if gradient is None:
                assert not value.reaches(target)
            else:
                np.testing.assert_allclose(gradient.array, gy * value.derivative(target), rtol=1e-10, atol=1e-10)

    @rule(data=st.data())
    def accumulate(self, data: st.DataObject) -> None:
        """`backward` adds to the leaves, every time exactly once (T3)."""
        x, value = self.draw(data)
        if not x.requires_grad:
            return
        gy = self.numbers.uniform(0.5, 1.5, SIZE)
        x.backward(gy, retain_graph=True)
        for i, (leaf, target) in enumerate(self.leaves):
            if value.reaches(target):
                before = self.expected[i]
                self.expected[i] = gy * value.derivative(target) + (0 if before is None else before)
            if self.expected[i] is None:
                assert leaf.grad is None
            else:
                np.testing.assert_allclose(leaf.grad.array, self.expected[i], rtol=1e-10, atol=1e-10)

    @rule(data=st.data())
    def differentiate_twice(self, data: st.DataObject) -> None:
        """The derivative of the derivative, by differences of path sums being unavailable, by symmetry."""
        x, _ = self.draw(data)
        if not x.requires_grad:
            return
        leaves = [leaf for leaf, _ in self.leaves]
        first = grad(x.sum(), leaves, create_graph=True, allow_unused=True)
        pairs = [(g, leaf) for g, leaf in zip(first, leaves, strict=True) if g is not None and g.requires_grad]
        for g, a in pairs[:2]:
            for h, b in pairs[:2]:
                (left,) = grad(g.sum(), b, retain_graph=True, allow_unused=True)
                (right,) = grad(h.sum(), a, retain_graph=True, allow_unused=True)
                left, right = (0.0 if t is None else t.array for t in (left, right))
                np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


TestRandomGraphs = RandomGraphs.TestCase
TestRandomGraphs.settings = settings(max_examples=40, stateful_step_count=25)


def test_a_diamond_waits_for_all_its_consumers() -> None:
    """T2: x = 2, y = 3x, z = 2y + 5y gives 21, where an impatient walk gives 6."""
    x = dl.tensor(2.0, requires_grad=True)
    y = 3 * x
    (2 * y + 5 * y).backward()
    assert x.grad.item() == 21


def test_a_long_way_and_a_short_way() -> None:
    """T2: a value used at once and again much later receives both contributions before it passes them on."""
    x = dl.tensor(1.5, requires_grad=True)
    y = z = x * 2
    for _ in range(10):
        z = z * 1.0
    (y * z).backward()
    assert x.grad.item() == 2 * 4 * 1.5
