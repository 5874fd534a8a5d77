"""The graph of an ONNX file while it is written: names, constants, nodes.

Whatever does not depend on the input is a number already when the operations have been heard: it is stored, and the
operations that led to it are not. That is all there is to folding constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minidl.backend import Array, to_device
from minidl.io.onnx_trace import NotExportable, Step

END = np.iinfo(np.int64).max
"""As the end of a slice: as far as it goes."""


class Graph:
    """Nodes and constants by name.

    Arguments:
        onnx: the package.
        state: the arrays of the model's state by their names in it.
        examples: the size of the batch in each of the two runs, None where it is fixed.
    """

    def __init__(self, onnx: Any, state: Mapping[str, Array], examples: tuple[int, int] | None) -> None:
        self.onnx, self.examples = onnx, examples
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.names: dict[int, str] = {}
        self.origins = {id(array): name for name, array in state.items()}
        self.state = dict(self.origins)
        self.batch = ""
        self._known: dict[tuple[Any, ...], str] = {}
        self._used: set[str] = set(state)

    # ── names ─────────────────────────────────────────────────────────────────────────────────

    def unique(self, name: str) -> str:
        """A name that nothing else has."""
        count, free = 0, name
        while free in self._used:
            count += 1
            free = f"{name}_{count}"
        self._used.add(free)
        return free

    def moves(self, array: Array) -> bool:
        """Whether an array of the first run depends on the input."""
        return id(array) in self.names

    def value(self, pair: tuple[Array, Array], where: Any) -> str:
        """The name of an array, as it was in each run: a result, a parameter, or a constant."""
        a = pair[0]
        if self.moves(a):
            return self.names[id(a)]
        if id(a) in self.state:
            name = self.state[id(a)]
            self.constants.setdefault(name, np.asarray(to_device(a, "cpu")))
            return name
        return self.constant(pair, where, self.origins.get(id(a), "constant"))

    # ── constants ─────────────────────────────────────────────────────────────────────────────

    def stored(self, array: Any, label: str = "constant") -> str:
        """The name of a constant; equal ones of one label are stored once."""
        host = np.asarray(to_device(array, "cpu"), order="C")
        key = (label, host.dtype.str, host.shape, host.tobytes())
        if key not in self._known:
            self._known[key] = self.unique(label)
            self.constants[self._known[key]] = host
        return self._known[key]

    def constant(self, pair: tuple[Array, Array], where: Any, label: str = "constant") -> str:
        """The name of an array that is the same in both runs, or grows with the batch: a number, or repeated rows.

        Raises:
            NotExportable: it is neither, so it was computed from the input in a way that the tape does not know.
        """
        a, b = pair
        if a.shape == b.shape:
            if _alike(a, b):
                return self.stored(a, label)
            if a.ndim == 0 and (times := self.times_batch(float(a), float(b))):  # the count of a mean, for example
                examples = self.add("Squeeze", self.examples_times(times), self.stored(np.array([0])))
                return self.add("Cast", examples, to=self.onnx.helper.np_dtype_to_tensor_dtype(a.dtype))
        elif a.ndim == b.ndim:
            repeated = [i for i in range(a.ndim) if a.shape[i] != b.shape[i]]
            at = tuple([slice(0, 1) if i in repeated else slice(None) for i in range(a.ndim)])
            one = a[at]
            if all(_alike(np.broadcast_to(one, x.shape), x) for x in pair):
                return self.add("Expand", self.stored(one, label), self.sizes((a.shape, b.shape)))
        raise NotExportable(
            f"{where} uses an array of shape {a.shape} that changes with the input, but that no operation computed: "
            "comparisons and arithmetic of tensors can be exported, work on their .array, indices from argmax or sort, "
            "and drawn numbers cannot"
        )

    def sizes(self, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
        """A shape as a tensor, computed from the size of the batch where it grows with it."""
        if shapes[0] == shapes[1]:
            return self.stored(np.array(shapes[0], np.int64))
        parts = [self._size(a, b) for a, b in zip(*shapes, strict=True)]
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def _size(self, a: int, b: int) -> str:
        if a == b:
            return self.stored(np.array([a], np.int64))
        times = self.times_batch(a, b)
        if times is None:
            raise NotExportable(f"a size is {a} for one batch and {b} for another, which is no multiple of it")
        return self.examples_times(times)

    def times_batch(self, a: float, b: float) -> int | None:
        """How many times the batch a size is, from its values in both runs; None if it is no multiple."""
        if self.examples is None or a % self.examples[0] or a / self.examples[0] * self.examples[1] != b:
            return None
        return int(a) // self.examples[0]

    def examples_times(self, times: int) -> str:
        """A multiple of the size of the batch, as a tensor of one element."""
        examples = self.add("Shape", self.batch, start=0, end=1)
        return examples if times == 1 else self.add("Mul", examples, self.stored(np.array([times], np.int64)))

    def folded(self, step: Step, i: int, change: Callable[[Array], Array]) -> str:
        """A parameter in another arrangement."""
        a, b = step.input(i)
        if self.moves(a):
            raise NotExportable(f"{step} has weights that are computed from the input, which ONNX does not allow")
        return self.constant((change(a), change(b)), step, f"{self.origins.get(id(a), 'weight')}/arranged")

    # ── nodes ─────────────────────────────────────────────────────────────────────────────────

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Write a node; returns the name of its output."""
        return self.add_many(1, operation, *inputs, **attributes)[0]

    def add_many(self, outputs: int, operation: str, *inputs: str, **attributes: Any) -> list[str]:
        """Write a node with several outputs; returns their names."""
        stem = self.unique(operation)
        names = [stem, *[f"{stem}.{i}" for i in range(1, outputs)]]
        self.nodes.append(self.onnx.helper.make_node(operation, list(inputs), names, name=stem, **attributes))
        return names

    def translate(self, step: Step, rule: Callable[..., Any] | None) -> None:
        """Write an operation, unless its result is a constant."""
        if not any(self.moves(array) for array in step.arrays()):
            origin = next((self.origins[id(x.array)] for x in step.first.inputs if id(x.array) in self.origins), None)
            if origin is not None:
                for y in step.first.outputs:
                    self.origins[id(y.array)] = f"{origin.partition('/')[0]}/{step.first.function.name}"
            return
        if rule is None:
            raise NotExportable(f"{step} has no counterpart in ONNX that minidl knows")
        result = rule(self, step, *[self.value(step.input(i), step) for i in range(len(step.first.inputs))])
        for y, name in zip(step.first.outputs, [result] if isinstance(result, str) else result, strict=True):
            self.names[id(y.array)] = name

    def prune(self, results: list[str]) -> None:
        """Drop the nodes and the constants that no result needs."""
        needed, kept = set(results), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}


def _alike(a: Array, b: Array) -> bool:
    """Equal up to the rounding of a sum in another order."""
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True))
