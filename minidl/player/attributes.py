"""What a trace keeps of an operation besides its arrays: stride, axis, labels, and where moved elements came from."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function
from minidl.backend import array_module
from minidl.ops.joining import PadZeros
from minidl.player.snapshot import plain, to_host

if TYPE_CHECKING:
    from minidl.tensor import Tensor

MOVERS = (
    "BroadcastTo", "Cast", "Cat", "Clone", "Embedding", "Flip", "GetItem", "Narrow", "PadZeros", "Permute", "Reshape",
    "TakeAlong", "ToDevice", "Triangle",
)  # fmt: skip
"""Operations that move elements and compute nothing: run on element numbers instead, they say what came from where."""


def attributes(
    function: Function, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], limit: int
) -> dict[str, Any]:
    """The settings of an operation as JSON: its slots, its masks, and for movers where each element came from.

    Arguments:
        limit: arrays of more elements are left out.
    """
    found: dict[str, Any] = {}
    for cls in type(function).__mro__:
        if cls is Function or not issubclass(cls, Function):
            continue
        for slot in cls.__dict__.get("__slots__", ()):
            value = _jsonable(getattr(function, slot, None), limit)
            if value is not None:
                found[slot] = value
    if function.name == "Dropout":
        found["mask"] = _jsonable(np.broadcast_to(to_host(function.buffers[0]), outputs[0].array.shape), limit)
    if function.name == "GetItem":
        found["index"] = _index_text(function.buffers[0])
    if function.name in MOVERS and outputs[0].array.size <= limit and all(x.array.size <= limit for x in inputs):
        found["picks"] = _picks(function, inputs)
    return found


def _index_text(index: Any) -> str:
    """An index as it is written: 0, 1:3 or None; … stands for an array."""

    def part(p: Any) -> str:
        if isinstance(p, slice):
            step = "" if p.step is None else f":{p.step}"
            return f"{'' if p.start is None else p.start}:{'' if p.stop is None else p.stop}{step}"
        if p is Ellipsis:
            return "..."
        return str(p) if p is None or isinstance(p, int | np.integer) else "…"

    return ", ".join(part(p) for p in (index if isinstance(index, tuple) else (index,)))


def _jsonable(value: Any, limit: int) -> Any:
    """A setting as JSON; None for what is not one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | np.generic):
        return plain(value)
    if hasattr(value, "_asdict"):
        return {key: _jsonable(v, limit) for key, v in value._asdict().items()}
    if is_dataclass(value):
        return {f.name: _jsonable(getattr(value, f.name), limit) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [_jsonable(v, limit) for v in value]
    if hasattr(value, "reshape"):
        return [plain(v) for v in to_host(value).reshape(-1)] if value.size <= limit else None
    return None


def _picks(function: Function, inputs: tuple[Tensor, ...]) -> list[int]:
    """For each output element its place in the inputs laid end to end, −1 where it came from none."""
    numbered, first = [], 1
    for x in inputs:
        xp = array_module(x.array)  # indices on a GPU pick from numbers on the GPU
        numbered.append(xp.arange(first, first + x.array.size, dtype=np.int64).reshape(x.array.shape))
        first += x.array.size
    if function.name in ("Cast", "ToDevice", "Clone"):
        return [int(i) for i in to_host(numbered[0]).reshape(-1) - 1]
    mover = PadZeros(function.widths) if isinstance(function, PadZeros) else function
    return [int(i) for i in to_host(mover.forward(*numbered)).reshape(-1) - 1]
