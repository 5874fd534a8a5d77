"""Listening to the tape: what ran, which gradients flowed, what was updated and drawn, and from which line.

With no recorder the engine pays one `is None` an operation, a module call and an optimizer step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from minidl.autograd.modes import set_recorder, tape
from minidl.backend import Array

if TYPE_CHECKING:
    from minidl.autograd.function import Function
    from minidl.tensor import Tensor

PACKAGE = str(Path(__file__).resolve().parent.parent)
LESSONS = str(Path(PACKAGE, "lessons"))


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The line outside minidl that made something happen."""

    file: str
    line: int


def user_frame() -> FrameType | None:
    """The innermost frame that does not run minidl's own code; a lesson is its reader's code wherever it is kept."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) or file.startswith(LESSONS):
            return frame
        frame = frame.f_back
    return None


def source_line() -> SourceLine | None:
    """The innermost line of code that is not minidl's own."""
    frame = user_frame()
    return None if frame is None else SourceLine(frame.f_code.co_filename, frame.f_lineno)


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An operation ran."""

    function: Function
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    source: SourceLine | None


@dataclass(frozen=True, slots=True)
class GradientEvent:
    """A gradient passed an operation: `upstream` came in, `contributions` went to its inputs.

    `accumulated` is what each input has received in all once its contribution is added; a leaf's `.grad` of earlier
    walks is counted in.
    """

    function: Function
    upstream: Any
    contributions: tuple[Tensor | None, ...]
    accumulated: tuple[Array | None, ...]


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """An optimizer changed a parameter, by the rule `formula` with these options, from one state to the next."""

    rule: str
    parameter: Tensor
    before: Array
    gradient: Array
    after: Array
    source: SourceLine | None
    state_before: Mapping[str, Any] = field(default_factory=dict)
    state_after: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    formula: str = ""


@dataclass(frozen=True, slots=True)
class DrawEvent:
    """Random numbers were drawn."""

    purpose: str
    value: Array
    source: SourceLine | None


@dataclass
class Recorder:
    """The events of a `with record() as events:` block, in order.

    Subclass it and override the `on_…` methods to listen in another way. `inside` decides what a fused operation (a
    whole sequence, attention, cross-entropy) is heard as: True, its composite step by step; False, one operation;
    None, as `use_kernels` has it.
    """

    events: list[NodeEvent | GradientEvent | UpdateEvent | DrawEvent] = field(default_factory=list)
    inside: bool | None = None

    def on_node(self, function: Function, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        """An operation ran."""
        self.events.append(NodeEvent(function, inputs, outputs, source_line()))

    def on_gradient(
        self,
        function: Function,
        upstream: Any,
        contributions: tuple[Tensor | None, ...],
        accumulated: tuple[Array | None, ...],
    ) -> None:
        """A gradient passed an operation."""
        self.events.append(GradientEvent(function, upstream, contributions, accumulated))

    def on_update(
        self,
        rule: str,
        parameter: Tensor,
        before: Array,
        gradient: Array,
        after: Array,
        state_before: Mapping[str, Any],
        state_after: Mapping[str, Any],
        options: Mapping[str, Any],
        formula: str,
    ) -> None:
        """An optimizer changed a parameter."""
        self.events.append(
            UpdateEvent(
                rule, parameter, before, gradient, after, source_line(), state_before, state_after, options, formula
            )
        )

    def on_draw(self, purpose: str, value: Array) -> None:
        """Random numbers were drawn."""
        self.events.append(DrawEvent(purpose, value, source_line()))

    def on_enter(self, part: Any) -> None:
        """A module was called, or a part of a computation with a name of its own begins."""

    def on_leave(self) -> None:
        """The part entered last is over."""

    def on_name(self, name: str, value: Tensor) -> None:
        """A value has a name."""

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


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Tell the recorder, where there is one, that what runs inside the block is a part called `name`."""
    heard = tape.recorder
    if heard is None:
        yield
        return
    heard.on_enter(name)
    try:
        yield
    finally:
        heard.on_leave()


def named(name: str, value: Tensor) -> Tensor:
    """Tell the recorder, where there is one, what a value is called; returns the value."""
    if tape.recorder is not None:
        tape.recorder.on_name(name, value)
    return value
