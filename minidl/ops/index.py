"""Elements picked by position, and their adjoint: gradients added back to where the elements came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.kernels import kernels_for
from minidl.ops.broadcasting import Operand, as_tensor, promoted
from minidl.ops.choice import where
from minidl.ops.registry import op
from minidl.ops.shape import axis_of
from minidl.ops.transfer import clone

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Index = Any


def is_basic(index: Index) -> bool:
    """Whether an index picks a regular grid, so that the result is a view and nothing is picked twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(p, int | np.integer | slice) or p is None or p is Ellipsis for p in parts) and not any(
        isinstance(p, bool) for p in parts
    )


class GetItem(Function):
    formula = r"y_i = x_{k_i}"
    adjoint = r"\bar x_j = \sum_i [k_i = j]\, \bar y_i"
    __slots__ = ("shape",)

    def __init__(self, index: Index) -> None:
        self.buffers = (index,)

    @property
    def is_view(self) -> bool:  # type: ignore[override]  # only a regular grid shares memory
        return is_basic(self.buffers[0])

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x[self.buffers[0]]

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (PutItem(self.buffers[0], self.shape)(gy),)


class PutItem(Function):
    """The adjoint of `GetItem`: adds to where elements were taken; one taken twice receives twice."""

    formula = r"y_j = \sum_i [k_i = j]\, x_i"
    adjoint = r"\bar x_i = \bar y_{k_i}"
    __slots__ = ("shape",)

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        self.buffers, self.shape = (index,), shape

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        index = self.buffers[0]
        y = xp.zeros(self.shape, x.dtype)
        if is_basic(index):
            y[index] = x
        else:
            add_at(y, index, x)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (GetItem(self.buffers[0])(gy),)


def add_at(y: Array, index: Index, x: Array) -> None:
    """y[index] += x, with repeats; on a GPU in a fixed order too, so that two runs give the same bits."""
    xp = array_module(y)
    if not isinstance(index, tuple) and getattr(index, "ndim", 0) == 1 and index.dtype.kind in "iu":
        kernels_for(y).add_rows(y, index, x)
    elif xp is np:
        np.add.at(y, index, x)
    else:
        places = xp.arange(y.size).reshape(y.shape)[index]
        kernels_for(y).add_rows(y.reshape(-1), places.reshape(-1), xp.broadcast_to(x, places.shape).reshape(-1))


def _as_now(index: Any) -> Array:
    """A copy of an index, which the gradient needs as it is now; made on the tape, so a recorder knows its origin."""
    return clone(index).array


def _plain(index: Index, xp: Any) -> Index:
    """An index with tensors and lists turned into arrays of the tensor's library."""
    if isinstance(index, tuple):
        return tuple([_plain(part, xp) for part in index])
    if isinstance(index, Variable):
        if index.array.dtype.kind not in "iub":
            raise IndexError(f"index: a tensor index must be integer or bool, got {index.array.dtype.name}")
        whole = index.array.ndim == 0 and index.array.dtype.kind in "iu"
        return int(index.array) if whole else _as_now(as_tensor(index))
    return xp.asarray(index) if isinstance(index, list) else index


def in_turn(index: Index) -> tuple[Index, ...]:
    """An index as one or two, applied one after the other: integers come before arrays, as in PyTorch.

    NumPy takes an integer beside an array for an array as well, and where a slice stands between the two their
    dimension moves to the front: for x (2, 3, 4), `x[0, :, [0, 1]]` is (2, 3) in NumPy and (3, 2) in PyTorch and here.
    """
    if not isinstance(index, tuple):
        return (index,)
    whole = [isinstance(p, int | np.integer) and not isinstance(p, bool) for p in index]
    plain = [p is None or p is Ellipsis or isinstance(p, slice) for p in index]
    picking = [i for i, p in enumerate(plain) if not p]
    if not any(whole) or whole.count(True) == len(picking) or len(picking) == picking[-1] - picking[0] + 1:
        return (index,)
    first: list[Index] = []
    second: list[Index] = []
    for part, is_whole, is_plain in zip(index, whole, plain, strict=True):
        kept = is_whole or is_plain
        first += [part] if kept else [slice(None)] * (part.ndim if getattr(part, "dtype", None) == np.bool_ else 1)
        if not is_whole:
            second.append(part if not is_plain or part is Ellipsis else slice(None))
    return tuple(first), tuple(second)


@op(GetItem, PutItem, example=lambda draw: {"input": draw(4, 3), "index": (np.array([0, 0, 2]), slice(0, 2))})
def getitem(input: Operand, index: Index) -> Tensor:
    """`x[index]`: integers, slices, None, "...", integer and bool arrays or tensors; slices may step backwards.

    Raises:
        IndexError: a position outside the tensor.
    """
    x = y = as_tensor(input)
    try:
        for part in in_turn(_plain(index, array_module(x.array))):
            y = GetItem(part)(y)
        return y
    except IndexError as error:
        raise IndexError(f"index: {error} (the tensor has shape {x.array.shape})") from None


def _integers(name: str, index: Operand, like: Array) -> Array:
    k = as_tensor(index)
    if k.array.dtype.kind not in "iu":
        raise TypeError(f"{name}: the index must be an integer tensor, got {k.array.dtype.name}")
    return _as_now(k) if isinstance(index, Variable) else k.array


def _in_range(name: str, k: Array, size: int) -> None:
    """Refuse positions outside a dimension; a GPU would wrap them silently."""
    if k.size and not (-size <= int(k.min()) and int(k.max()) < size):
        raise IndexError(f"{name}: positions {int(k.min())} to {int(k.max())}, but the dimension has {size}")


@op(GetItem, PutItem, example=lambda draw: {"input": draw(3, 4), "dim": 1, "index": np.array([0, 2, 2])})
def index_select(input: Operand, dim: int, index: Operand) -> Tensor:
    """The slices `index` along `dim`, repeats allowed."""
    x = as_tensor(input)
    axis = axis_of("index_select", x.array.ndim, dim)
    k = _integers("index_select", index, x.array)
    _in_range("index_select", k, x.array.shape[axis])
    return getitem(x, (slice(None),) * axis + (k,) if axis else k)


@op(GetItem, PutItem, example=lambda draw: {"input": draw(3, 4), "dim": 1, "index": np.array([[0, 0], [3, 1], [2, 2]])})
def gather(input: Operand, dim: int, index: Operand) -> Tensor:
    """$y_{ij} = x_{i,k_{ij}}$ along `dim`: an element for each entry of `index`, which has as many dimensions as x."""
    x = as_tensor(input)
    axis = axis_of("gather", x.array.ndim, dim)
    k = _integers("gather", index, x.array)
    if k.ndim != x.array.ndim:
        raise RuntimeError(f"gather: the index has {k.ndim} dimensions, the tensor {x.array.ndim}")
    for i, (n, size) in enumerate(zip(k.shape, x.array.shape, strict=True)):
        if i != axis and n > size:
            raise RuntimeError(f"gather: the index has {n} entries along dim {i}, the tensor only {size}")
    _in_range("gather", k, x.array.shape[axis])
    xp = array_module(x.array)
    grid = list(xp.ix_(*[xp.arange(n) for n in k.shape]))
    grid[axis] = k
    return getitem(x, tuple(grid))


class ScatterAdd(Function):
    formula = r"y_j = x_j + \sum_i [k_i = j]\, s_i"
    adjoint = r"\bar x = \bar y,\quad \bar s_i = \bar y_{k_i}"

    def __init__(self, index: Index) -> None:
        self.buffers = (index,)

    def forward(self, x: Array, s: Array) -> Array:
        y = x.copy()
        add_at(y, self.buffers[0], s)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return gy if needs[0] else None, GetItem(self.buffers[0])(gy) if needs[1] else None


@op(ScatterAdd, example=lambda draw: {"input": draw(3, 4), "dim": 1, "index": np.array([[0, 0], [3, 1], [2, 2]]),
                                      "src": draw(3, 2)})  # fmt: skip
def scatter_add(input: Operand, dim: int, index: Operand, src: Operand) -> Tensor:
    """A copy of the tensor with each element of `src` added at its place along `dim`; repeats add up."""
    x, s = promoted(input, src)
    axis = axis_of("scatter_add", x.array.ndim, dim)
    k = _integers("scatter_add", index, x.array)
    _in_range("scatter_add", k, x.array.shape[axis])
    if k.shape != s.array.shape:
        raise RuntimeError(f"scatter_add: the index has shape {k.shape}, src {s.array.shape}")
    xp = array_module(x.array)
    grid = list(xp.ix_(*[xp.arange(n) for n in k.shape]))
    grid[axis] = k
    return ScatterAdd(tuple(grid))(x, s)


@op(example=lambda draw: {"input": draw(2, 3), "mask": np.array([[True, False, True]]), "value": 0.5},
    formula=r"y_i = m_i \;?\; v : x_i", adjoint=r"\bar x_i = m_i \;?\; 0 : \bar y_i")  # fmt: skip
def masked_fill(input: Operand, mask: Operand, value: Operand) -> Tensor:
    """The tensor with `value` where the mask is True; no gradient passes there."""
    x = as_tensor(input)
    number = as_tensor(np.asarray(value, x.array.dtype)) if isinstance(value, int | float) else value
    return where(mask, number, x)


def one_hot(tensor: Operand, num_classes: int = -1) -> Tensor:
    """Integers as rows with a single 1, int64, of shape (…, num_classes).

    Arguments:
        tensor: integers from 0 to num_classes − 1.
        num_classes: −1 takes the largest integer plus 1.

    Raises:
        RuntimeError: a negative integer, or one that does not fit.
    """
    k = _integers("one_hot", tensor, np.zeros(0))
    if k.size and int(k.min()) < 0:
        raise RuntimeError(f"one_hot: class {int(k.min())} is negative")
    if num_classes == -1:
        if k.size == 0:
            raise RuntimeError("one_hot: an empty tensor does not say how many classes there are; pass num_classes")
        num_classes = int(k.max()) + 1
    if k.size and int(k.max()) >= num_classes:
        raise RuntimeError(
            f"one_hot: class {int(k.max())} does not fit into {num_classes} classes (0 … {num_classes - 1})"
        )
    xp = array_module(k)
    return Variable._wrap((k[..., None] == xp.arange(num_classes)).astype(np.int64))


def nonzero(input: Operand, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero, (count, ndim), in order; or one vector a dimension."""
    x = as_tensor(input).array
    if as_tuple:
        return tuple([Variable._wrap(indices) for indices in array_module(x).atleast_1d(x).nonzero()])
    return Variable._wrap(array_module(x).argwhere(x))
