"""The same numbers in another arrangement: reshaped, permuted, repeated, turned round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Operand,
    Shape,
    as_tensor,
    broadcast_to,
)
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def axis_of(name: str, ndim: int, dim: int) -> int:
    """The axis `dim`, counted from 0; negative ones count from the end.

    Raises:
        IndexError: the tensor has no such dimension.
    """
    if not isinstance(dim, int | np.integer):
        raise TypeError(f"{name}: dim must be an integer, got {dim!r}")
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name}: dim {dim} is out of range for a tensor with {ndim} dimensions")
    return int(dim) % ndim


class Reshape(Function):
    formula = r"y = \operatorname{reshape}(x)"
    adjoint = r"\bar x = \operatorname{reshape}^{-1}(\bar y)"
    on_arrays = True
    __slots__ = ("before", "shape")
    is_view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return x.reshape(self.shape)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (gy.reshape(self.before),)


@op(Reshape, example=lambda draw: {"input": draw(2, 3, 4), "shape": (4, -1)})
def reshape(input: Operand, shape: Sequence[int] | int) -> Tensor:
    """The same elements, in order, in another shape; one size may be −1.

    Raises:
        RuntimeError: the sizes do not multiply to the number of elements.
    """
    x = as_tensor(input)
    shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple([int(n) for n in shape])
    if shape == x.array.shape:
        return x
    known = math.prod(n for n in shape if n != -1)
    unknown = shape.count(-1)
    fits = x.array.size == known if not unknown else (unknown == 1 and known > 0 and x.array.size % known == 0)
    if not fits:
        raise RuntimeError(f"reshape: {x.array.size} elements of shape {x.array.shape} do not fit into {shape}")
    return Reshape(shape)(x)


class Permute(Function):
    formula = r"y_{i_{\pi(1)} \dots i_{\pi(n)}} = x_{i_1 \dots i_n}"
    adjoint = r"\bar x = \operatorname{permute}_{\pi^{-1}}(\bar y)"
    on_arrays = True
    __slots__ = ("dims",)
    is_view = True

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x: Array) -> Array:
        return x.transpose(self.dims)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        inverse = [0] * len(self.dims)
        for to, came_from in enumerate(self.dims):
            inverse[came_from] = to
        return (Permute(tuple(inverse))(gy),)


@op(Permute, example=lambda draw: {"input": draw(2, 3, 4), "dims": (2, 0, -2)})
def permute(input: Operand, dims: Sequence[int]) -> Tensor:
    """The dimensions in another order."""
    x = as_tensor(input)
    order = tuple([axis_of("permute", x.array.ndim, d) for d in dims])
    if sorted(order) != list(range(x.array.ndim)):
        raise RuntimeError(f"permute: dims {tuple(dims)} is not an order of the {x.array.ndim} dimensions")
    return Permute(order)(x)


@op(Permute, example=lambda draw: {"input": draw(2, 3, 4), "dim0": 0, "dim1": -1})
def transpose(input: Operand, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    x = as_tensor(input)
    order = list(range(x.array.ndim))
    a, b = axis_of("transpose", x.array.ndim, dim0), axis_of("transpose", x.array.ndim, dim1)
    order[a], order[b] = order[b], order[a]
    return Permute(tuple(order))(x)


@op(Permute, example=lambda draw: {"input": draw(2, 3, 4), "source": 0, "destination": 2})
def movedim(input: Operand, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Tensor:
    """Some dimensions moved to new places, the others kept in order."""
    x = as_tensor(input)
    n = x.array.ndim
    source = (source,) if isinstance(source, int) else source
    destination = (destination,) if isinstance(destination, int) else destination
    moved = {axis_of("movedim", n, d): axis_of("movedim", n, s) for s, d in zip(source, destination, strict=True)}
    rest = iter([i for i in range(n) if i not in moved.values()])
    return permute(x, [moved[i] if i in moved else next(rest) for i in range(n)])


@op(Reshape, example=lambda draw: {"input": draw(2, 1, 3, 1), "dim": 1})
def squeeze(input: Operand, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Dimensions of size 1 removed: all of them, or those in `dim` that have size 1."""
    x = as_tensor(input)
    n = x.array.ndim
    named = range(n) if dim is None else [axis_of("squeeze", n, d) for d in (dim if isinstance(dim, tuple) else (dim,))]
    return reshape(x, [size for i, size in enumerate(x.array.shape) if size != 1 or i not in named])


@op(Reshape, example=lambda draw: {"input": draw(2, 3), "dim": -1})
def unsqueeze(input: Operand, dim: int) -> Tensor:
    """A dimension of size 1 inserted before `dim`."""
    x = as_tensor(input)
    at = axis_of("unsqueeze", x.array.ndim + 1, dim)
    return reshape(x, (*x.array.shape[:at], 1, *x.array.shape[at:]))


@op(Reshape, example=lambda draw: {"input": draw(2, 3, 4), "start_dim": 1})
def flatten(input: Operand, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from `start_dim` to `end_dim` merged into one; with start_dim=1 the batch stays."""
    x = as_tensor(input)
    if x.array.ndim == 0:
        return reshape(x, (1,))
    first, last = axis_of("flatten", x.array.ndim, start_dim), axis_of("flatten", x.array.ndim, end_dim)
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    merged = math.prod(x.array.shape[first : last + 1])
    return reshape(x, (*x.array.shape[:first], merged, *x.array.shape[last + 1 :]))


def expand(input: Operand, *sizes: int | Sequence[int]) -> Tensor:
    """Repeat dimensions of size 1 to `sizes`, without copying; −1 keeps a size."""
    x = as_tensor(input)
    wanted = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else tuple(sizes)
    extra = len(wanted) - x.array.ndim
    if -1 in wanted[: max(extra, 0)]:
        raise RuntimeError(f"expand: -1 keeps a size, but in {wanted} it stands where {x.array.shape} has no dimension")
    shape = tuple([x.array.shape[i - extra] if n == -1 else int(n) for i, n in enumerate(wanted)])  # type: ignore[arg-type]
    return broadcast_to(x, shape)


@op(Reshape, example=lambda draw: {"input": draw(2, 3), "dims": (2, 1, 2)})
def tile(input: Operand, dims: Sequence[int]) -> Tensor:
    """The tensor laid beside itself, `dims[i]` times along dimension i."""
    x = as_tensor(input)
    n = max(len(dims), x.array.ndim)
    times = (1,) * (n - len(dims)) + tuple(dims)
    shape = (1,) * (n - x.array.ndim) + x.array.shape
    pairs = [k for t, size in zip(times, shape, strict=True) for k in (t, size)]
    spread = broadcast_to(reshape(x, [k for size in shape for k in (1, size)]), tuple(pairs))
    return reshape(spread, [t * size for t, size in zip(times, shape, strict=True)])


@op(Reshape, example=lambda draw: {"input": draw(2, 3), "repeats": 2, "dim": 1})
def repeat_interleave(input: Operand, repeats: int, dim: int | None = None) -> Tensor:
    """Each element `repeats` times in a row along `dim`, or of the flattened tensor."""
    x = as_tensor(input)
    if dim is None:
        x, dim = reshape(x, (-1,)), 0
    axis = axis_of("repeat_interleave", x.array.ndim, dim)
    before, size, after = x.array.shape[:axis], x.array.shape[axis], x.array.shape[axis + 1 :]
    spread = broadcast_to(reshape(x, (*before, size, 1, *after)), (*before, size, repeats, *after))
    return reshape(spread, (*before, size * repeats, *after))


class Flip(Function):
    formula = r"y_i = x_{n-1-i}"
    adjoint = r"\bar x_i = \bar y_{n-1-i}"
    __slots__ = ("axes",)
    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return array_module(x).flip(x, self.axes)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (Flip(self.axes)(gy),)


@op(Flip, example=lambda draw: {"input": draw(2, 3), "dims": (1,)})
def flip(input: Operand, dims: int | Sequence[int]) -> Tensor:
    """The order of the elements reversed along `dims`."""
    x = as_tensor(input)
    wanted: Any = dims if isinstance(dims, tuple | list) else (dims,)
    return Flip(tuple([axis_of("flip", x.array.ndim, d) for d in wanted]))(x)


class Triangle(Function):
    formula = r"y_{ij} = [j - i \le d]\, x_{ij} \quad\text{(lower; upper: } \ge d)"
    adjoint = r"\bar x_{ij} = [j - i \le d]\, \bar y_{ij}"
    __slots__ = ("diagonal", "lower")

    def __init__(self, lower: bool, diagonal: int) -> None:
        self.lower, self.diagonal = lower, diagonal

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return (xp.tril if self.lower else xp.triu)(x, self.diagonal)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (Triangle(self.lower, self.diagonal)(gy),)


@op(Triangle, example=lambda draw: {"input": draw(2, 3, 4), "diagonal": 1})
def tril(input: Operand, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two dimensions, zeros above `diagonal`."""
    return Triangle(True, diagonal)(_matrices("tril", input))


@op(Triangle, example=lambda draw: {"input": draw(2, 3, 4), "diagonal": -1})
def triu(input: Operand, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two dimensions, zeros below `diagonal`."""
    return Triangle(False, diagonal)(_matrices("triu", input))


def _matrices(name: str, input: Operand) -> Tensor:
    x = as_tensor(input)
    if x.array.ndim < 2:
        raise RuntimeError(f"{name}: expected at least two dimensions, got shape {x.array.shape}")
    return x
