"""The same numbers in another arrangement: reshaped, permuted, joined, cut, padded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import Operand, Shape, as_tensor, broadcast_to, promoted
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


def axis_of(name: str, ndim: int, dim: int) -> int:
    """The axis `dim`, counted from 0; negative ones count from the end.

    Raises:
        IndexError: the tensor has no such dimension.
    """
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name}: dim {dim} is out of range for a tensor with {ndim} dimensions")
    return int(dim) % ndim


# ── one tensor, another shape ─────────────────────────────────────────────────────────────────────


class Reshape(Function):
    formula = r"y = \operatorname{reshape}(x)"
    adjoint = r"\bar x = \operatorname{reshape}^{-1}(\bar y)"
    __slots__ = ("before", "shape")
    is_view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return x.reshape(self.shape)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (reshape(gy, self.before),)


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
    dims = (dims,) if isinstance(dims, int) else dims
    return Flip(tuple([axis_of("flip", x.array.ndim, d) for d in dims]))(x)


@op(example=lambda draw: {"input": draw(3, 4), "shifts": 1, "dims": 1}, formula=r"y_{i} = x_{(i-s) \bmod n}",
    adjoint=r"\bar x_{i} = \bar y_{(i+s) \bmod n}")  # fmt: skip
def roll(input: Operand, shifts: int, dims: int) -> Tensor:
    """Elements moved on by `shifts` along `dims`; what leaves at the end comes in at the start."""
    x = as_tensor(input)
    axis = axis_of("roll", x.array.ndim, dims)
    size = x.array.shape[axis]
    cut = -shifts % size if size else 0
    return x if cut == 0 else cat([narrow(x, axis, cut, size - cut), narrow(x, axis, 0, cut)], axis)


# ── joining ───────────────────────────────────────────────────────────────────────────────────────


class Cat(Function):
    formula = r"y = [x_1, x_2, \dots]"
    adjoint = r"[\bar x_1, \bar x_2, \dots] = \bar y"
    __slots__ = ("axis", "sizes")

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        self.sizes = [x.shape[self.axis] for x in xs]
        return array_module(xs[0]).concatenate(xs, axis=self.axis)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        gxs, start = [], 0
        for size, need in zip(self.sizes, needs, strict=True):
            gxs.append(narrow(gy, self.axis, start, size) if need else None)
            start += size
        return tuple(gxs)


@op(Cat, example=lambda draw: {"tensors": [draw(2, 3), draw(2, 1)], "dim": 1})
def cat(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension; all other sizes must agree."""
    if not tensors:
        raise RuntimeError("cat: expected at least one tensor")
    xs = promoted(*[as_tensor(x) for x in tensors])
    axis = axis_of("cat", xs[0].array.ndim, dim)
    for i, x in enumerate(xs):
        a, b = x.array.shape, xs[0].array.shape
        if len(a) != len(b) or a[:axis] + a[axis + 1 :] != b[:axis] + b[axis + 1 :]:
            raise RuntimeError(f"cat: along dim {axis}, tensor {i} of shape {a} does not fit tensor 0 of shape {b}")
    return Cat(axis)(*xs)


@op(Cat, example=lambda draw: {"tensors": [draw(2, 3), draw(2, 3)], "dim": -1})
def stack(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    if not tensors:
        raise RuntimeError("stack: expected at least one tensor")
    xs = [as_tensor(x) for x in tensors]
    for i, x in enumerate(xs):
        if x.array.shape != xs[0].array.shape:
            raise RuntimeError(f"stack: tensor {i} has shape {x.array.shape}, tensor 0 has {xs[0].array.shape}")
    at = axis_of("stack", xs[0].array.ndim + 1, dim)
    return cat([unsqueeze(x, at) for x in xs], at)


# ── cutting ───────────────────────────────────────────────────────────────────────────────────────


class Narrow(Function):
    """A stretch of one axis; a view."""

    formula = r"y_i = x_{i + s},\quad 0 \le i < n"
    adjoint = r"\bar x_{j} = [s \le j < s + n]\, \bar y_{j - s}"
    __slots__ = ("axis", "length", "size", "start")
    is_view = True

    def __init__(self, axis: int, start: int, length: int) -> None:
        self.axis, self.start, self.length = axis, start, length

    def forward(self, x: Array) -> Array:
        self.size = x.shape[self.axis]
        return x[(slice(None),) * self.axis + (slice(self.start, self.start + self.length),)]

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        widths = [(0, 0)] * gy.array.ndim
        widths[self.axis] = (self.start, self.size - self.start - self.length)
        return (PadZeros(tuple(widths))(gy),)


@op(Narrow, example=lambda draw: {"input": draw(2, 5), "dim": 1, "start": 1, "length": 3})
def narrow(input: Operand, dim: int, start: int, length: int) -> Tensor:
    """The elements `start` … `start + length − 1` along `dim`, sharing memory."""
    x = as_tensor(input)
    axis = axis_of("narrow", x.array.ndim, dim)
    size = x.array.shape[axis]
    start = start + size if start < 0 else start
    if not (0 <= start <= size and 0 <= length <= size - start):
        raise RuntimeError(f"narrow: elements {start} to {start + length} of dimension {axis}, which has {size}")
    return x if length == size else Narrow(axis, start, length)(x)


@op(Narrow, example=lambda draw: {"tensor": draw(5, 2), "split_size_or_sections": [2, 3], "dim": 0})
def split(tensor: Operand, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """The tensor cut along `dim` into pieces of one size (the last may be smaller) or of the sizes given."""
    x = as_tensor(tensor)
    axis = axis_of("split", x.array.ndim, dim)
    size = x.array.shape[axis]
    if isinstance(split_size_or_sections, int):
        each = split_size_or_sections
        if each <= 0 and size:
            raise RuntimeError(f"split: the size of a piece must be positive, got {each}")
        sizes = [min(each, size - start) for start in range(0, size, max(each, 1))] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != size or any(n < 0 for n in sizes):
            raise RuntimeError(f"split: the sections {sizes} do not add up to dimension {axis}, which has {size}")
    starts = np.cumsum([0, *sizes[:-1]])
    return tuple([narrow(x, axis, int(start), n) for start, n in zip(starts, sizes, strict=True)])


@op(Narrow, example=lambda draw: {"input": draw(2, 5), "chunks": 2, "dim": 1})
def chunk(input: Operand, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """The tensor cut along `dim` into at most `chunks` pieces of equal size, the last perhaps smaller."""
    x = as_tensor(input)
    if chunks <= 0:
        raise RuntimeError(f"chunk: the number of pieces must be positive, got {chunks}")
    return split(x, max(-(-x.array.shape[axis_of("chunk", x.array.ndim, dim)] // chunks), 1), dim)


@op(Narrow, example=lambda draw: {"input": draw(3, 2), "dim": 1})
def unbind(input: Operand, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, each without that dimension."""
    x = as_tensor(input)
    axis = axis_of("unbind", x.array.ndim, dim)
    shape = x.array.shape[:axis] + x.array.shape[axis + 1 :]
    return tuple([reshape(narrow(x, axis, i, 1), shape) for i in range(x.array.shape[axis])])


# ── padding ───────────────────────────────────────────────────────────────────────────────────────


class PadZeros(Function):
    """Zeros, or another constant, around a tensor; negative widths cut instead."""

    formula = r"y_{i} = x_{i - p} \text{ inside},\ v \text{ outside}"
    adjoint = r"\bar x_{i} = \bar y_{i + p}"
    __slots__ = ("value", "widths")

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float = 0) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        cut = tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, self.widths, strict=True)])
        grow = [(max(a, 0), max(b, 0)) for a, b in self.widths]
        shape = [a + n + b for n, (a, b) in zip(x[cut].shape, grow, strict=True)]
        y = array_module(x).full(shape, self.value, x.dtype)
        y[tuple([slice(a, a + n) for n, (a, _) in zip(x[cut].shape, grow, strict=True)])] = x[cut]
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (PadZeros(tuple([(-a, -b) for a, b in self.widths]))(gy),)


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Continue one axis by reflecting it, by repeating its border, or around the circle."""
    size = x.array.shape[axis]
    if mode == "reflect" and max(before, after) >= size:
        raise RuntimeError(f"pad: reflecting {max(before, after)} elements needs more than the {size} of dim {axis}")
    if mode == "circular" and max(before, after) > size:
        raise RuntimeError(f"pad: {max(before, after)} elements do not fit around the {size} of dim {axis}")

    def border(at: int, count: int) -> Tensor:
        edge = narrow(x, axis, at, 1)
        return broadcast_to(edge, (*x.array.shape[:axis], count, *x.array.shape[axis + 1 :]))

    if mode == "reflect":
        left, right = flip(narrow(x, axis, 1, before), axis), flip(narrow(x, axis, size - 1 - after, after), axis)
    elif mode == "circular":
        left, right = narrow(x, axis, size - before, before), narrow(x, axis, 0, after)
    else:
        left, right = border(0, before), border(size - 1, after)
    return cat([left, x, right], axis)


@op(PadZeros, example=lambda draw: {"input": draw(1, 2, 3, 4), "pad": (1, 2, 0, 1), "mode": "constant", "value": 0.5})
def pad(input: Operand, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added around a tensor.

    Arguments:
        input: any shape.
        pad: (left, right, top, bottom, …): two widths for each dimension, the *last dimension first*; negative
            widths cut.
        mode: "constant", "reflect" (without the border), "replicate" (the border) or "circular".
        value: what "constant" adds, 0 by default.

    Source: `torch.nn.functional.pad`.
    """
    x = as_tensor(input)
    if len(pad) % 2 or len(pad) > 2 * x.array.ndim:
        raise RuntimeError(f"pad: expected two widths a dimension, at most {2 * x.array.ndim}, got {tuple(pad)}")
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode must be constant, reflect, replicate or circular, got {mode!r}")
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    if mode != "constant":
        for i, (before, after) in enumerate(pairs):
            if before or after:
                x = _pad_axis(x, x.array.ndim - 1 - i, before, after, mode)
        return x
    widths = ((0, 0),) * (x.array.ndim - len(pairs)) + tuple(reversed(pairs))
    for n, (a, b) in zip(x.array.shape, widths, strict=True):
        if n + a + b < 0:
            raise RuntimeError(f"pad: widths ({a}, {b}) leave nothing of a dimension with {n} elements")
    return PadZeros(widths, value or 0)(x)


# ── triangles ─────────────────────────────────────────────────────────────────────────────────────


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
