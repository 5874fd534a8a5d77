"""Tensors joined, cut and padded: what one does on the way forward, another does on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.backend import Array, array_module
from minidl.ops.broadcasting import (
    Operand,
    as_tensor,
    broadcast_to,
    promoted,
)
from minidl.ops.registry import op
from minidl.ops.shape import axis_of, flip, reshape, unsqueeze

if TYPE_CHECKING:
    from minidl.tensor import Tensor


@op(example=lambda draw: {"input": draw(3, 4), "shifts": 1, "dims": 1}, formula=r"y_{i} = x_{(i-s) \bmod n}",
    adjoint=r"\bar x_{i} = \bar y_{(i+s) \bmod n}")  # fmt: skip
def roll(input: Operand, shifts: int, dims: int) -> Tensor:
    """Elements moved on by `shifts` along `dims`; what leaves at the end comes in at the start."""
    x = as_tensor(input)
    axis = axis_of("roll", x.array.ndim, dims)
    size = x.array.shape[axis]
    cut = -shifts % size if size else 0
    return x if cut == 0 else cat([narrow(x, axis, cut, size - cut), narrow(x, axis, 0, cut)], axis)


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
