"""Planting faults: how one is described, entered and brought about."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from forms import OPERATIONS

from minidl.autograd import Function
from minidl.ops.registry import Operation

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], Operation | None]
SECOND = "second_derivative hessian_symmetric third_derivative"


@dataclass(frozen=True)
class Fault:
    """A fault, the operation (or form of one) on which it must be found, and how to bring it about.

    `plant` patches what it likes, and may return another operation to check in place of the registered one.
    """

    name: str
    operation: str
    plant: Plant
    only: frozenset[str] = frozenset()


FAULTS: list[Fault] = []


def fault(name: str, operation: str, only: str = "") -> Callable[[Plant], Plant]:
    """Enter a fault; `only` names the checks that may find it, where the point is that the others cannot."""

    def enter(plant: Plant) -> Plant:
        FAULTS.append(Fault(name, operation, plant, frozenset(only.split())))
        return plant

    return enter


def rule(name: str, operation: str, owner: type, method: str = "backward", only: str = "") -> Any:
    """A fault that replaces one method of an operation by the decorated function."""

    def enter(body: Any) -> Any:
        @fault(name, operation, only)
        def plant(patch: Patch) -> None:
            patch.setattr(owner, method, body)
            if method == "backward":
                patch.setattr(owner, "on_arrays", False)  # the faulty rules are written for tensors

        return body

    return enter


def instead(name: str, operation: str, only: str = "") -> Any:
    """A fault that puts another function in the place of the public one."""

    def enter(body: Any) -> Any:
        @fault(name, operation, only)
        def plant(patch: Patch) -> Operation:
            return replaced(operation, body)

        return body

    return enter


def around(name: str, operation: str, function: Any, only: str = "") -> Any:
    """A fault in a function that operations call: the decorated one gets the real one and its arguments by name."""

    def enter(body: Any) -> Any:
        @fault(name, operation, only)
        def plant(patch: Patch) -> None:
            def call(*positional: Any, **named: Any) -> Any:
                return body(function, **inspect.signature(function).bind(*positional, **named).arguments)

            everywhere(patch, function, call)

        return body

    return enter


def line(name: str, operation: str, function: Any, right: str, wrong: str, only: str = "") -> None:
    """A fault in one line of a function or method: `right` is written as `wrong`."""

    @fault(name, operation, only)
    def plant(patch: Patch) -> Operation | None:
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(right) == 1, f"{name}: {function.__qualname__} has no longer one line {right!r} to spoil"
        definition = "def " + source.replace(right, wrong).partition("def ")[2]
        found: dict[str, Any] = {}
        its_globals = inspect.unwrap(function).__globals__  # what autocast wraps has those of the wrapper
        exec(compile(definition, f"<{name}>", "exec"), its_globals, found)
        spoiled = found[function.__name__]
        if "." in function.__qualname__:
            owner, method = function.__qualname__.split(".")
            patch.setattr(its_globals[owner], method, spoiled)
        else:
            everywhere(patch, function, spoiled)
        return replaced(operation, spoiled) if OPERATIONS[operation].call is function else None


def everywhere(patch: Patch, function: Any, other: Any) -> None:
    """Put another function in place of one, under every name that the engine knows it by."""
    for module in [m for key, m in sys.modules.items() if key.partition(".")[0] == "minidl"]:
        for name, value in list(vars(module).items()):
            if value is function:
                patch.setattr(module, name, other)


def replaced(operation: str, call: Any) -> Operation:
    """An operation with another function, described as before: only what it does is at fault."""
    call.__doc__ = OPERATIONS[operation].call.__doc__
    return dataclasses.replace(OPERATIONS[operation], call=call)


class _Cut(Function):
    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, gy: Any, needs: Any) -> Any:
        return (gy.detach(),)


def first_order_only(x: Any) -> Any:
    """The identity, whose gradient is cut off the tape: right once, wrong twice."""
    return _Cut()(x)
