"""An operation with a draw of its arguments, ready to be run and differentiated; and how two results are compared."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.autograd import Function, grad
from minidl.backend import default_generator
from minidl.ops.registry import REAL, Operation, Oracle
from minidl.tensor import Tensor

Arrays = list[np.ndarray]


class Case:
    """An operation and one draw of its arguments; calling it with the float inputs runs it.

    Everything else among the arguments is the same in every call: generators are wound back, tensors that the
    operation may write into (running statistics) are copied.
    """

    def __init__(self, operation: Operation, seed: int = 0) -> None:
        self.operation = operation
        rng = np.random.default_rng([seed, sum(operation.name.encode())])
        self.arguments = operation.example(operation.domain.sampler(rng))
        self.rng = rng
        self.places = [*self._places()]
        self._streams = {key: value.get_state() for key, value in self.arguments.items() if hasattr(value, "set_state")}

    def _places(self) -> Iterator[tuple[str, int | None]]:
        for key, value in self.arguments.items():
            if isinstance(value, list | tuple):
                yield from ((key, i) for i, item in enumerate(value) if _is_float(item))
            elif _is_float(value):
                yield key, None

    @property
    def arrays(self) -> Arrays:
        """The float inputs, in order."""
        return [self.arguments[k] if i is None else self.arguments[k][i] for k, i in self.places]

    def __call__(self, *inputs: Any, **replaced: Any) -> list[Tensor]:
        """The floating outputs of the operation on these inputs."""
        result = self.result(*inputs, **replaced)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        return [y for y in outputs if y.array.dtype.kind in "fc"]

    def result(self, *inputs: Any, **replaced: Any) -> Any:
        """What the operation returns."""
        arguments = {key: _fresh(value) for key, value in self.arguments.items()} | replaced
        for (key, i), x in zip(self.places, inputs, strict=True):
            if i is None:
                arguments[key] = x
            else:
                arguments[key] = [x if j == i else item for j, item in enumerate(arguments[key])]
        for key, state in self._streams.items():
            arguments[key].set_state(state)
        before = default_generator.get_state()
        default_generator.manual_seed(1)
        try:
            positional = []
            parameters = inspect.signature(self.operation.call).parameters
            for name, parameter in parameters.items():
                if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                    names = list(itertools.takewhile(lambda n: n != name, parameters))  # noqa: B023
                    positional = [arguments.pop(n) for n in names] + list(arguments.pop(name))
            return self.operation.call(*positional, **arguments)
        finally:
            default_generator.set_state(before)

    def leaves(self, arrays: Arrays | None = None, needs: Callable[[int], bool] = lambda i: True) -> list[Tensor]:
        """The inputs as tensors that want a gradient."""
        return [
            Tensor._wrap(np.asarray(x), requires_grad=needs(i))
            for i, x in enumerate(self.arrays if arrays is None else arrays)
        ]

    def cotangents(self, outputs: list[Tensor]) -> Arrays:
        """A random gradient for each output, no two entries alike, none near 0."""
        rng = np.random.default_rng(7)
        return [
            np.asarray(rng.uniform(0.5, 1.5, y.array.shape) * rng.choice([-1.0, 1.0], y.array.shape), y.array.dtype)
            for y in outputs
        ]

    def value_and_gradients(
        self, arrays: Arrays | None = None, gys: Arrays | None = None, keep: bool = False, **replaced: Any
    ) -> tuple[Arrays, Arrays]:
        """The outputs, and the gradients of all inputs for random (or these) gradients of the outputs."""
        xs = self.leaves(arrays)
        ys = self(*xs, **replaced)
        gys = self.cotangents(ys) if gys is None else gys
        gxs = grad(ys, xs, [Tensor._wrap(np.asarray(g)) for g in gys], retain_graph=keep, allow_unused=True)
        zeros = [np.zeros_like(x.array) for x in xs]
        return [y.array for y in ys], [z if g is None else g.array for z, g in zip(zeros, gxs, strict=True)]


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _fresh(value: Any) -> Any:
    return Tensor._wrap(value.array.copy()) if isinstance(value, Tensor) else value


def trial(call: Callable[..., Any], *arrays: np.ndarray, oracle: Oracle = "complex") -> Operation:
    """Any function of some arrays as an operation, so that the checks can be run on it."""
    given = [np.asarray(x) for x in arrays]
    return Operation("trial", lambda xs: call(*xs), (), "y", "x", lambda draw: {"xs": given}, REAL, oracle, 2)


def nodes_of(outputs: list[Tensor]) -> list[Function]:
    """Every recorded operation that the outputs depend on."""
    found: dict[Function, None] = {}
    stack = [y.creator for y in outputs if y.creator is not None]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(edge[0] for edge in node.edges or () if isinstance(edge, tuple))
    return [*found]


def near(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Raise unless two arrays agree to `tolerance` of the larger's scale, nan and infinities included."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def same(found: Arrays, expected: Arrays, tolerance: float, what: str) -> None:
    """`near` for each of several arrays."""
    assert len(found) == len(expected), f"{what}: {len(found)} arrays, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        near(a, b, tolerance, f"{what} {i}")


def grad_or_zero(case: Case, xs: list[Tensor]) -> tuple[Tensor | None, ...]:
    """The recorded gradients of all inputs for the case's random cotangents."""
    ys = [y for y in case(*xs) if y.requires_grad]
    return grad(ys, xs, [Tensor(u) for u in case.cotangents(ys)], create_graph=True, allow_unused=True)


def grad_arrays(case: Case, xs: list[Tensor], ys: list[Tensor], gys: Arrays) -> Arrays:
    """The gradients of these inputs, 0 where there is none."""
    gxs = grad(ys, xs, [Tensor(g) for g in gys], allow_unused=True)
    return [np.zeros_like(x.array) if g is None else g.array for x, g in zip(xs, gxs, strict=True)]
