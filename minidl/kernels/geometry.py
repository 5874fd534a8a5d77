"""Sizes and index ranges of sliding windows, shared by every room, with the sentences for windows that do not fit."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from minidl.backend import Array

Pair: TypeAlias = tuple[int, int]
"""(height, width)."""

Padding: TypeAlias = tuple[int, int, int, int]
"""Rows and columns added at the (top, bottom, left, right)."""


class Windows(NamedTuple):
    """Windows of KH×KW pixels, SH×SW apart, laid over an H×W plane with a border round it; OH×OW of them fit.

    Pixel (i, j) of window (oh, ow) is pixel (oh·SH − top + i·DH, ow·SW − left + j·DW) of the plane.
    """

    H: int
    W: int
    KH: int
    KW: int
    SH: int
    SW: int
    top: int
    bottom: int
    left: int
    right: int
    DH: int
    DW: int
    OH: int
    OW: int


class Convolution(NamedTuple):
    """Every size in one convolution of x (N,C,H,W) with w (O,C/G,KH,KW)."""

    N: int
    C: int
    O: int
    G: int
    windows: Windows

    @property
    def K(self) -> int:
        """How many weights one output channel has: C/G·KH·KW."""
        return self.C // self.G * self.windows.KH * self.windows.KW

    @property
    def P(self) -> int:
        """How many pixels one output plane has: OH·OW."""
        return self.windows.OH * self.windows.OW


@lru_cache(maxsize=512)
def conv_windows(name: str, input_hw: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Windows:
    """The windows that fit wholly into the padded plane: OH = ⌊(H + top + bottom − DH·(KH−1) − 1) / SH⌋ + 1.

    Arguments:
        name: the function that asks, for the error sentence.
        input_hw: (H, W) of the plane.
        kernel, stride, dilation: (h, w) pairs, each ≥ 1.
        padding: (top, bottom, left, right), each ≥ 0.

    Raises:
        ValueError: a size is not allowed, or no window fits.
    """
    H, W = input_hw
    top, bottom, left, right = padding
    _check_sizes(name, kernel, stride, padding, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    rows, columns = H + top + bottom, W + left + right
    if rows < spans[0] or columns < spans[1]:
        raise ValueError(
            f"{name}: the kernel (K={kernel[0]}×{kernel[1]}, dilation {dilation[0]}×{dilation[1]}) spans "
            f"{spans[0]}×{spans[1]} pixels, more than the padded input's {rows}×{columns}"
        )
    OH, OW = (rows - spans[0]) // stride[0] + 1, (columns - spans[1]) // stride[1] + 1
    return Windows(H, W, *kernel, *stride, *padding, *dilation, OH, OW)


@lru_cache(maxsize=512)
def pool_windows(
    name: str, input_hw: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, out_hw: Pair
) -> Windows:
    """OH×OW windows whose last ones may run past the padded plane, as pooling with ceil_mode wants.

    Raises:
        ValueError: a size is not allowed, or a window covers no pixel of the plane.
    """
    _check_sizes(name, kernel, stride, padding, dilation)
    for axis, before, letter in ((0, padding[0], "row"), (1, padding[2], "column")):
        size, K, S, D = input_hw[axis], kernel[axis], stride[axis], dilation[axis]
        for o in range(out_hw[axis]):
            start = o * S - before
            if not any(0 <= start + k * D < size for k in range(K)):
                raise ValueError(
                    f"{name}: the window at output {letter} {o} starts at {start} and covers only padding "
                    f"(K={K}, stride {S}, dilation {D}, input size {size})"
                )
    return Windows(*input_hw, *kernel, *stride, *padding, *dilation, *out_hw)


def convolution(
    name: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Convolution:
    """The sizes of a convolution, or the sentence that says why x and w do not go together.

    Raises:
        ValueError: the channels, groups or windows do not fit.
    """
    return _convolution(name, tuple(x_shape), tuple(w_shape), stride, padding, dilation, groups)


@lru_cache(maxsize=512)
def _convolution(
    name: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Convolution:
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ValueError(f"{name}: x must be (N,C,H,W) and w (O,C/G,KH,KW), got shapes {x_shape} and {w_shape}")
    N, C, H, W = x_shape
    O, CG, KH, KW = w_shape
    if groups < 1 or C % groups or O % groups:
        raise ValueError(f"{name}: groups={groups} must divide C={C} input and O={O} output channels")
    if CG * groups != C:
        expected = f"{CG * groups}" if groups == 1 else f"{CG}·{groups}={CG * groups}"
        raise ValueError(
            f"{name}: x has C={C} channels, but the weight (K={KH}×{KW}, C={CG}, groups={groups}) expects {expected}"
        )
    return Convolution(N, C, O, groups, conv_windows(name, (H, W), (KH, KW), stride, padding, dilation))


def check_gy(name: str, gy_shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse an output gradient whose shape is not the output's.

    Raises:
        ValueError: the shapes differ.
    """
    if tuple(gy_shape) != expected:
        raise ValueError(f"{name}: the output gradient must have shape {expected}, got {tuple(gy_shape)}")


@lru_cache(maxsize=512)
def window_divisors(v: Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    """What average pooling divides each window's sum by, (OH, OW) float64.

    A window is first cut at the end of the padded plane, which is how PyTorch treats ceil_mode. Its cells count with
    the padding (`count_include_pad`) or without.
    """
    if divisor_override is not None:
        divisors = np.full((v.OH, v.OW), float(divisor_override))
    else:
        rows = _cells(v.OH, v.SH, v.KH, v.top, v.bottom, v.H, count_include_pad)
        columns = _cells(v.OW, v.SW, v.KW, v.left, v.right, v.W, count_include_pad)
        divisors = np.outer(rows, columns)
    divisors.flags.writeable = False
    return divisors


def _cells(count: int, stride: int, kernel: int, before: int, after: int, size: int, with_padding: bool) -> Array:
    start = np.arange(count) * stride - before
    stop = np.minimum(start + kernel, size + after)
    if not with_padding:
        start, stop = np.maximum(start, 0), np.minimum(stop, size)
    return (stop - start).astype(np.float64)


def _check_sizes(name: str, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> None:
    for word, sizes in (("kernel size", kernel), ("stride", stride), ("dilation", dilation)):
        if min(sizes) < 1:
            raise ValueError(f"{name}: every {word} must be ≥ 1, got {sizes[0]}×{sizes[1]}")
    if min(padding) < 0:
        raise ValueError(f"{name}: padding must be ≥ 0, got (top, bottom, left, right) = {padding}")


DEAD = 255
"""Code of a pooling window whose maximum the ReLU cut off: nobody in it gets a gradient."""


def pooled_hw(s: Convolution, kernel: Pair, stride: Pair) -> Pair:
    """(rows, columns) of whole pooling windows in a convolution's output.

    Raises:
        ValueError: no window fits, or a window has more pixels than a code can name.
    """
    if kernel[0] * kernel[1] > DEAD:
        raise ValueError(f"conv2d_relu_max_pool2d: a window of {kernel[0]}×{kernel[1]} has more than {DEAD} pixels")
    v = s.windows
    w = conv_windows("conv2d_relu_max_pool2d", (v.OH, v.OW), kernel, stride, (0, 0, 0, 0), (1, 1))
    return w.OH, w.OW
