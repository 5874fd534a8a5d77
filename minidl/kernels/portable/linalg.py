"""Products of matrices, their rows or columns shared out over our threads."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.threads import parallel_for, single_threaded_blas

# Below this many multiply-adds OpenBLAS stays in the calling thread by itself (its own limit is 2^18).
_BLAS_ALONE = 1 << 17
# One chunk of a shared product: about 0.1 ms of BLAS, against 10 µs to hand it out.
_CHUNK = 1 << 22
# A product of fewer rows or columns takes as long as one of so many: it waits for the numbers of the other matrix.
_THIN = 8


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product y[…,i,j] = Σ_k a[…,i,k]·b[…,k,j], with the broadcasting of `numpy.matmul`.

    Arguments:
        a: (…,M,K) or (K,). b: (…,K,N) or (K,). out: where to write the result, or None.

    Returns:
        y (…,M,N); an axis that a 1-d operand lacks is dropped.

    Raises:
        ValueError: the inner sizes differ.
    """
    if type(a) is np.ndarray and a.ndim == b.ndim == 2 and _is_small(a, b):
        return np.matmul(a, b, out=out)  # what follows would cost more than the product
    xp = array_module(a)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ValueError(f"matmul: the inner sizes differ: {a.shape} @ {b.shape}")
    dtype = xp.result_type(a, b)
    if dtype.kind == "f" and dtype.itemsize == 2:  # added up in float32, rounded once
        y = matmul(a.astype(np.float32), b.astype(np.float32)).astype(dtype)
        if out is None:
            return y
        out[...] = y
        return out
    if xp is not np or a.ndim < 2 or b.ndim < 2 or dtype.kind not in "fc":
        result: Array = xp.matmul(a, b, out=out)
        return result
    M, K, N = a.shape[-2], a.shape[-1], b.shape[-1]
    work = max(M, _THIN) * K * max(N, _THIN)
    if a.ndim == 2 and b.ndim == 2 and work < 2 * _CHUNK:
        if M * K * N <= _BLAS_ALONE:
            return np.matmul(a, b, out=out)
        with single_threaded_blas():
            return np.matmul(a, b, out=out)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = np.empty((*batch, M, N), dtype) if out is None else out
    if y.shape != (*batch, M, N):
        raise ValueError(f"matmul: the product has shape {(*batch, M, N)}, out has {y.shape}")
    with single_threaded_blas():
        _split(a, b, y, batch, work)
    return y


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """A dense layer: y[m,j] = b[j] + Σ_k x[m,k]·w[j,k].

    Arguments:
        x: (M,K). w: (N,K). b: (N,) or None.

    Returns:
        y (M,N).
    """
    y = matmul(x, w.T)
    if b is not None:
        y += b
    return y


def _is_small(a: Array, b: Array) -> bool:
    fits = a.shape[1] == b.shape[0] and a.size * b.shape[1] <= _BLAS_ALONE
    return fits and a.dtype.itemsize > 2 and b.dtype.itemsize > 2


def _split(a: Array, b: Array, y: Array, batch: tuple[int, ...], work: int) -> None:
    """Fill y = a @ b by pieces: whole products of the first batch axis, else rows, else columns."""
    M, N = y.shape[-2:]
    if batch and batch[0] > 1:
        a = np.broadcast_to(a, batch + a.shape[-2:])
        b = np.broadcast_to(b, batch + b.shape[-2:])
        each = work * max(1, int(np.prod(batch[1:])))

        def products(start: int, stop: int) -> None:
            np.matmul(a[start:stop], b[start:stop], out=y[start:stop])

        parallel_for(batch[0], max(1, _CHUNK // max(each, 1)), products)
    elif M >= N:

        def rows(start: int, stop: int) -> None:
            np.matmul(a[..., start:stop, :], b, out=y[..., start:stop, :])

        parallel_for(M, _piece(M, work), rows)
    else:

        def columns(start: int, stop: int) -> None:
            np.matmul(a, b[..., start:stop], out=y[..., start:stop])

        parallel_for(N, _piece(N, work), columns)


def _piece(size: int, work: int) -> int:
    # At least 64 rows, a multiple of 16: BLAS copies the other operand once per piece, and likes full registers.
    pieces = max(1, min(work // _CHUNK, size // 64))
    return -(-size // (16 * pieces)) * 16 if pieces > 1 else max(size, 1)
