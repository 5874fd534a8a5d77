"""Whether float32 products may round their factors to 10 bits (tf32), which tensor cores multiply many times faster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array, array_module

_local = threading.local()


@contextmanager
def allow_tf32(allowed: bool = True) -> Iterator[None]:
    """Let convolutions and products of float32 matrices on a GPU use tf32 inside the `with` block, in this thread.

    Sums stay float32; relative errors grow from about 1e-7 to about 1e-3. Float64 and float16 are not concerned, nor is
    a GPU before compute 8.0, which has no tf32.
    """
    before = tf32_is_allowed()
    _local.allowed = allowed
    try:
        yield
    finally:
        _local.allowed = before


def tf32_is_allowed() -> bool:
    """Whether tf32 may be used in this thread: not unless `allow_tf32` says so."""
    allowed: bool = getattr(_local, "allowed", False)
    return allowed


def wants_tensor_cores(x: Array) -> bool:
    """Whether sums of products of x's dtype go to the tensor cores: float16 always, float32 where tf32 is allowed."""
    if x.dtype == np.float16:
        return True
    return x.dtype == np.float32 and tf32_is_allowed() and _has_tf32(array_module(x))


def _has_tf32(xp: Any) -> bool:
    return xp is np or int(xp.cuda.Device().compute_capability) >= 80
