"""Products of matrices by cuBLAS, added up in float32; float32 factors are rounded only where that is allowed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.gpu import bfloat16
from minidl.kernels.precision import tensor_core_factors


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """See `portable.matmul`."""
    xp = array_module(a)
    inner_sizes_differ = a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]
    if xp is np or inner_sizes_differ or a.dtype != b.dtype or a.dtype not in (np.float16, np.float32):
        return portable.matmul(a, b, out)
    if out is None and min(a.ndim, b.ndim) > 1 and tensor_core_factors(a) == "bfloat16":
        return bfloat16.matmul(a, b)
    with _computing(a):
        y: Array = xp.matmul(a, b, out=out)
    return y


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """See `portable.linear`."""
    y = matmul(x, w.T)
    if b is not None:
        y += b
    return y


@contextmanager
def _computing(x: Array) -> Iterator[None]:
    """Let cuBLAS add up in float32, and round factors to tf32 only where `allow_tf32` says so."""
    linalg: Any = importlib.import_module("cupy._core._routines_linalg")
    kind = linalg.COMPUTE_TYPE_FP32
    if tensor_core_factors(x) == "tf32":
        kind = linalg.COMPUTE_TYPE_TF32
    before = linalg.get_compute_type(x.dtype)
    if before == kind:
        yield
        return
    linalg.set_compute_type(x.dtype, kind)
    try:
        yield
    finally:
        linalg.set_compute_type(x.dtype, before)
