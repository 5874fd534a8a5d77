"""Listening to the tape: what ran, which gradients flowed, what was updated and drawn, and from which line.

With no recorder the engine pays one `is None` an operation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidl.autograd.modes import set_recorder
from minidl.backend import Array

if TYPE_CHECKING:
    from minidl.autograd.function import Function
    from minidl.tensor import Tensor

PACKAGE = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The line outside minidl that made something happen."""

    file: str
    line: int


def source_line() -> SourceLine | None:
    """The innermost line of code that is not minidl's own."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return SourceLine(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An operation ran."""

    function: Function
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    source: SourceLine | None


@dataclass(frozen=True, slots=True)
class GradientEvent:
    """A gradient passed an operation: `upstream` came in, `contributions` went to its inputs."""

    function: Function
    upstream: Any
    contributions: tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """An optimizer changed a parameter."""

    rule: str
    parameter: Tensor
    before: Array
    gradient: Array
    after: Array
    source: SourceLine | None


@dataclass(frozen=True, slots=True)
class DrawEvent:
    """Random numbers were drawn."""

    purpose: str
    value: Array
    source: SourceLine | None


@dataclass
class Recorder:
    """The events of a `with record() as events:` block, in order.

    Subclass it and override the `on_…` methods to listen in another way.
    """

    events: list[NodeEvent | GradientEvent | UpdateEvent | DrawEvent] = field(default_factory=list)

    def on_node(self, function: Function, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        """An operation ran."""
        self.events.append(NodeEvent(function, inputs, outputs, source_line()))

    def on_gradient(self, function: Function, upstream: Any, contributions: tuple[Tensor | None, ...]) -> None:
        """A gradient passed an operation."""
        self.events.append(GradientEvent(function, upstream, contributions))

    def on_update(self, rule: str, parameter: Tensor, before: Array, gradient: Array, after: Array) -> None:
        """An optimizer changed a parameter."""
        self.events.append(UpdateEvent(rule, parameter, before, gradient, after, source_line()))

    def on_draw(self, purpose: str, value: Array) -> None:
        """Random numbers were drawn."""
        self.events.append(DrawEvent(purpose, value, source_line()))

    @property
    def operations(self) -> list[str]:
        """The names of the operations that ran, in order."""
        return [event.function.name for event in self.events if isinstance(event, NodeEvent)]


@contextmanager
def record(recorder: Recorder | None = None) -> Iterator[Recorder]:
    """Listen to everything this thread's tape does inside the block.

    >>> import minidl as dl
    >>> with record() as heard:
    ...     _ = dl.tensor([1.0, 2.0]).exp().sum()
    >>> heard.operations
    ['Exp', 'Sum']
    """
    recorder = Recorder() if recorder is None else recorder
    with set_recorder(recorder):
        yield recorder
