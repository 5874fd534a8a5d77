"""Numbers as a reader sees them: in prose, in a terminal, in a table of coloured cells."""

from __future__ import annotations

import html
import math
import re
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.tensor import Tensor


def array_of(value: Any) -> Array:
    """A tensor, array, list or number as a NumPy array."""
    if isinstance(value, Tensor):
        value = value.detach().array
    return np.asarray(value if isinstance(value, np.ndarray) or not hasattr(value, "get") else value.get())


def number(value: Any, spec: str = "") -> str:
    """One number with a true minus sign; without a format at most four digits after the point, none for an integer."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if not spec:
        whole = isinstance(value, int | np.integer) or float(value).is_integer()
        spec = "d" if whole and abs(value) < 1e15 else (".4f" if 1e-3 <= abs(value) < 1e5 else ".3g")
        value = int(value) if spec == "d" else value
    elif spec.endswith("d"):
        value = round(float(value))
    text = format(value, spec)
    if not text.strip("-0."):
        text = text.replace("-", "")  # no negative zero
    if math.isinf(float(value)):
        text = "∞" if value > 0 else "-∞"
    text = re.sub(r"e([-+]?)0*(\d+)$", lambda match: f"e{match[1].strip('+')}{match[2]}", text)
    return text.replace("-", "−")


def formatted(value: Any, spec: str = "") -> str:
    """A value in a sentence: 0.5374, (0.5374, 0.5744), [[37, 47], [67, 77]], or text as it is."""
    if isinstance(value, str):
        return format(value, spec)
    if isinstance(value, tuple | list):
        alone = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return "(" + ", ".join(formatted(item, spec) for item in value) + alone + ")"
    array = array_of(value)
    if array.ndim == 0:
        return number(array.item(), spec)
    if array.ndim == 1:
        return "(" + ", ".join(number(item, spec) for item in array.tolist()) + ")"
    return "[" + ", ".join(_nested(row, spec) for row in array) + "]"


def _nested(array: Array, spec: str) -> str:
    if array.ndim == 1:
        return "[" + ", ".join(number(item, spec) for item in array.tolist()) + "]"
    return "[" + ", ".join(_nested(row, spec) for row in array) + "]"


def aligned(value: Any, digits: int = 4, indent: str = "  ") -> str:
    """A value as lines of a terminal, columns aligned; more than two axes plane by plane."""
    array = array_of(value)
    if array.ndim < 2:
        array = array.reshape(1, -1)
    if array.ndim > 2:
        planes = array.reshape(-1, *array.shape[-2:])
        return "\n".join(f"{indent}[{i}]\n{aligned(plane, digits, indent)}" for i, plane in enumerate(planes))
    rows = [[_digits(item, digits) for item in row] for row in array.tolist()]
    width = max((len(item) for row in rows for item in row), default=0)
    return "\n".join(indent + "  ".join(item.rjust(width) for item in row) for row in rows)


def cells(value: Any, digits: int = 4) -> str:
    """A value as an HTML table, each number on a tint of its sign and size."""
    array = array_of(value)
    if array.ndim < 2:
        array = array.reshape(1, -1)
    if array.ndim > 2:
        planes = array.reshape(-1, *array.shape[-2:])
        return "".join(cells(plane, digits) for plane in planes)
    rows = []
    largest = float(np.nanmax(np.abs(array[np.isfinite(array)]))) if _has_numbers(array) and array.size > 1 else 0.0
    for row in array.tolist():
        rows.append("<tr>" + "".join(_cell(item, largest, digits) for item in row) + "</tr>")
    return f'<table class="numbers">{"".join(rows)}</table>'


def _has_numbers(array: Array) -> bool:
    return bool(array.dtype.kind in "fiu" and array.size and np.isfinite(array).any())


def _cell(item: Any, largest: float, digits: int) -> str:
    text = html.escape(_digits(item, digits))
    if isinstance(item, str | bool) or not largest or not np.isfinite(item) or item == 0:
        return f"<td>{text}</td>"
    share = round(100 * min(1.0, abs(item) / largest))
    return f'<td class="{"plus" if item > 0 else "minus"}" style="--share:{share}%">{text}</td>'


def _digits(item: Any, digits: int) -> str:
    if isinstance(item, float) and not item.is_integer() and 10**-digits <= abs(item) < 1e5:
        return number(item, f".{digits}f")
    return number(item)
