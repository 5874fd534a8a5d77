"""What compiled kernels are given: C-contiguous, writable float32 or float64 arrays, so each compiles once a dtype."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minidl.backend import Array

_scratch = threading.local()


def is_compiled(*arrays: Array | None) -> bool:
    """True if all arrays have one dtype that the compiled kernels are made for: float32 or float64."""
    dtypes = {array.dtype for array in arrays if array is not None}
    return len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}


def dense(x: Array) -> Array:
    """x itself if a kernel can read it as it lies, otherwise a contiguous copy."""
    flags = x.flags
    if flags.c_contiguous and flags.writeable and flags.aligned and x.dtype.isnative:
        return x
    return np.array(x, dtype=x.dtype.newbyteorder("="), order="C")


def scratch(name: str, size: int, dtype: Any = np.float32) -> Array:
    """A flat array of at least `size` elements that this thread keeps under this name; its contents are undefined."""
    buffers: dict[tuple[str, Any], Array] = _scratch.__dict__.setdefault("buffers", {})
    held = buffers.get((name, dtype))
    if held is None or held.size < size:
        held = np.empty(size, dtype)
        buffers[name, dtype] = held
    return held
