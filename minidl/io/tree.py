"""Nested state as JSON plus arrays: what state_dict() returns, taken apart for a file and put together again."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array

TAGS = ("$array", "$tuple", "$dict", "$complex")


def take_apart(value: Any, path: str, arrays: dict[str, Array]) -> Any:
    """JSON for a value made of dicts, lists, tuples, numbers, texts, tensors and arrays.

    Arguments:
        value: what to take apart.
        path: the name under which an array in it is filed; parts of a dict or list add `.key`.
        arrays: receives the arrays, by name.

    Raises:
        TypeError: something in it is none of these; the message says where.
    """
    if isinstance(value, Variable):
        value = value.array
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()
    if isinstance(value, complex):
        return {"$complex": [value.real, value.imag]}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        while path in arrays:  # {"a.b": x, "a": {"b": y}} asks for one name twice
            path += "'"
        arrays[path] = value
        return {"$array": path}
    if isinstance(value, list | tuple):
        items = [take_apart(item, f"{path}.{i}", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, dict):
        if all(isinstance(key, str) and key not in TAGS for key in value):
            return {key: take_apart(item, f"{path}.{key}", arrays) for key, item in value.items()}
        if all(isinstance(key, str | int | float | bool | None) for key in value):
            return {"$dict": [[key, take_apart(item, f"{path}.{key}", arrays)] for key, item in value.items()]}
    raise TypeError(
        f"checkpoint: {path} is a {type(value).__name__}; only numbers, texts, tensors and lists, tuples and dicts of "
        f"them can be stored"
    )


def put_together(plain: Any, arrays: dict[str, Array]) -> Any:
    """The value that `take_apart` made this JSON of."""
    if isinstance(plain, list):
        return [put_together(item, arrays) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "$array" in plain:
        return arrays[plain["$array"]]
    if "$tuple" in plain:
        return tuple([put_together(item, arrays) for item in plain["$tuple"]])
    if "$dict" in plain:
        return {key: put_together(item, arrays) for key, item in plain["$dict"]}
    if "$complex" in plain:
        return complex(*plain["$complex"])
    return {key: put_together(item, arrays) for key, item in plain.items()}
