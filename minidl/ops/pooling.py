r"""Pooling: a window slides over every channel and leaves one number, its largest or its mean. Nothing is learned.

Both come with a partner that carries gradients back, and is carried back by it in turn:

    max      y = the pixels that won         ScatterWindows  puts each gy back on its winner
                                             GatherWindows   reads the winners: the adjoint of scattering
    average  y = the mean of every window    AvgPool2dGrad   shares each gy among its window

Which pixel won is an array of integers, a constant of both directions.

Document 002 names the formulas without giving them (ERRATA 002-F2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from minidl.autograd.function import Function, Needs
from minidl.autograd.variable import Variable
from minidl.backend import Array
from minidl.kernels import Padding, Pair, kernels_for
from minidl.ops.broadcasting import Operand, floating
from minidl.ops.registry import DISTINCT, op
from minidl.ops.windows import Size, as_given, as_images, pair

if TYPE_CHECKING:
    from minidl.tensor import Tensor

OutputSize: TypeAlias = "int | Sequence[int | None] | None"
"""A size, None to keep the input's, or one of these for each direction."""


# ── the largest of each window ────────────────────────────────────────────────────────────────────


class MaxPool2d(Function):
    """The largest pixel of every window; the first of equal ones. The padding is −∞ and never wins."""

    formula = r"y_{ncij} = \max_{u,v} x_{n,c,\,iS+uD-P,\,jS+vD-P}"
    adjoint = r"\bar x_{nchw} = \sum_{i,j} [\,k_{ncij} = (h, w)\,]\; \bar y_{ncij}"
    __slots__ = ("geometry", "image")

    def __init__(self, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, out_hw: Pair) -> None:
        self.geometry = (kernel, stride, padding, dilation, out_hw)

    def forward(self, x: Array) -> Array:
        self.image = x.shape[2:]
        y, winners = kernels_for(x).max_pool2d(x, *self.geometry)
        self.buffers = (winners,)
        return y

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (ScatterWindows(self.buffers[0], self.image)(gy),)


class ScatterWindows(Function):
    """Every number added to the pixel that its window chose."""

    formula = r"y_{nchw} = \sum_{i,j} [\,k_{ncij} = (h, w)\,]\; x_{ncij}"
    adjoint = r"\bar x_{ncij} = \bar y_{n,c,\,k_{ncij}}"
    __slots__ = ("image",)

    def __init__(self, winners: Array, image: Pair) -> None:
        self.buffers, self.image = (winners,), image

    def forward(self, x: Array) -> Array:
        return kernels_for(x).scatter_windows(x, self.buffers[0], self.image)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (GatherWindows(self.buffers[0])(gy),)


class GatherWindows(Function):
    """The pixel that each window chose."""

    formula = r"y_{ncij} = x_{n,c,\,k_{ncij}}"
    adjoint = r"\bar x_{nchw} = \sum_{i,j} [\,k_{ncij} = (h, w)\,]\; \bar y_{ncij}"
    __slots__ = ("image",)

    def __init__(self, winners: Array) -> None:
        self.buffers = (winners,)

    def forward(self, x: Array) -> Array:
        self.image = x.shape[2:]
        return kernels_for(x).gather_windows(x, self.buffers[0])

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (ScatterWindows(self.buffers[0], self.image)(gy),)


@op(MaxPool2d, ScatterWindows, GatherWindows, domain=DISTINCT, oracle="richardson",
    example=lambda draw: {"input": draw(2, 2, 5, 6), "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0),
                          "dilation": (1, 2), "ceil_mode": True})  # fmt: skip
def max_pool2d(input: Operand, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    r"""The largest pixel of every window. The gradient goes to it alone, the first of equal ones.

    Arguments:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: KH, KW, one number or (height, width), as all sizes.
        stride: pixels from one window to the next; by default the kernel's size.
        padding: pixels added on every side, at most half the window; they count as −∞.
        dilation: pixels from one element of the window to the next.
        ceil_mode: round the number of windows up, so that the last ones may hang over the border.
        return_indices: also return where the largest stood, h·W + w, int64.

    Returns:
        (N, C, OH, OW), with `return_indices` also the indices of the same shape.

    Raises:
        RuntimeError: too much padding, or no window fits.

    >>> import minidl as dl
    >>> max_pool2d(dl.tensor([[[1.0, 3.0, 2.0, 4.0], [6.0, 5.0, 1.0, 0.0]]]), 2)
    tensor([[[6., 4.]]])
    """
    return _max_pooled("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@op(MaxPool2d, ScatterWindows, GatherWindows, domain=DISTINCT, oracle="richardson",
    example=lambda draw: {"input": draw(2, 3, 7), "kernel_size": 3, "stride": 2, "padding": 1})  # fmt: skip
def max_pool1d(input: Operand, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The largest number of every window of a signal (N, C, L) or (C, L); arguments as in `max_pool2d`."""
    return _max_pooled("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pooled(name: str, dims: int, input: Operand, kernel_size: Size, stride: Size | None, padding: Size,
                dilation: Size, ceil_mode: bool, return_indices: bool) -> Any:  # fmt: skip
    given = floating(input)
    x = as_images(name, given, dims)
    D = pair(name, "dilation", dilation, dims)
    K, S, P, out = _windows(name, dims, x, kernel_size, stride, padding, D, ceil_mode)
    pool = MaxPool2d(K, S, (P[0], P[0], P[1], P[1]), D, out)
    y = as_given(pool(x), given, dims)
    if not return_indices:
        return y
    return y, as_given(Variable._wrap(pool.buffers[0].copy()), given, dims)


def _windows(name: str, dims: int, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, D: Pair,
             ceil_mode: bool) -> tuple[Pair, Pair, Pair, Pair]:  # fmt: skip
    """Kernel, stride and padding as pairs, and how many windows fit."""
    K = pair(name, "kernel_size", kernel_size, dims)
    S = K if stride is None or stride == () else pair(name, "stride", stride, dims)
    P = pair(name, "padding", padding, dims)
    out = []
    for size, k, s, p, d in zip(x.array.shape[2:], K, S, P, D, strict=True):
        span = d * (k - 1) + 1
        if min(k, s, d) < 1:
            raise RuntimeError(f"{name}: kernel, stride and dilation must be at least 1, got {k}, {s} and {d}")
        if not 0 <= p <= span // 2:
            raise RuntimeError(f"{name}: padding {p} must lie between 0 and half the window, {span // 2}")
        room = size + 2 * p - span
        count = -(-room // s) + 1 if ceil_mode else room // s + 1
        if ceil_mode and (count - 1) * s >= size + p:  # the last window would start in the padding on the right
            count -= 1
        if count < 1:
            raise RuntimeError(f"{name}: a window of {span} does not fit into {size} pixels with padding {p}")
        out.append(count)
    return K, S, P, (out[0], out[1])


# ── the mean of each window ───────────────────────────────────────────────────────────────────────


class AvgPool2d(Function):
    """The mean of every window."""

    formula = r"y_{ncij} = \tfrac{1}{d_{ij}} \sum_{u,v} x_{n,c,\,iS+u-P,\,jS+v-P}"
    adjoint = r"\bar x_{nchw} = \sum_{i,j \,\ni\, (h, w)} \bar y_{ncij} / d_{ij}"
    __slots__ = ("divisor", "image", "out_hw", "windows")

    def __init__(self, windows: tuple[Pair, Pair, Padding], out_hw: Pair, divisor: tuple[bool, int | None]) -> None:
        self.windows, self.out_hw, self.divisor = windows, out_hw, divisor

    def forward(self, x: Array) -> Array:
        self.image = x.shape[2:]
        return kernels_for(x).avg_pool2d(x, *self.windows, self.out_hw, *self.divisor)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (AvgPool2dGrad(self.windows, self.image, self.divisor)(gy),)


class AvgPool2dGrad(Function):
    """Every number shared among the pixels of its window: the adjoint of `AvgPool2d`."""

    formula = r"y_{nchw} = \sum_{i,j \,\ni\, (h, w)} x_{ncij} / d_{ij}"
    adjoint = r"\bar x_{ncij} = \tfrac{1}{d_{ij}} \sum_{u,v} \bar y_{n,c,\,iS+u-P,\,jS+v-P}"
    __slots__ = ("divisor", "image", "out_hw", "windows")

    def __init__(self, windows: tuple[Pair, Pair, Padding], image: Pair, divisor: tuple[bool, int | None]) -> None:
        self.windows, self.image, self.divisor = windows, image, divisor

    def forward(self, x: Array) -> Array:
        self.out_hw = (x.shape[2], x.shape[3])
        return kernels_for(x).avg_pool2d_grad(x, self.image, *self.windows, *self.divisor)

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (AvgPool2d(self.windows, self.out_hw, self.divisor)(gy),)


@op(AvgPool2d, AvgPool2dGrad,
    example=lambda draw: {"input": draw(2, 2, 5, 6), "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0),
                          "ceil_mode": True, "count_include_pad": False})  # fmt: skip
def avg_pool2d(input: Operand, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """The mean of every window.

    Arguments:
        input, kernel_size, stride, padding, ceil_mode: as in `max_pool2d`, but the padding counts as 0.
        count_include_pad: whether the padding counts in what the sum is divided by.
        divisor_override: divide by this number instead.

    Returns:
        (N, C, OH, OW).

    >>> import minidl as dl
    >>> avg_pool2d(dl.tensor([[[1.0, 3.0, 2.0, 4.0], [6.0, 5.0, 1.0, 3.0]]]), 2)
    tensor([[[3.75, 2.5 ]]])
    """
    return _averaged("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)  # fmt: skip


@op(AvgPool2d, AvgPool2dGrad,
    example=lambda draw: {"input": draw(2, 3, 7), "kernel_size": 3, "stride": 2, "padding": 1})  # fmt: skip
def avg_pool1d(input: Operand, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:  # fmt: skip
    """The mean of every window of a signal (N, C, L) or (C, L); arguments as in `avg_pool2d`."""
    return _averaged("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def _averaged(name: str, dims: int, input: Operand, kernel_size: Size, stride: Size | None, padding: Size,
              ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Tensor:  # fmt: skip
    given = floating(input)
    x = as_images(name, given, dims)
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor_override must not be 0")
    K, S, P, out = _windows(name, dims, x, kernel_size, stride, padding, (1, 1), ceil_mode)
    pool = AvgPool2d((K, S, (P[0], P[0], P[1], P[1])), out, (count_include_pad, divisor_override))
    return as_given(pool(x), given, dims)
