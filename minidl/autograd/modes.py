"""What the tape does on this thread: does it write, does somebody listen, does it look for nan?"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from minidl.autograd.recorder import Recorder

P = ParamSpec("P")
R = TypeVar("R")


class TapeState(threading.local):
    """The tape's switches; each thread has its own."""

    grad_enabled: bool = True
    anomaly: bool = False
    recorder: Recorder | None = None
    autocast: tuple[str, Any] | None = None
    """(device type, lower dtype) inside `autocast`."""


tape = TapeState()


class _Switch:
    """Set one switch of the tape for a `with` block or a decorated function, and put it back whatever happens."""

    field: str

    def __init__(self, value: Any) -> None:
        self.value = value
        self.before: list[Any] = []

    def __enter__(self) -> Any:
        self.before.append(getattr(tape, self.field))
        setattr(tape, self.field, self.value)
        return self.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        setattr(tape, self.field, self.before.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            before = getattr(tape, self.field)
            setattr(tape, self.field, self.value)
            try:
                return function(*args, **kwargs)
            finally:
                setattr(tape, self.field, before)

        return inside


class set_grad_enabled(_Switch):
    """Write the tape, or do not, inside a `with` block."""

    field = "grad_enabled"


class no_grad(set_grad_enabled):
    """Compute without writing the tape: results require no gradient. A `with` block or a decorator."""

    def __init__(self) -> None:
        super().__init__(False)


class inference_mode(set_grad_enabled):
    """As `no_grad`: there is nothing further to save here. `inference_mode(False)` writes the tape."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class enable_grad(set_grad_enabled):
    """Write the tape again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class set_recorder(_Switch):
    """Let a recorder listen to the tape inside a `with` block, or nobody (None)."""

    field = "recorder"


class detect_anomaly(_Switch):
    """Raise at the first operation whose gradient has a nan, naming the operation."""

    field = "anomaly"

    def __init__(self, mode: bool = True) -> None:
        super().__init__(mode)


def is_grad_enabled() -> bool:
    """True where operations are written on the tape."""
    return tape.grad_enabled
