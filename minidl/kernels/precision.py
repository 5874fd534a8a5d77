"""Whether float32 products may round their factors, which tensor cores then multiply many times faster.

    float32    24 bits of fraction, range to 3·10³⁸    exact: every product and sum rounded once
    tf32       11 bits, the same range                 `allow_tf32`
    bfloat16    8 bits, the same range                 `autocast("cuda", dtype=bfloat16)`

Arrays stay float32, and so do the sums: only what is multiplied is rounded, on its way into the tensor cores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array, array_module


class _Local(threading.local):
    allowed: bool = False


_local = _Local()


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
    return _local.allowed


@contextmanager
def bfloat16_factors() -> Iterator[None]:
    """Let the same products round their factors to bfloat16; a GPU before compute 8.0 computes them in float32."""
    before = getattr(_local, "bfloat16", False)
    _local.bfloat16 = True
    try:
        yield
    finally:
        _local.bfloat16 = before


def tensor_core_factors(x: Array) -> str | None:
    """What tensor cores make of factors of x's dtype: "float16", "bfloat16" or "tf32"; None where they stay exact."""
    if x.dtype == np.float16:
        return "float16"
    rounded = "bfloat16" if getattr(_local, "bfloat16", False) else "tf32" if tf32_is_allowed() else None
    return rounded if rounded and x.dtype == np.float32 and _can_round(array_module(x)) else None


def _can_round(xp: Any) -> bool:
    return xp is np or int(xp.cuda.Device().compute_capability) >= 80
