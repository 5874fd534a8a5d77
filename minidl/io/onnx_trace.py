"""A model as the list of its operations, heard twice.

One run of a model says what was computed, not what will be: is this 5 the size of the batch, or a 5? Was this array a
constant, or read off the input behind the tape's back? So a model runs on two inputs, of other numbers and, where the
batch may vary, of another number of examples. What is the same both times is a constant. What is not, is either an
operation's result, or as large as the batch, or a reason to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.autograd.function import Function
from minidl.autograd.modes import no_grad
from minidl.autograd.recorder import NodeEvent, Recorder, record, source_line
from minidl.autograd.variable import Variable
from minidl.backend import Array, to_device
from minidl.nn.module import Module, evaluating
from minidl.ops.fused import Fused
from minidl.tensor import Tensor

BATCHES = (5, 7)
"""The examples in the two runs of a model whose batch may vary: sizes that few layers have."""


class NotExportable(ValueError):
    """The model does something that the file cannot say."""


class Same(Function):
    """The outputs are the inputs: what stands on the tape for a fused operation that was heard as its composite."""


@dataclass
class Listener(Recorder):
    """Hears the operations of a model; a fused one that is not among those `known` is heard as its composite."""

    known: Collection[type[Function]] = ()
    nodes: list[NodeEvent] = field(default_factory=list)
    versions: list[tuple[Tensor, int]] = field(default_factory=list)

    def on_node(self, function: Function, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        """An operation ran."""
        if isinstance(function, Fused) and type(function) not in self.known:
            parts = function.composite(*inputs)
            function, inputs = Same(), parts if isinstance(parts, tuple) else (parts,)
        self.nodes.append(NodeEvent(function, inputs, outputs, source_line()))
        self.versions += [(x, x.version) for x in (*inputs, *outputs)]


@dataclass(frozen=True)
class Run:
    """One run of a model: the arrays that went in, what was done, the arrays that came out."""

    inputs: list[Array]
    nodes: list[NodeEvent]
    outputs: list[Array]


def run(model: Module, inputs: Sequence[Array], known: Collection[type[Function]]) -> Run:
    """Run a model in evaluation mode, off the tape, and write down what it does."""
    listener = Listener(known=known)
    with evaluating(model), no_grad(), record(listener):
        result = model(*[Variable._wrap(x) for x in inputs])
    if any(x.version != version for x, version in listener.versions):
        raise NotExportable(
            "the model writes into a tensor in place (such as x += 1 or x[0] = 1), which no operation says; "
            "make a new tensor instead"
        )
    return Run(list(inputs), listener.nodes, [y.array for y in flattened(result)])


def flattened(result: Any) -> list[Tensor]:
    """The tensors of a result: one, or tuples, lists and dicts of them; None is left out."""
    if result is None:
        return []
    if isinstance(result, Variable):
        return [result]  # type: ignore[list-item]  # the one class of variables is Tensor
    if isinstance(result, tuple | list | dict):
        parts = result.values() if isinstance(result, dict) else result
        return [y for part in parts for y in flattened(part)]
    raise NotExportable(f"the model returns a {type(result).__name__}; only tensors can be exported")


class Step:
    """One operation, in both runs. Its constants are its attributes, and reading one makes sure that it is one."""

    def __init__(self, first: NodeEvent, second: NodeEvent) -> None:
        self.first, self.second = first, second

    def __getattr__(self, name: str) -> Any:
        a, b = self.both(lambda f: getattr(f, name))
        if a != b:
            raise NotExportable(f"{self} takes another {name} for another batch, {a} and {b}; use dynamic_batch=False")
        return a

    def both(self, read: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Something of the operation, as it was in each run."""
        return read(self.first.function), read(self.second.function)

    def input(self, i: int) -> tuple[Array, Array]:
        """The array of an input in each run."""
        return self.first.inputs[i].array, self.second.inputs[i].array

    def arrays(self) -> Iterator[Array]:
        """All that the first run reads: the inputs, and the indices that the operation holds."""
        yield from [x.array for x in self.first.inputs]
        for held in getattr(self.first.function, "buffers", ()):
            yield from held if isinstance(held, tuple) else [held]

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shape of the (first) output in each run."""
        return self.first.outputs[0].array.shape, self.second.outputs[0].array.shape

    def __str__(self) -> str:
        place = self.first.source
        return self.first.function.name + (f" (from {place.file}, line {place.line})" if place else "")


def trace(
    model: Module, inputs: Sequence[Array], dynamic_batch: bool, known: Collection[type[Function]]
) -> tuple[Run, Run, list[Step]]:
    """Both runs of a model, and its operations as found in both.

    Arguments:
        model: what to run.
        inputs: an example of the input.
        dynamic_batch: whether the first dimension of every input is the batch, and may vary.
        known: the fused operations to leave whole.

    Raises:
        NotExportable: the two runs differ in what was done.
    """
    sizes: tuple[int | None, int | None] = (None, None)
    if dynamic_batch:
        lengths = {x.shape[:1] for x in inputs}
        if len(lengths) != 1 or lengths & {(), (0,)}:
            raise NotExportable(
                f"dynamic_batch: the first dimension of every input must be the batch, got the shapes "
                f"{', '.join(str(x.shape) for x in inputs)}; use dynamic_batch=False"
            )
        sizes = BATCHES
    first = run(model, [_resized(x, sizes[0]) for x in inputs], known)
    second = run(model, [_stirred(_resized(x, sizes[1])) for x in inputs], known)
    steps = [Step(a, b) for a, b in zip(first.nodes, second.nodes, strict=False)]
    odd = [step for step in steps if step.first.function.name != step.second.function.name]
    if odd or len(first.nodes) != len(second.nodes) or len(first.outputs) != len(second.outputs):
        where = f": at {odd[0]} it does {odd[0].second.function.name} instead" if odd else ""
        raise NotExportable(
            f"the model does other operations for another input{where}; a file holds one list of operations"
            + ("; if that is because of the size of the batch, use dynamic_batch=False" if dynamic_batch else "")
        )
    return first, second, steps


def _resized(x: Array, n: int | None) -> Array:
    """As many examples as wanted: those given, from the start again after the last."""
    host = np.asarray(to_device(x, "cpu"))
    return host.copy() if n is None else host[np.arange(n) % len(host)]


def _stirred(x: Array) -> Array:
    """Other numbers of the same kind: in reverse order, and floats stretched at random, but not over zero."""
    rng = np.random.default_rng(0)
    y = np.flip(x)
    if x.dtype.kind != "f":
        return y.copy()
    return np.asarray(y * rng.uniform(0.5, 1.5, y.shape) if x.any() else rng.uniform(0.0, 1.0, y.shape), x.dtype)
