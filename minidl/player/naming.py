"""What values and modules are called: in the caller's code, and in the modules around them."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from minidl.nn import Module

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def module_name(module: Module, around: Sequence[Any]) -> str:
    """What a module is called in the one around it, with its class; the class alone outside of any.

    Arguments:
        around: modules and other parts that are being run, the outermost first.
    """
    for outer in reversed(around):
        if isinstance(outer, Module):
            for name, inner in outer.named_modules():
                if inner is module and name:
                    return f"{name}: {type(module).__name__}"
    return type(module).__name__


def parameter_name(x: Tensor, around: Sequence[Any]) -> str:
    """What a parameter or buffer is called in the innermost module that has it, "" where none does."""
    for outer in reversed(around):
        if isinstance(outer, Module):
            for name, held in [*outer.named_parameters(), *outer.named_buffers()]:
                if held is x:
                    return name
    return ""


def variable_name(x: Tensor, frame: FrameType | None) -> str:
    """The shortest of the names by which the caller's code knows a value, "" where it has none."""
    names = [name for name, value in (frame.f_locals.items() if frame is not None else ()) if value is x]
    return min((name for name in names if not name.startswith("_")), key=len, default="")
