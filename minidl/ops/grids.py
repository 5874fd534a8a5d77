"""Diagonals, coordinate grids, and elements picked by a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from minidl.ops.broadcasting import Operand, as_tensor, broadcast_to
from minidl.ops.index import GetItem, PutItem, getitem
from minidl.ops.reduce import sum
from minidl.ops.registry import op
from minidl.ops.shape import axis_of, movedim, reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


@op(GetItem, PutItem, example=lambda draw: {"input": draw(3, 2, 4), "offset": 1, "dim1": 0, "dim2": 2})
def diagonal(input: Operand, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements with equal indices along two dimensions, as a new last dimension.

    Arguments:
        input: two dimensions or more.
        offset: how far above the main diagonal, below it when negative.
        dim1, dim2: rows and columns.
    """
    x = as_tensor(input)
    first, second = (axis_of("diagonal", x.array.ndim, d) for d in (dim1, dim2))
    if first == second:
        raise RuntimeError(f"diagonal: dim1 and dim2 must differ, got {dim1} and {dim2}")
    rows, columns = x.array.shape[first], x.array.shape[second]
    i = np.arange(max(0, min(rows + min(offset, 0), columns - max(offset, 0))))
    return getitem(movedim(x, (first, second), (-2, -1)), (..., i - min(offset, 0), i + max(offset, 0)))


@op(PutItem, GetItem, example=lambda draw: {"input": draw(3), "diagonal": -1})
def diag(input: Operand, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix of zeros; of a matrix, its diagonal."""
    x = as_tensor(input)
    if x.array.ndim == 2:
        return _diagonal(x, diagonal)
    if x.array.ndim != 1:
        raise RuntimeError(f"diag: expected a vector or a matrix, got shape {x.array.shape}")
    n = x.array.shape[0]
    i, size = np.arange(n), n + abs(diagonal)
    y: Tensor = PutItem((i - min(diagonal, 0), i + max(diagonal, 0)), (size, size))(x)
    return y


_diagonal = diagonal


@op(formula=r"y = \sum_i x_{ii}", adjoint=r"\bar x_{ij} = [i = j]\, \bar y",
    example=lambda draw: {"input": draw(3, 4)})  # fmt: skip
def trace(input: Operand) -> Tensor:
    """The sum of the diagonal of a matrix."""
    x = as_tensor(input)
    if x.array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, got shape {x.array.shape}")
    return sum(diagonal(x))


@op(formula=r"y^{(k)}_{i_1 \dots i_n} = x^{(k)}_{i_k}", adjoint=r"\bar x^{(k)}_j = \sum_{i_k = j} \bar y^{(k)}",
    example=lambda draw: {"tensors": [draw(2), draw(3)], "indexing": "xy"})  # fmt: skip
def meshgrid(*tensors: Operand, indexing: Literal["ij", "xy"] = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: each vector repeated over the directions of the others.

    Arguments:
        tensors: vectors, or one list of them.
        indexing: "ij" with shape (n₁, n₂, …), "xy" with the first two directions exchanged.
    """
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    xs = [as_tensor(x) for x in given]
    for x in xs:
        if x.array.ndim > 1:
            raise RuntimeError(f"meshgrid: expected vectors, got shape {x.array.shape}")
    places = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        places[:2] = 1, 0
    sizes = [1] * len(xs)
    for place, x in zip(places, xs, strict=True):
        sizes[place] = x.array.size
    return tuple(
        [
            broadcast_to(reshape(x, [-1 if i == place else 1 for i in range(len(xs))]), tuple(sizes))
            for place, x in zip(places, xs, strict=True)
        ]
    )


@op(GetItem, PutItem, example=lambda draw: {"input": draw(2, 3), "mask": np.array([[True, False, True]] * 2)})
def masked_select(input: Operand, mask: Operand) -> Tensor:
    """The elements where the mask is True, in order, as a vector; both are broadcast."""
    x, m = as_tensor(input), as_tensor(mask)
    if m.array.dtype.kind != "b":
        raise TypeError(f"masked_select: the mask must be bool, got {m.array.dtype.name}")
    shape = np.broadcast_shapes(x.array.shape, m.array.shape)
    return getitem(broadcast_to(x, shape), broadcast_to(m, shape))


@op(formula=r"y = \operatorname{reshape}(x)", adjoint=r"\bar x = \operatorname{reshape}^{-1}(\bar y)",
    example=lambda draw: {"input": draw(2, 6), "dim": 1, "sizes": (3, -1)})  # fmt: skip
def unflatten(input: Operand, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """One dimension split into several, whose sizes multiply to its own; one of them may be −1."""
    x = as_tensor(input)
    axis = axis_of("unflatten", x.array.ndim, dim)
    before, n, after = x.array.shape[:axis], x.array.shape[axis], x.array.shape[axis + 1 :]
    known = int(np.prod([s for s in sizes if s != -1], dtype=np.int64))
    if [*sizes].count(-1) > 1 or (n % known if -1 in sizes and known else known != n):
        raise RuntimeError(f"unflatten: {n} elements do not fit into sizes {tuple(sizes)}")
    return reshape(x, (*before, *[n // max(known, 1) if s == -1 else s for s in sizes], *after))
