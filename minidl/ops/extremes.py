"""The largest, the smallest, and the order of elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Operand,
    as_tensor,
    broadcast_to,
    cast,
)
from minidl.ops.choice import maximum, minimum, where
from minidl.ops.index import add_at
from minidl.ops.reduce import Dims, Sum, _Reduction, axes_of
from minidl.ops.registry import DISTINCT, op
from minidl.ops.shape import reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Extreme(NamedTuple):
    """What `max`, `min`, `sort` and `topk` return along a dimension: the values and where they stood."""

    values: Tensor
    indices: Tensor


class AMax(_Reduction):
    formula = r"y = \max_i x_i"
    adjoint = r"\bar x_i = \frac{[x_i = y]}{\sum_j [x_j = y]}\, \bar y"
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return self.choose(x)

    def choose(self, x: Array) -> Array:
        return x.max(axis=self.axes, keepdims=self.keepdim)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,), (y,) = self.saved_inputs, self.saved_outputs
        ties = (x == self.spread(y)) | (x != x)  # a nan is its own maximum
        count = Sum(self.axes, True)(as_tensor(ties.array.astype(np.float32)))  # float16 cannot count beyond 2048
        gy = broadcast_to(cast(cast(reshape(gy, count.array.shape), np.result_type(gy.array, np.float32)) / count,
                               gy.array.dtype), self.shape)  # fmt: skip
        return (where(ties, gy, 0),)


class AMin(AMax):
    formula = r"y = \min_i x_i"

    def choose(self, x: Array) -> Array:
        return x.min(axis=self.axes, keepdims=self.keepdim)


def _not_empty(name: str, x: Tensor, axes: tuple[int, ...]) -> None:
    if math.prod(x.array.shape[a] for a in axes) == 0 and x.array.size == 0:
        raise IndexError(f"{name}: a tensor of shape {x.array.shape} has no extreme over dimensions {axes}")


@op(AMax, example=lambda draw: {"input": draw(2, 3, 4), "dim": (0, 2)}, domain=DISTINCT, oracle="richardson")
def amax(input: Operand, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element over `dim`; equal ones share the gradient evenly."""
    x = as_tensor(input)
    axes = axes_of("amax", x.array.ndim, dim)
    _not_empty("amax", x, axes)
    return AMax(axes, keepdim)(x)


@op(AMin, example=lambda draw: {"input": draw(2, 3, 4), "dim": 1}, domain=DISTINCT, oracle="richardson")
def amin(input: Operand, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element over `dim`; equal ones share the gradient evenly."""
    x = as_tensor(input)
    axes = axes_of("amin", x.array.ndim, dim)
    _not_empty("amin", x, axes)
    return AMin(axes, keepdim)(x)


class TakeAlong(Function):
    """One element of each row along an axis, by an index array of the reduced shape (kept dimension)."""

    formula = r"y_j = x_{k_j}"
    adjoint = r"\bar x_i = \sum_j [k_j = i]\, \bar y_j"
    __slots__ = ("axis", "size")

    def __init__(self, axis: int, indices: Array) -> None:
        self.axis, self.buffers = axis, (indices,)

    def forward(self, x: Array) -> Array:
        self.size = x.shape[self.axis]
        return array_module(x).take_along_axis(x, self.buffers[0], axis=self.axis)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (PutAlong(self.axis, self.buffers[0], self.size)(gy),)


class PutAlong(Function):
    """The adjoint of `TakeAlong`: elements added to where they were taken from."""

    formula = r"y_i = \sum_j [k_j = i]\, x_j"
    adjoint = r"\bar x_j = \bar y_{k_j}"
    __slots__ = ("axis", "size")

    def __init__(self, axis: int, indices: Array, size: int) -> None:
        self.axis, self.buffers, self.size = axis, (indices,), size

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        indices = self.buffers[0]
        shape = list(indices.shape)
        shape[self.axis] = self.size
        y = xp.zeros(shape, x.dtype)
        if indices.shape[self.axis] <= 1 or _is_permutation(indices, self.axis):
            xp.put_along_axis(y, indices, x, axis=self.axis)
            return y
        grid = list(np.ix_(*[np.arange(n) for n in indices.shape]))
        grid[self.axis] = indices
        add_at(y, tuple([xp.asarray(g) for g in grid]), x)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (TakeAlong(self.axis, self.buffers[0])(gy),)


def _is_permutation(indices: Array, axis: int) -> bool:
    """Whether no index occurs twice along the axis."""
    ordered = array_module(indices).sort(indices, axis=axis)
    return not bool((array_module(indices).diff(ordered, axis=axis) == 0).any())


def _extreme(name: str, input: Operand, dim: int | None, keepdim: bool) -> Extreme:
    x = as_tensor(input)
    axes = axes_of(name, x.array.ndim, dim)
    _not_empty(name, x, axes)
    if x.array.ndim == 0:
        return Extreme(reshape(x, ()), Variable._wrap(np.asarray(0)))
    axis = axes[0]
    xp = array_module(x.array)
    indices = getattr(xp, f"arg{name}")(x.array, axis=axis)
    kept = xp.expand_dims(indices, axis)
    values = TakeAlong(axis, kept)(x)
    if keepdim:
        return Extreme(values, Variable._wrap(kept.copy()))  # the gradient relies on the other copy
    return Extreme(reshape(values, indices.shape), Variable._wrap(xp.array(indices)))


@op(TakeAlong, PutAlong, AMax, example=lambda draw: {"input": draw(2, 3, 4), "dim": 1}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def max(input: Operand, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element of all; along `dim`, `(values, indices)`; of two tensors, element by element.

    Along a dimension the first of equal elements takes the gradient; over all, equal ones share it.
    """
    if dim is None:
        return amax(input)
    return maximum(input, as_tensor(dim)) if isinstance(dim, Variable) else _extreme("max", input, dim, keepdim)


@op(TakeAlong, PutAlong, AMin, example=lambda draw: {"input": draw(2, 3, 4), "dim": -1}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def min(input: Operand, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element of all; along `dim`, `(values, indices)`; of two tensors, element by element."""
    if dim is None:
        return amin(input)
    if isinstance(dim, Variable):
        return minimum(input, as_tensor(dim))
    return _extreme("min", input, dim, keepdim)


@op(TakeAlong, PutAlong, example=lambda draw: {"input": draw(3, 4), "dim": 0, "descending": True}, domain=DISTINCT,
    oracle="richardson")  # fmt: skip
def sort(input: Operand, dim: int = -1, descending: bool = False, stable: bool = True) -> Extreme:
    """The elements in order along `dim`, as `(values, indices)`; equal elements keep their order."""
    x = as_tensor(input)
    (axis,) = axes_of("sort", x.array.ndim, dim) or (0,)
    if x.array.ndim == 0:
        return Extreme(reshape(x, ()), Variable._wrap(np.asarray(0)))
    xp = array_module(x.array)
    keys = xp.flip(x.array, axis) if descending else x.array
    indices = xp.argsort(keys, axis=axis, kind="stable")
    if descending:  # sorting the reversed keys and reversing the result keeps equal elements in order
        indices = x.array.shape[axis] - 1 - xp.flip(indices, axis)
    return Extreme(TakeAlong(axis, indices)(x), Variable._wrap(indices.copy()))


@op(TakeAlong, PutAlong, example=lambda draw: {"input": draw(3, 4), "k": 2}, domain=DISTINCT, oracle="richardson")
def topk(input: Operand, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:
    """The k largest (or smallest) elements along `dim`, in order, as `(values, indices)`."""
    x = as_tensor(input)
    (axis,) = axes_of("topk", x.array.ndim, dim) or (0,)
    if not 0 <= k <= x.array.shape[axis]:
        raise RuntimeError(f"topk: k={k}, but dimension {axis} has {x.array.shape[axis]} elements")
    order = sort(x.detach(), axis, descending=largest).indices.array
    indices = array_module(order).take(order, array_module(order).arange(k), axis=axis)
    return Extreme(TakeAlong(axis, indices)(x), Variable._wrap(indices.copy()))


def argsort(input: Operand, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that would sort the tensor along `dim`."""
    return sort(as_tensor(input).detach(), dim, descending).indices


def _arg(name: str, input: Operand, dim: int | None, keepdim: bool) -> Tensor:
    x = as_tensor(input).array
    if x.size == 0:
        raise IndexError(f"{name}: a tensor of shape {x.shape} has no extreme")
    if dim is not None:
        (dim,) = axes_of(name, x.ndim, dim) or (None,)
    xp: Any = array_module(x)
    return Variable._wrap(xp.asarray(getattr(xp, name)(x, axis=dim, keepdims=keepdim and dim is not None)))


def argmax(input: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element, the first of equal ones; without `dim` in the flattened tensor."""
    return _arg("argmax", input, dim, keepdim)


def argmin(input: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element, the first of equal ones; without `dim` in the flattened tensor."""
    return _arg("argmin", input, dim, keepdim)
