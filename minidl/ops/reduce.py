"""Many numbers to one: sums, means, extremes, norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, as_tensor, broadcast_to, cast, floating
from minidl.ops.elementwise import abs, exp, maximum, minimum, mul, sqrt, where
from minidl.ops.registry import DISTINCT, NONZERO, op
from minidl.ops.shape import flip, reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Dims: TypeAlias = "int | tuple[int, ...] | list[int] | None"


class Extreme(NamedTuple):
    """What `max`, `min`, `sort` and `topk` return along a dimension: the values and where they stood."""

    values: Tensor
    indices: Tensor


def axes_of(name: str, ndim: int, dim: Dims) -> tuple[int, ...]:
    """The axes meant by `dim`, from 0 to ndim−1, in order; all of them for None.

    Raises:
        IndexError: an axis that the tensor does not have.
        ValueError: an axis named twice.
    """
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int | np.integer) else tuple(dim)
    if not dims:
        return tuple(range(ndim))
    room = max_(ndim, 1)  # a 0-d tensor lets itself be reduced along dim 0 and −1
    for d in dims:
        if not -room <= d < room:
            raise IndexError(f"{name}: dim {d} is out of range for a tensor with {ndim} dimensions")
    axes = tuple([int(d) % room for d in dims])
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: dim {dims} names a dimension twice")
    return axes if ndim else ()


def max_(a: int, b: int) -> int:
    """The larger of two integers."""
    return a if a > b else b


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
        return broadcast_to(reshape(g, kept_shape(self.shape, self.axes)), self.shape)


class Sum(_Reduction):
    formula = r"y = \sum_i x_i"
    adjoint = r"\bar x_i = \bar y"

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
        xp.add.at(y, tuple([xp.asarray(g) for g in grid]), x)
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
    indices = array_module(order).take(order, np.arange(k), axis=axis)
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


class LogSumExp(_Reduction):
    formula = r"y = \ln \sum_i e^{x_i}"
    adjoint = r"\bar x_i = e^{x_i - y}\, \bar y"
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        xp = array_module(x)
        top = x.real.max(axis=self.axes, keepdims=True) if x.size else xp.zeros(kept_shape(x.shape, self.axes))
        top = xp.where(xp.isfinite(top), top, 0).astype(x.real.dtype)  # −∞ everywhere: nothing to subtract
        with np.errstate(divide="ignore"):
            y = xp.log(xp.exp(x - top).sum(axis=self.axes, keepdims=True)) + top
        return y if self.keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,), (y,) = self.saved_inputs, self.saved_outputs
        return (self.spread(gy) * exp(x - self.spread(y)),)


@op(LogSumExp, example=lambda draw: {"input": draw(2, 3, 4), "dim": (1, 2)}, orders=3)
def logsumexp(input: Operand, dim: Dims, keepdim: bool = False) -> Tensor:
    r"""$y = \ln\sum_i e^{x_i}$ over `dim`, with the largest element taken out first so that nothing overflows."""
    x = floating(input)
    return LogSumExp(axes_of("logsumexp", x.array.ndim, dim), keepdim)(x)


class Norm(_Reduction):
    formula = r"y = \sqrt{\textstyle\sum_i x_i^2}"
    adjoint = r"\bar x_i = \frac{x_i}{y}\, \bar y"
    saves_inputs = (0,)
    saves_output = True

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        xp = array_module(x)
        if x.dtype.kind == "c":
            return xp.sqrt((x * x).sum(axis=self.axes, keepdims=self.keepdim))
        wide = xp.float32 if x.dtype == np.float16 else x.dtype
        return xp.sqrt(xp.square(x, dtype=wide).sum(axis=self.axes, keepdims=self.keepdim)).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        (x,), (y,) = self.saved_inputs, self.saved_outputs
        slope = where(y == 0, 0, gy) / where(y == 0, 1, y)  # the subgradient at 0 is 0
        return (x * self.spread(slope),)


@op(Norm, example=lambda draw: {"input": draw(2, 3), "dim": 1}, domain=NONZERO)
def norm(input: Operand, p: float | str = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    r"""$y = (\sum_i |x_i|^p)^{1/p}$ over `dim`; the gradient at 0 is 0.

    Arguments:
        p: 2 (also "fro"), 1, ±inf, or any number > 0.
    """
    x = floating(input)
    axes = axes_of("norm", x.array.ndim, dim)
    if p in (2, "fro"):
        return Norm(axes, keepdim)(x)
    if p == 1:
        return sum(abs(x), axes, keepdim)
    if p in (math.inf, -math.inf):
        return (amax if p == math.inf else amin)(abs(x), axes, keepdim)
    if not isinstance(p, int | float) or p <= 0:
        raise ValueError(f"norm: p must be a positive number, ±inf or 'fro', got {p!r}")
    size = where(x == 0, 0, abs(where(x == 0, 1, x)) ** p)  # the slope of 0ᵖ, infinite for p < 1, counts as 0
    total = sum(size, axes, keepdim)
    return where(total == 0, 0, where(total == 0, 1, total) ** (1 / p))
