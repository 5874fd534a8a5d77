"""Many numbers to one: sums, means, products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.arithmetic import mul
from minidl.ops.broadcasting import (
    BroadcastTo,
    Operand,
    as_tensor,
    cast,
    floating,
)
from minidl.ops.choice import where
from minidl.ops.elementwise import sqrt
from minidl.ops.registry import op
from minidl.ops.shape import flip, reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Dims: TypeAlias = "int | tuple[int, ...] | list[int] | None"


def axes_of(name: str, ndim: int, dim: Dims) -> tuple[int, ...]:
    """The axes meant by `dim`, from 0 to ndim−1, in order; all of them for None.

    Raises:
        IndexError: an axis that the tensor does not have.
        ValueError: an axis named twice.
    """
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    for d in dims:
        if not isinstance(d, int | np.integer):
            raise TypeError(f"{name}: dim must be an integer or several, got {dim!r}")
    if not dims:
        return tuple(range(ndim))
    room = ndim or 1  # a 0-d tensor lets itself be reduced along dim 0 and −1
    for d in dims:
        if not -room <= d < room:
            raise IndexError(f"{name}: dim {d} is out of range for a tensor with {ndim} dimensions")
    axes = tuple([int(d) % room for d in dims])
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: dim {dims} names a dimension twice")
    return axes if ndim else ()


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape after reducing the axes with keepdim: they become 1."""
    return tuple([1 if i in axes else size for i, size in enumerate(shape)])


class _Reduction(Function):
    """A reduction over some axes; `spread` repeats a reduced tensor along them again."""

    __slots__ = ("axes", "keepdim", "shape")

    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def __init__(self, axes: tuple[int, ...], keepdim: bool = False) -> None:
        self.axes, self.keepdim = axes, keepdim

    def spread(self, g: Tensor) -> Tensor:
        return BroadcastTo(self.shape)(g.reshape(kept_shape(self.shape, self.axes)))


class Sum(_Reduction):
    formula = r"y = \sum_i x_i"
    adjoint = r"\bar x_i = \bar y"
    on_arrays = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        dtype = np.float32 if x.dtype == np.float16 else None  # float16 sums overflow and stall at 2048
        return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=dtype).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (self.spread(gy),)


@op(Sum, example=lambda draw: {"input": draw(2, 3, 4), "dim": (0, -1)})
def sum(input: Operand, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    r"""$y = \sum_i x_i$ over `dim`; integers and bool sum to int64."""
    x = as_tensor(input)
    if dtype is not None:
        x = cast(x, dtype)
    elif x.array.dtype.kind in "iub":
        x = cast(x, np.int64)
    return Sum(axes_of("sum", x.array.ndim, dim), keepdim)(x)


@op(
    formula=r"y = \tfrac1n \sum_i x_i",
    adjoint=r"\bar x_i = \tfrac1n \bar y",
    example=lambda draw: {"input": draw(2, 3, 4), "dim": 1},
)
def mean(input: Operand, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    r"""$y = \frac1n\sum_i x_i$ over `dim`."""
    x = as_tensor(input) if dtype is None else cast(input, dtype)
    if x.array.dtype.kind not in "fc":
        raise RuntimeError(f"mean: expected a floating tensor, got {x.array.dtype.name}; convert it with .float()")
    axes = axes_of("mean", x.array.ndim, dim)
    count = math.prod(x.array.shape[a] for a in axes)
    total = Sum(axes, keepdim)
    if x.array.dtype == np.float16:  # the sum alone may not fit
        return cast(total(cast(x, np.float32)) / count, np.float16) if count else total(x) * math.nan
    return total(x) / count if count else total(x) * math.nan


@op(
    formula=r"y = \tfrac{1}{n-c} \sum_i (x_i - \mu)^2",
    adjoint=r"\bar x_i = \tfrac{2}{n-c} (x_i - \mu)\, \bar y",
    example=lambda draw: {"input": draw(2, 4, 3), "dim": (0, 1)},
)
def var(input: Operand, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float = 1) -> Tensor:  # fmt: skip
    """The variance over `dim`: squared deviations from the mean, summed and divided by n − correction."""
    x = floating(input)
    if unbiased is not None:
        correction = 1 if unbiased else 0
    axes = axes_of("var", x.array.ndim, dim)
    count = math.prod(x.array.shape[a] for a in axes)
    deviation = x - mean(x, axes, keepdim=True)
    total = Sum(axes, keepdim)(deviation * deviation)
    free = count - correction
    return total / free if free > 0 else total * math.nan


@op(
    formula=r"y = \sqrt{\tfrac{1}{n-c} \sum_i (x_i - \mu)^2}",
    adjoint=r"\bar x_i = \tfrac{1}{(n-c)\,y} (x_i - \mu)\, \bar y",
    example=lambda draw: {"input": draw(2, 4, 3), "dim": 1},
)
def std(input: Operand, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float = 1) -> Tensor:  # fmt: skip
    """The standard deviation over `dim`: the root of `var`; where all numbers are equal its gradient is 0."""
    v = var(input, dim, unbiased, keepdim, correction=correction)
    return where(v == 0, 0, sqrt(where(v == 0, 1, v)))


def all(input: Operand, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """True where every element over `dim` is true."""
    x = as_tensor(input).array
    return as_tensor(x.all(axis=axes_of("all", x.ndim, dim), keepdims=keepdim))


def any(input: Operand, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """True where some element over `dim` is true."""
    x = as_tensor(input).array
    return as_tensor(x.any(axis=axes_of("any", x.ndim, dim), keepdims=keepdim))


class CumSum(Function):
    formula = r"y_t = \sum_{s \le t} x_s"
    adjoint = r"\bar x_s = \sum_{t \ge s} \bar y_t"
    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return x.cumsum(axis=self.axis, dtype=x.dtype)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (flip(CumSum(self.axis)(flip(gy, self.axis)), self.axis),)


@op(CumSum, example=lambda draw: {"input": draw(2, 4), "dim": 1})
def cumsum(input: Operand, dim: int) -> Tensor:
    r"""$y_t = \sum_{s \le t} x_s$ along `dim`."""
    x = as_tensor(input)
    if not isinstance(dim, int | np.integer):
        raise TypeError(f"cumsum: dim must be an integer, got {dim!r}")
    axes = axes_of("cumsum", x.array.ndim, dim)
    x = cast(x, np.int64) if x.array.dtype.kind in "iub" else x
    return CumSum(axes[0])(x) if axes else x


class CumProdPair(Function):
    r"""The product of all *other* elements along the last axis, by products from the left and from the right."""

    formula = r"y_i = \prod_{j \ne i} x_j"
    adjoint = r"\bar x_k = \sum_{i \ne k} \bar y_i \prod_{j \ne i,k} x_j"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        if not x.size:
            return x.copy()
        one = xp.ones((*x.shape[:-1], 1), x.dtype)
        left = xp.cumprod(xp.concatenate([one, x[..., :-1]], axis=-1), axis=-1, dtype=x.dtype)
        right = xp.cumprod(xp.concatenate([one, x[..., :0:-1]], axis=-1), axis=-1, dtype=x.dtype)[..., ::-1]
        return left * right

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        n = x.array.shape[-1]
        others = 1 - np.eye(n, dtype=x.array.dtype)  # row i: everybody but i
        rows = where(
            as_tensor(others > 0), reshape(x, (*x.array.shape[:-1], 1, n)), as_tensor(np.ones((), x.array.dtype))
        )
        return (sum(CumProdPair()(rows) * mul(reshape(gy, (*gy.array.shape, 1)), others), dim=-2),)


class Prod(Function):
    formula = r"y = \prod_i x_i"
    adjoint = r"\bar x_i = \bar y \prod_{j \ne i} x_j"
    saves_inputs = (0,)

    def forward(self, x: Array) -> Array:
        return x.prod(axis=-1, dtype=x.dtype)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,) = self.saved_inputs
        return (CumProdPair()(x) * reshape(gy, (*gy.array.shape, 1)),)


@op(Prod, CumProdPair, example=lambda draw: {"input": draw(2, 4, 3), "dim": 1})
def prod(input: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor:
    r"""$y = \prod_i x_i$ over `dim`; the gradient is right also where some $x_i = 0$."""
    from_ints = as_tensor(input)
    x = cast(from_ints, np.int64) if from_ints.array.dtype.kind in "iub" else from_ints
    axes = axes_of("prod", x.array.ndim, dim)
    if not axes:
        return reshape(x, ())
    rest = [i for i in range(x.array.ndim) if i not in axes]
    flat = reshape(x.permute(*rest, *axes), (*[x.array.shape[i] for i in rest], -1 if x.array.size else 0))
    y = Prod()(flat)
    return reshape(y, kept_shape(x.array.shape, axes)) if keepdim else y
