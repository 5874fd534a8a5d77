"""Snapshots: a tensor's numbers as JSON, whole where they are few, otherwise what can be said of them in short."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array

Snapshot: TypeAlias = dict[str, Any]
"""{"shape", "dtype", "data"} or {"shape", "dtype", "stats", "corner", "histogram"}."""

CORNER = 8
BINS = 16
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_host(array: Array) -> Array:
    """The numbers in the host's memory."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get() if hasattr(array, "get") else array)


def plain(value: Any) -> Any:
    """A NumPy number as JSON has it: the shortest decimal that means the same, words where JSON has no number."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, complex | np.complexfloating):
        return str(complex(value))
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def number(value: Any) -> Any:
    """The number that `plain` wrote."""
    return _WORDS.get(value, value) if isinstance(value, str) else value


def snapshot(array: Array, limit: int) -> Snapshot:
    """The numbers of an array as JSON.

    Arguments:
        array: of any shape, on any device; it is read, not kept.
        limit: up to so many elements are stored whole. Of larger arrays it stores the least, the largest, the mean, the
            standard deviation, the norm and how many are not finite; the first 8×8 of the last two dimensions; and
            16 bins of a histogram of the finite ones.
    """
    x = to_host(array)
    facts: Snapshot = {"shape": list(x.shape), "dtype": x.dtype.name}
    if x.size <= limit:
        facts["data"] = [plain(v) for v in x.reshape(-1)]
        return facts
    real = np.abs(x) if x.dtype.kind == "c" else x
    finite = real[np.isfinite(real)].astype(np.float64)
    few = finite if finite.size else np.zeros(1)
    facts["stats"] = {
        "min": plain(few.min()),
        "max": plain(few.max()),
        "mean": plain(few.mean()),
        "std": plain(few.std()),
        "norm": plain(np.sqrt((few * few).sum())),
        "not_finite": int(x.size - finite.size),
    }
    plane = np.atleast_2d(x[(0,) * max(x.ndim - 2, 0)])[:CORNER, :CORNER]
    facts["corner"] = [[plain(v) for v in row] for row in plane]
    counts, edges = np.histogram(few, BINS)
    facts["histogram"] = {"edges": [plain(e) for e in edges], "counts": [int(c) for c in counts]}
    return facts


def array_of(taken: Snapshot) -> Array | None:
    """The array that a snapshot was taken of, None where it was too large to be stored whole."""
    if "data" not in taken:
        return None
    dtype = np.dtype(taken["dtype"])
    return np.array([number(v) for v in taken["data"]], dtype=dtype).reshape(taken["shape"])
