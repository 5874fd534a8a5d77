"""Recording: `with record() as tape:` turns what the engine does into the events of a trace."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from minidl.autograd.function import Function
from minidl.autograd.modes import set_recorder
from minidl.autograd.recorder import Recorder, user_frame
from minidl.backend import Array
from minidl.nn.parameter import Parameter
from minidl.player.attributes import attributes
from minidl.player.checking import compare_gradients
from minidl.player.landscapes import Span, heights
from minidl.player.naming import module_name, parameter_name, variable_name
from minidl.player.snapshot import plain, snapshot
from minidl.player.sources import Run, Sources, names_from_code
from minidl.player.trace import Event, Trace

if TYPE_CHECKING:
    from minidl.tensor import Tensor

LIMIT = 4096


@dataclass
class Tape(Recorder):
    """What `record` hands out: it listens, takes snapshots at once, and gives the trace.

    Values keep their identity by the tensors themselves, which are therefore held until the tape is dropped.
    """

    limit: int = LIMIT
    found: list[Event] = field(default_factory=list)
    formulas: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: Sources = field(default_factory=Sources)

    def __post_init__(self) -> None:
        self._ids: dict[Any, int] = {}
        self._nodes: dict[int, Event] = {}
        self._calls: dict[Function, tuple[list[int], list[int]]] = {}
        self._held: list[Any] = []
        self._wanted_names: dict[int, str] = {}
        self._outside = False
        self._runs: dict[int, Run] = {}
        self._scopes: list[tuple[str, Any]] = []
        self._numbers = itertools.count()
        self._call_numbers = itertools.count()

    # ── what a lesson says ────────────────────────────────────────────────────────────────────

    def name(self, name: str, value: Tensor) -> Tensor:
        """Give a value the name it has in the text; returns the value."""
        key = self._known(value)
        if key is None:
            self._wanted_names[id(value)] = name
            self._held.append(value)
        else:
            self._nodes[key]["name"] = name
        return value

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Group what runs inside the block: `with tape.scope("t=2"):`; "t=…" is a time step, "epoch …" an epoch."""
        self.on_enter(name)
        try:
            yield
        finally:
            self.on_leave()

    def note(self, key: str, text: str | Mapping[str, str] = "", *, passed: bool | None = None) -> None:
        """Put a remark on the tape: where in the lesson we are, or how an exercise went.

        Arguments:
            key: the lesson's cell, or the exercise.
            text: in one language, or {"zh": …, "en": …}.
            passed: for an exercise, whether it was solved.
        """
        words = {"zh": text, "en": text} if isinstance(text, str) else dict(text)
        self._add({"kind": "note", "key": key, "text": words, "passed": passed})

    def check(self, function: Callable[..., Tensor], *inputs: Tensor, name: str = "", eps: float = 1e-6,
              names: Sequence[str] = (), seed: int = 0) -> bool:  # fmt: skip
        """Check gradients by central differences in float64 and put the result on the tape.

        Arguments:
            function: takes the inputs, returns one tensor.
            inputs: tensors; those that require a gradient are checked.
            name: what is checked, for the reader.
            eps: the step of the differences.
            names: of the inputs; by default those that are known.
            seed: of the random gradient that is sent back: a sum would hide transposed gradients.

        Returns:
            Whether every element agrees: |a − n| ≤ 1e-6·max(1, |a|, |n|).
        """
        known = [names[k] if k < len(names) else self._name_of(x, k) for k, x in enumerate(inputs)]
        with set_recorder(None):
            rows = compare_gradients(function, inputs, eps, seed)
        entries = [
            {
                "name": known[row.position],
                "analytic": snapshot(row.analytic, self.limit),
                "numeric": snapshot(row.numeric, self.limit),
                "error": plain(row.error),
                "passed": row.passed,
            }
            for row in rows
        ]
        passed = all(row.passed for row in rows)
        self._add({"kind": "check", "name": name, "eps": eps, "inputs": entries, "passed": passed})
        return passed

    def landscape(self, function: Callable[[], Tensor], x: Tensor, y: Tensor | None = None, *,
                  span: Span = (-2.0, 2.0),
                  points: int = 41) -> None:  # fmt: skip
        """Compute a loss over a range of one or two single-number parameters, for the picture of the path downhill.

        Arguments:
            function: computes the loss from the parameters as they are.
            x, y: parameters of one element each.
            span: (low, high) of both, or (low, high) of x and of y.
            points: how many values of each.
        """
        axes = [x] if y is None else [x, y]
        grids, found = heights(function, axes, span, points)
        nodes = [self._node_of(parameter, user_frame()) for parameter in axes]
        self._add({"kind": "landscape", "parameters": nodes, "grids": grids, "heights": found})

    def trace(self) -> Trace:
        """What was recorded so far."""
        named = names_from_code([event for event in self.found if event["kind"] == "node"], self._runs)
        for key, name in named.items():
            if not self._nodes[key]["name"]:
                self._nodes[key]["name"] = name
        events = [dict(event) for event in self.found]
        return Trace(self.limit, events, dict(self.formulas), self.sources.listing())

    # ── what the engine says ──────────────────────────────────────────────────────────────────

    def on_enter(self, part: Any) -> None:
        self._scopes.append((part if isinstance(part, str) else module_name(part, self._around()), part))

    def on_leave(self) -> None:
        self._scopes.pop()

    def on_name(self, name: str, value: Tensor) -> None:
        self.name(name, value)

    def on_node(self, function: Function, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        frame = user_frame()
        sources = [self._node_of(x, frame) for x in inputs]
        number = next(self._call_numbers)
        self._remember_formula(function)
        attrs = attributes(function, inputs, outputs, self.limit)
        ids = []
        for index, y in enumerate(outputs):
            event = self._value_event(y, function.name, sources, frame)
            event |= {"attrs": attrs, "formula": function.name, "call": number, "output": index}
            ids.append(self._enter(event, y))
            if frame is not None:
                parts = tuple([name for name, part in self._scopes if isinstance(part, str)])
                self._runs[ids[-1]] = Run(id(frame), frame.f_lineno, frame.f_lasti, parts)
        self._calls[function] = (sources, ids)

    def on_gradient(self, function: Function, upstream: Any, contributions: tuple[Tensor | None, ...],
                    accumulated: tuple[Array | None, ...]) -> None:  # fmt: skip
        known = self._calls.get(function)
        if known is None:  # it ran before the recording began, and its place in the graph is not known
            if not self._outside:
                self.note("outside", _OUTSIDE)
            self._outside = True
            return
        sources, ids = known
        gys = upstream if isinstance(upstream, tuple) else (upstream,)
        sent = [
            None
            if gx is None
            else {
                "to": node,
                "value": snapshot(gx.array, self.limit),
                "accumulated": snapshot(gx.array if total is None else total, self.limit),
            }
            for node, gx, total in zip(sources, contributions, accumulated, strict=True)
        ]
        node = self._nodes[ids[0]]
        self._add(
            {
                "kind": "grad",
                "node": ids[0],
                "upstream": [snapshot(gy.array, self.limit) for gy in gys],
                "contributions": sent,
                "scope": node["scope"],
                "source": node["source"],
            }
        )

    def on_update(self, rule: str, parameter: Tensor, before: Array, gradient: Array, after: Array,
                  state_before: Mapping[str, Any], state_after: Mapping[str, Any], options: Mapping[str, Any],
                  formula: str) -> None:  # fmt: skip
        node = self._node_of(parameter, user_frame())
        self.formulas[rule] = {"forward": formula, "adjoint": ""}
        self._add(
            {
                "kind": "update",
                "node": node,
                "rule": rule,
                "before": snapshot(before, self.limit),
                "gradient": snapshot(gradient, self.limit),
                "after": snapshot(after, self.limit),
                "state_before": self._state(state_before),
                "state_after": self._state(state_after),
                "options": {key: _option(value) for key, value in options.items()},
                "formula": rule,
                "scope": self._scope(),
                "source": self.sources.at(user_frame()),
            }
        )

    def on_draw(self, purpose: str, value: Array) -> None:
        self._add(
            {
                "kind": "draw",
                "purpose": purpose,
                "value": snapshot(value, self.limit),
                "scope": self._scope(),
                "source": self.sources.at(user_frame()),
            }
        )

    # ── values and their names ────────────────────────────────────────────────────────────────

    def _add(self, event: Event) -> None:
        event.setdefault("scope", self._scope())
        event.setdefault("source", None)
        self.found.append(event)

    def _known(self, x: Tensor) -> int | None:
        key = self._ids.get(id(x))
        return key if key is not None or x.creator is None else self._ids.get((id(x.creator), x.index))

    def _node_of(self, x: Tensor, frame: FrameType | None = None) -> int:
        """The number of the node of a value; a value never seen before becomes a leaf."""
        key = self._known(x)
        if key is not None:
            return key
        op = "Parameter" if isinstance(x, Parameter) else ("Leaf" if x.requires_grad else "Constant")
        event = self._value_event(x, op, [], frame)
        event |= {"attrs": {}, "formula": None, "call": None, "output": 0}
        if not event["name"]:
            event["name"] = parameter_name(x, self._around()) or variable_name(x, frame)
        return self._enter(event, x)

    def _value_event(self, x: Tensor, op: str, inputs: list[int], frame: FrameType | None) -> Event:
        return {
            "kind": "node",
            "op": op,
            "inputs": inputs,
            "value": snapshot(x.array, self.limit),
            "device": str(x.device),
            "name": self._wanted_names.get(id(x), ""),
            "scope": self._scope(),
            "source": self.sources.at(frame),
            "requires_grad": bool(x.requires_grad),
        }

    def _enter(self, event: Event, x: Tensor) -> int:
        number = next(self._numbers)
        event = {"kind": "node", "id": number, **event}
        self._ids[id(x)] = number
        if x.creator is not None:
            self._ids[(id(x.creator), x.index)] = number
        self._held.append(x)
        self._nodes[number] = event
        self.found.append(event)
        return number

    def _scope(self) -> list[str]:
        return [name for name, _ in self._scopes]

    def _around(self) -> list[Any]:
        return [part for _, part in self._scopes]

    def _name_of(self, x: Tensor, position: int) -> str:
        key = self._known(x)
        name = self._nodes[key]["name"] if key is not None else self._wanted_names.get(id(x), "")
        return name or variable_name(x, user_frame()) or f"input {position}"

    def _remember_formula(self, function: Function) -> None:
        if function.name not in self.formulas:
            self.formulas[function.name] = {"forward": function.formula, "adjoint": function.adjoint}

    def _state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: snapshot(value, self.limit) if hasattr(value, "shape") else plain(value)
            for key, value in state.items()
        }


_OUTSIDE = {
    "zh": "有梯度流过录制开始之前的运算，它们不在图中。",
    "en": "A gradient passed an operation from before the recording; it is not in the graph.",
}


def _option(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_option(v) for v in value]
    return value if value is None or isinstance(value, str) else plain(value)


@contextmanager
def record(limit: int = LIMIT, inside: bool = False) -> Iterator[Tape]:
    """Record everything that this thread's engine does inside the block.

    Arguments:
        limit: arrays of up to so many elements are stored whole, of larger ones a summary.
        inside: record fused operations (a recurrent layer over a sequence, attention, softmax-cross-entropy, layer
            norm) as the plain operations they are made of, so that one can step inside; otherwise as one operation.

    >>> import minidl as dl
    >>> w = dl.tensor([2.0], requires_grad=True)
    >>> with record() as tape:
    ...     loss = (w * 3.0).sum()
    ...     loss.backward()
    >>> [event["op"] for event in tape.trace().nodes]
    ['Leaf', 'Constant', 'Mul', 'Sum']
    """
    listening = Tape(limit=limit, inside=inside)
    with set_recorder(listening):
        yield listening
