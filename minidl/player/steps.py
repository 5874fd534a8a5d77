"""Steps: the events of a trace as what a reader goes through, with the numbers plugged in and the groups they form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.player import plugging_arrays, plugging_layers  # noqa: F401  # they fill the table of rules
from minidl.player.expression import Expression
from minidl.player.plugging import RULES, Call, NotWhole
from minidl.player.plugging_updates import UPDATES, Line, Update
from minidl.player.snapshot import array_of, number
from minidl.player.trace import Event, Trace

Kind: TypeAlias = Literal["start", "forward", "backward", "update", "draw", "check", "note"]
KINDS_OF_STEPS = ("start", "forward", "backward", "update", "draw", "check", "note")
LEVELS = ("op", "line", "layer", "time", "epoch")
"""How much one key press plays: an operation, a line of code, all of a layer, a time step, an epoch."""

ELEMENTS = 64
"""Of up to so many elements of an array the plugged formula is kept."""
TEXT_LIMIT = 8_000
"""Characters of JSON that the plugged formulas of one step may take; the first element is always kept."""


@dataclass(frozen=True)
class Plugged:
    """One element's formula with the numbers in it, and the value the engine recorded."""

    place: int
    expression: Expression
    recorded: float


@dataclass(frozen=True)
class Step:
    """One thing that happened.

    Fields:
        kind: what; "start" stands before everything.
        event: the position of its event in the trace, -1 for the start.
        outputs: ids of the values it made, or of the one it is about.
        inputs: ids of the values it used.
        groups: for each of `LEVELS`, the number of the group it belongs to.
        line: the file's number and the line of code.
        plugged: forward, the formula of each kept output element.
        sent: backward, for each input the formulas of its contribution, None where it got none.
        lines: update, for each kept element the equations of the rule.
    """

    kind: Kind
    event: int
    outputs: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    scope: tuple[str, ...] = ()
    groups: tuple[int, ...] = (0,) * len(LEVELS)
    plugged: tuple[Plugged, ...] = ()
    sent: tuple[tuple[Plugged, ...] | None, ...] = ()
    line: tuple[int, int] | None = None
    lines: tuple[tuple[int, tuple[Line, ...]], ...] = ()


@dataclass
class Calls:
    """The recorded operations of a trace as arrays, by the id of their first output."""

    trace: Trace
    nodes: list[Event] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = self.trace.nodes
        self._values: list[Array | None] = [array_of(node["value"]) for node in self.nodes]

    def outputs_of(self, first: int) -> list[int]:
        """The ids of all outputs of the operation whose first output is given."""
        number_of = self.nodes[first]["call"]
        ids = [first]
        while ids[-1] + 1 < len(self.nodes) and self.nodes[ids[-1] + 1]["call"] == number_of:
            ids.append(ids[-1] + 1)
        return ids

    def updated(self, node: int, after: Array | None) -> None:
        """From here on a parameter has another value."""
        self._values[node] = after

    def call(self, first: int, upstream: Sequence[Array | None] = ()) -> Call:
        """The operation as it ran, its inputs as they are now."""
        node = self.nodes[first]
        inputs = [self._values[k] for k in node["inputs"]]
        outputs = [self._values[k] for k in self.outputs_of(first)]
        if "as" in node["attrs"]:  # a tidied trace shows them in other shapes than those of the computation
            inputs = [_reshaped(x, shape) for x, shape in zip(inputs, node["attrs"]["as"], strict=True)]
            outputs = [_reshaped(outputs[0], node["attrs"]["out"]), *outputs[1:]]
        return Call(node["op"], node["attrs"], tuple(inputs), tuple(outputs), tuple(upstream))


def _reshaped(array: Array | None, shape: list[int]) -> Array | None:
    return None if array is None else array.reshape(shape)


def elements(size: int) -> Iterator[int]:
    """The places whose formula is kept: all of a small array, evenly spread ones of a large one."""
    if size <= ELEMENTS:
        yield from range(size)
    else:
        yield from sorted({int(k) for k in np.linspace(0, size - 1, ELEMENTS)})


def _kept(size: int, plug: Callable[[int], Expression], recorded: Array) -> tuple[Plugged, ...]:
    """The formulas of the kept elements, until they grow too long; none where a number is not stored."""
    found: list[Plugged] = []
    length = 0
    for place in elements(size):
        try:
            expression = plug(place)
        except NotWhole:
            return ()
        length += len(json.dumps(expression.to_json()))
        if found and length > TEXT_LIMIT:
            break
        found.append(Plugged(place, expression, float(np.real(recorded.reshape(-1)[place]))))
    return tuple(found)


def plug_forward(call: Call) -> tuple[Plugged, ...]:
    """The formula of the first output's elements with numbers, empty for operations that have no rule."""
    rule, y = RULES.get(call.op), call.outputs[0]
    if rule is None or y is None:
        return ()
    return _kept(y.size, lambda place: rule.forward(call, _index(place, y.shape)), y)


def plug_backward(call: Call, k: int, contribution: Array | None) -> tuple[Plugged, ...]:
    """The formula of the elements of what input k receives."""
    rule = RULES.get(call.op)
    if rule is None or rule.backward is None or contribution is None:
        return ()
    back = rule.backward
    return _kept(contribution.size, lambda place: back(call, k, _index(place, contribution.shape)), contribution)


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([int(i) for i in np.unravel_index(place, shape)]) if shape else ()


def plug_update(event: Event) -> tuple[tuple[int, tuple[Line, ...]], ...]:
    """The equations of an update for the kept elements, empty for rules that are not in the table."""
    rule = UPDATES.get(event["rule"])
    arrays = [array_of(event[key]) for key in ("before", "gradient", "after")]
    if rule is None or any(array is None for array in arrays):
        return ()
    old, new = ({k: _remembered(v) for k, v in event[key].items()} for key in ("state_before", "state_after"))
    before, gradient, after = arrays
    assert before is not None
    assert gradient is not None
    assert after is not None
    return tuple(
        [
            (place, tuple(rule(Update(before, gradient, after, old, new, event["options"], place))))
            for place in elements(after.size)
        ]
    )


def _remembered(value: Any) -> Any:
    return array_of(value) if isinstance(value, dict) else number(value)


# ── the steps of a trace ──────────────────────────────────────────────────────────────────────────


def steps_of(trace: Trace) -> list[Step]:
    """What a reader goes through: the start with everything given, then one step for each event that is no leaf."""
    calls = Calls(trace)
    steps = [Step("start", -1)]
    for position, event in enumerate(trace.events):
        made = _step(calls, position, event)
        if made is not None:
            at = event["source"]
            steps.append(made if at is None else replace(made, line=(at["file"], at["line"])))
    return _grouped(steps)


def _step(calls: Calls, position: int, event: Event) -> Step | None:
    kind, scope = event["kind"], tuple(event["scope"])
    if kind == "node":
        if event["call"] is None or event["output"]:
            return None
        first = event["id"]
        return Step("forward", position, tuple(calls.outputs_of(first)), tuple(event["inputs"]), scope,
                    plugged=plug_forward(calls.call(first)))  # fmt: skip
    if kind == "grad":
        first = event["node"]
        call = calls.call(first, [array_of(gy) for gy in event["upstream"]])
        sent = tuple(
            [
                None if part is None else plug_backward(call, k, array_of(part["value"]))
                for k, part in enumerate(event["contributions"])
            ]
        )
        return Step("backward", position, tuple(calls.outputs_of(first)), tuple(calls.nodes[first]["inputs"]), scope,
                    sent=sent)  # fmt: skip
    if kind == "update":
        calls.updated(event["node"], array_of(event["after"]))
        return Step("update", position, (event["node"],), (), scope, lines=plug_update(event))
    if kind in ("draw", "check", "note"):
        return Step(kind, position, (), (), scope)
    return None  # a landscape is a picture beside the updates, not a step of its own


_TIME = re.compile(r"^(t|time|step|时刻|步)\s*[=＝ ]", re.IGNORECASE)
_EPOCH = re.compile(r"^(epoch|轮|第.*轮)", re.IGNORECASE)


def _upto(scope: tuple[str, ...], pattern: re.Pattern[str]) -> tuple[str, ...] | None:
    """The scope down to the last part that matches, None where none does."""
    at = [k for k, part in enumerate(scope) if pattern.search(part)]
    return scope[: at[-1] + 1] if at else None


def _keys(step: Step) -> tuple[Any, ...]:
    """What must stay the same for the next step to belong to the same group, for each level but the first."""
    time, epoch = _upto(step.scope, _TIME), _upto(step.scope, _EPOCH)
    coarse = step.scope[:1] if time is None else time
    layer = (step.kind, step.scope)
    return (layer, step.line), layer, (step.kind, coarse), (step.kind if epoch is None else None, epoch)


def _grouped(steps: list[Step]) -> list[Step]:
    counters, before = [0] * len(LEVELS), None
    grouped = []
    for step in steps:
        keys = _keys(step)
        if before is not None:
            counters[0] += 1
            for level, (old, new) in enumerate(zip(before, keys, strict=True), 1):
                counters[level] += old != new
        before = keys
        grouped.append(replace(step, groups=tuple(counters)))
    return grouped


def level_name(steps: Sequence[Step], level: int) -> str:
    """What a level is: where there are no epochs, the coarsest is a whole pass, forward or backward."""
    epochs = any(_upto(step.scope, _EPOCH) is not None for step in steps)
    return "pass" if LEVELS[level] == "epoch" and not epochs else LEVELS[level]


def levels_of(steps: Sequence[Step]) -> list[int]:
    """The levels that differ from the finer ones: those worth offering."""
    counts = [len({step.groups[level] for step in steps}) for level in range(len(LEVELS))]
    return [level for level in range(len(LEVELS)) if level == 0 or 2 < counts[level] < min(counts[:level])]
