"""Pooling by the size of the result: as many windows as are wanted are laid over the image, of any size.

Window i of n over H pixels runs from ⌊iH/n⌋ to ⌈(i+1)H/n⌉, so neighbours may share a pixel. The mean of windows is a
product with a matrix for the rows and one for the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.kernels import Pair
from minidl.ops.broadcasting import Operand, as_tensor, floating
from minidl.ops.linalg import matmul
from minidl.ops.pooling import GatherWindows, ScatterWindows
from minidl.ops.reduce import mean
from minidl.ops.registry import DISTINCT, op
from minidl.ops.shape import transpose
from minidl.ops.windows import as_given, as_images

if TYPE_CHECKING:
    from minidl.tensor import Tensor

OutputSize: TypeAlias = "int | Sequence[int | None] | None"
"""A size, None to keep the input's, or one of these for each direction."""


def _stretches(size: int, out: int) -> list[tuple[int, int]]:
    """Where each of `out` windows over `size` pixels starts and stops: ⌊i·size/out⌋ … ⌈(i+1)·size/out⌉."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _wanted(name: str, output_size: OutputSize, x: Tensor, dims: int) -> Pair:
    """The output's height and width."""
    sizes = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * dims
    if len(sizes) != dims or not all(n is None or n >= 0 for n in sizes):
        raise ValueError(f"{name}: output_size must give {dims} sizes (or None to keep one), got {output_size!r}")
    rows, columns = x.array.shape[2:]
    height = rows if dims == 1 or sizes[0] is None else int(sizes[0])
    width = columns if sizes[-1] is None else int(sizes[-1])
    if x.array.size == 0 and 0 in (rows, columns):
        raise RuntimeError(f"{name}: there is nothing to pool in an input of {rows}×{columns} pixels")
    return height, width


def _averaging(size: int, out: int, like: Array) -> Tensor:
    """The matrix (out, size) whose rows average one stretch each."""
    A = np.zeros((out, size))
    for i, (start, stop) in enumerate(_stretches(size, out)):
        A[i, start:stop] = 1 / (stop - start)
    return as_tensor(array_module(like).asarray(A.astype(like.dtype)))


@op(example=lambda draw: {"input": draw(2, 2, 5, 7), "output_size": (2, 3)},
    formula=r"Y = A X B^\top,\quad A_{ih} = \tfrac{1}{n_i} [\lfloor iH/OH \rfloor \le h < \lceil (i+1)H/OH \rceil]",
    adjoint=r"\bar X = A^\top \bar Y B")  # fmt: skip
def adaptive_avg_pool2d(input: Operand, output_size: OutputSize) -> Tensor:
    """The mean of windows laid so that `output_size` of them cover the image; 1 is the mean of every channel.

    Arguments:
        input: (N, C, H, W) or (C, H, W).
        output_size: (OH, OW), one number for both, None to keep a size.

    Returns:
        (N, C, OH, OW).
    """
    return _adaptive_averaged("adaptive_avg_pool2d", 2, input, output_size)


@op(example=lambda draw: {"input": draw(2, 3, 7), "output_size": 3},
    formula=r"Y = X B^\top", adjoint=r"\bar X = \bar Y B")  # fmt: skip
def adaptive_avg_pool1d(input: Operand, output_size: OutputSize) -> Tensor:
    """The mean of `output_size` stretches that cover a signal (N, C, L) or (C, L)."""
    return _adaptive_averaged("adaptive_avg_pool1d", 1, input, output_size)


def _adaptive_averaged(name: str, dims: int, input: Operand, output_size: OutputSize) -> Tensor:
    given = floating(input)
    x = as_images(name, given, dims)
    (H, W), (OH, OW) = x.array.shape[2:], _wanted(name, output_size, x, dims)
    if (OH, OW) == (1, 1):
        return as_given(mean(x, (2, 3), keepdim=True), given, dims)
    if OH != H:
        x = matmul(_averaging(H, OH, x.array), x)
    if OW != W:
        x = matmul(x, transpose(_averaging(W, OW, x.array), 0, 1))
    return as_given(x, given, dims)


@op(GatherWindows, ScatterWindows, domain=DISTINCT, oracle="richardson",
    formula=r"y_{ncij} = \max \{\, x_{nchw} : (h, w) \in \text{window } (i, j) \,\}",
    example=lambda draw: {"input": draw(2, 2, 5, 7), "output_size": (2, 3)})  # fmt: skip
def adaptive_max_pool2d(input: Operand, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest pixel of windows laid as in `adaptive_avg_pool2d`, with `return_indices` also where it stood."""
    return _adaptive_largest("adaptive_max_pool2d", 2, input, output_size, return_indices)


@op(GatherWindows, ScatterWindows, domain=DISTINCT, oracle="richardson",
    formula=r"y_{nci} = \max \{\, x_{ncl} : l \in \text{stretch } i \,\}",
    example=lambda draw: {"input": draw(2, 3, 7), "output_size": 3})  # fmt: skip
def adaptive_max_pool1d(input: Operand, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest number of each of `output_size` stretches that cover a signal (N, C, L) or (C, L)."""
    return _adaptive_largest("adaptive_max_pool1d", 1, input, output_size, return_indices)


def _adaptive_largest(name: str, dims: int, input: Operand, output_size: OutputSize, return_indices: bool) -> Any:
    given = floating(input)
    x = as_images(name, given, dims)
    (N, C, H, W), (OH, OW) = x.array.shape, _wanted(name, output_size, x, dims)
    xp = array_module(x.array)
    winners = xp.empty((N, C, OH, OW), np.int64)
    for i, (top, bottom) in enumerate(_stretches(H, OH)):
        for j, (left, right) in enumerate(_stretches(W, OW)):
            best = x.array[:, :, top:bottom, left:right].reshape(N, C, -1).argmax(axis=2)
            winners[:, :, i, j] = (top + best // (right - left)) * W + left + best % (right - left)
    y = as_given(GatherWindows(winners)(x), given, dims)
    return (y, as_given(Variable._wrap(winners), given, dims)) if return_indices else y
