"""Products of float32 matrices by their factors in bfloat16: `bfloat16.cu` rounds them, cuBLAS adds up in float32.

CuPy multiplies float32 by float32, or rounds the result to bfloat16 as well; so cuBLAS is called here by its own name.
"""

from __future__ import annotations

import importlib
from math import prod
from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.gpu.launcher import Kernel, ready, spread

_ROUND = Kernel("bfloat16.cu", "to_bfloat16", ("float",))


def matmul(a: Array, b: Array) -> Array:
    """The product of matrices (…, n, k) and (…, k, m) of float32; the dimensions before the last two broadcast."""
    xp: Any = array_module(a)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (n, k), m = a.shape[-2:], b.shape[-1]
    y: Array = xp.empty((*batch, n, m), a.dtype)
    if not k:
        y[...] = 0
    if y.size and k:
        _multiply(xp, _Factor(a, batch), _Factor(b, batch), y, prod(batch))
    return y


class _Factor:
    """A matrix, or a batch of them, rounded and in order, the rows as they are or standing as columns.

    Attributes:
        bits: the upper halves of the floats. turned: whether they lie transposed. row: how many numbers a row has.
        apart: how many numbers lie between two matrices, 0 where one matrix serves the whole batch.
    """

    def __init__(self, x: Array, batch: tuple[int, ...]) -> None:
        if x.ndim > 2 and x.shape[:-2] != batch:
            x = array_module(x).broadcast_to(x, (*batch, *x.shape[-2:]))
        columns = x.swapaxes(-1, -2)
        self.turned = not x.flags.c_contiguous and columns.flags.c_contiguous
        x = columns if self.turned else ready(x)
        self.bits: Any = array_module(x).empty(x.shape, np.uint16)
        _ROUND((x.dtype,), *spread(x.size), x, self.bits, x.size)
        self.row, self.apart = x.shape[-1], x.shape[-2] * x.shape[-1] if x.ndim > 2 else 0


def _multiply(xp: Any, a: _Factor, b: _Factor, y: Any, count: int) -> None:
    """y ← a·b, told to cuBLAS as yᵀ = bᵀ·aᵀ: what it calls a column is what we call a row."""
    cublas: Any = importlib.import_module("cupy_backends.cuda.libs.cublas")
    types = xp.cuda.runtime
    one, zero = np.ones((), np.float32), np.zeros((), np.float32)
    (n, m), k = y.shape[-2:], a.bits.shape[-2] if a.turned else a.row
    cublas.gemmStridedBatchedEx(
        xp.cuda.device.get_cublas_handle(), int(b.turned), int(a.turned), m, n, k, one.ctypes.data,
        b.bits.data.ptr, types.CUDA_R_16BF, b.row, b.apart, a.bits.data.ptr, types.CUDA_R_16BF, a.row, a.apart,
        zero.ctypes.data, y.data.ptr, types.CUDA_R_32F, m, n * m, count, cublas.CUBLAS_COMPUTE_32F,
        cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
