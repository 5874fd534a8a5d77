"""What the stand-in for CuPy multiplies with in place of cuBLAS."""

from __future__ import annotations

import ctypes
import types
from typing import Any

import numpy as np
from stand_in_graph import changed


def cublas() -> types.ModuleType:
    """The one function of cuBLAS that is called by name, by what its manual says: matrices lie column by column."""
    module = types.ModuleType("cupy_backends.cuda.libs.cublas")
    module.CUBLAS_COMPUTE_32F, module.CUBLAS_GEMM_DEFAULT = 68, -1

    def matrix(address: int, kind: Any, rows: int, columns: int, apart: int) -> Any:
        size = np.dtype(kind).itemsize
        memory = (ctypes.c_char * (size * (apart * (columns - 1) + rows))).from_address(address)
        return np.lib.stride_tricks.as_strided(np.frombuffer(memory, kind), (rows, columns), (size, size * apart))

    def factor(address: int, turned: int, rows: int, columns: int, apart: int) -> Any:
        assert apart >= (columns if turned else rows), "a column is longer than the distance to the next"
        bits = matrix(address, "u2", *((columns, rows) if turned else (rows, columns)), apart)
        values = (bits.astype("u4") << 16).view("f4").astype("f8")
        return values.T if turned else values

    def multiply(
        handle: int, turn_a: int, turn_b: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int, lda: int,
        a_apart: int, b: int, b_type: int, ldb: int, b_apart: int, beta: int, c: int, c_type: int, ldc: int,
        c_apart: int, count: int, compute_type: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (handle, a_type, b_type, c_type, compute_type) == (7, 14, 14, 0, module.CUBLAS_COMPUTE_32F)
        factors = [ctypes.c_float.from_address(address).value for address in (alpha, beta)]
        assert factors == [1, 0]

        def product(i: int) -> None:
            left, right = factor(a + 2 * a_apart * i, turn_a, m, k, lda), factor(b + 2 * b_apart * i, turn_b, k, n, ldb)
            matrix(c + 4 * c_apart * i, "f4", m, n, ldc)[...] = left @ right

        changed(lambda: [product(i) for i in range(count)], None)

    module.gemmStridedBatchedEx = multiply
    return module
