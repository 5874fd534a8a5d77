"""Convolution and its two gradients: `correlate.cu`, `weight_gradient.cu`, and both on tensor cores."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import portable
from minidl.kernels.geometry import Convolution, Padding, Pair, check_gy, convolution
from minidl.kernels.gpu.launcher import FLOATS, Kernel, is_float, ready
from minidl.kernels.gpu.slices import add_slices
from minidl.kernels.precision import tensor_core_factors


def _is_used(dtype: str, tile: str, pooled: str) -> bool:
    """Whether a tile of this size is ever wanted: the large one needs registers."""
    return tile == "64, 64" or (dtype == "float" and (tile, pooled) != ("128, 128", "true"))


_CORRELATE = Kernel(
    "correlate.cu", "correlate", FLOATS[:2], ("32, 128", "64, 64", "128, 128"), ("false", "true"), where=_is_used
)
_FACTORS = {"float16": "__half, __half", "tf32": "float, float", "bfloat16": "float, __nv_bfloat16"}
"""Types of the arrays and of the factors, for each kind that tensor cores multiply."""

_TENSOR_CORES = Kernel("correlate_tensor_cores.cu", "correlate_tensor_cores", tuple(_FACTORS.values()))
_WEIGHT_GRADIENT = Kernel("weight_gradient.cu", "weight_gradient", FLOATS[:2])
_WEIGHT_GRADIENT_TENSOR_CORES = Kernel(
    "weight_gradient_tensor_cores.cu", "weight_gradient_tensor_cores", tuple(_FACTORS.values())
)

# Blocks that keep a large GPU busy; a weight gradient is cut into slices until there are about as many. It does not
# ask the GPU, so that the order of a sum, and with it the result, is the same on all of them.
_BUSY = 512
_SHORTEST_SLICE = 512


class Correlation(NamedTuple):
    """The struct of `correlation.cuh`."""

    N: int
    G: int
    M: int
    C: int
    H: int
    W: int
    A: int
    B: int
    I: int
    J: int
    h0: int
    hs: int
    hd: int
    w0: int
    ws: int
    wd: int
    KW: int
    i0: int
    istep: int
    j0: int
    jstep: int
    Y: int
    X: int
    ya: int
    yas: int
    yb: int
    ybs: int
    wg: int
    wm: int
    wc: int


def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    """See `reference.conv2d`."""
    s = convolution("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    dtype = np.result_type(x, w)
    if not is_float(dtype):
        return portable.conv2d(x, w, b, stride, padding, dilation, groups)
    y: Array = array_module(x).empty((s.N, s.O, s.windows.OH, s.windows.OW), dtype)
    correlate(as_correlation(s), w, x, b, y)
    return y


def as_correlation(s: Convolution) -> Correlation:
    """A convolution as the sum of `correlation.cuh`."""
    v, C, M = s.windows, s.C // s.G, s.O // s.G
    taps = v.KH * v.KW
    return Correlation(
        s.N, s.G, M, C, v.H, v.W, v.OH, v.OW, v.KH, v.KW, -v.top, v.SH, v.DH, -v.left, v.SW, v.DW,
        v.KW, 0, 1, 0, 1, v.OH, v.OW, 0, 1, 0, 1, M * C * taps, C * taps, taps,
    )  # fmt: skip


def correlate(s: Correlation, w: Array, x: Array, b: Array | None, y: Array, winners: Array | None = None) -> None:
    """Write the sum to y, in the dtype of y; with `winners`, its maxima over 2×2 windows where they are above 0."""
    w, x, b = ready(w, y.dtype), ready(x, y.dtype), None if b is None else ready(b, y.dtype)
    pixels = s.N * s.A * s.B if winners is None else s.N * (s.A // 2) * (s.B // 2) * 4
    factors = tensor_core_factors(y) if winners is None else None
    if factors is not None:
        _TENSOR_CORES((_FACTORS[factors],), (-(-pixels // 64), -(-s.M // 64), s.G), (128,), w, x, b, y, s)
        return
    BM, BN = _tile(s.M, pixels, winners is not None) if y.dtype == np.float32 else (64, 64)
    blocks = (-(-pixels // BN), -(-s.M // BM), s.G)
    _CORRELATE((y.dtype, f"{BM}, {BN}", str(winners is not None).lower()), blocks, (256,), w, x, b, y, winners, s)


def _tile(rows: int, pixels: int, pooled: bool) -> Pair:
    """How much of the result a block computes: no wider than there are rows, and enough blocks for a large GPU."""
    if rows <= 32:
        return 32, 128
    large = rows > 64 and not pooled and -(-rows // 128) * (pixels // 128) >= _BUSY // 2
    return (128, 128) if large else (64, 64)


def conv2d_input_grad(
    gy: Array, w: Array, input_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """See `reference.conv2d_input_grad`."""
    shape = (gy.shape[0], w.shape[1] * groups, *input_hw)
    s = convolution("conv2d_input_grad", shape, w.shape, stride, padding, dilation, groups)
    v = s.windows
    check_gy("conv2d_input_grad", gy.shape, (s.N, s.O, v.OH, v.OW))
    dtype = np.result_type(gy, w)
    if not is_float(dtype):
        return portable.conv2d_input_grad(gy, w, input_hw, stride, padding, dilation, groups)
    gx: Array = array_module(gy).empty(shape, dtype)
    gy, w = ready(gy, dtype), ready(w, dtype)
    M, C, taps = s.C // s.G, s.O // s.G, v.KH * v.KW
    for row in range(min(v.SH, v.H)):
        vertical = _phase(row, v.H, v.KH, v.SH, v.top, v.DH)
        for column in range(min(v.SW, v.W)):
            across = _phase(column, v.W, v.KW, v.SW, v.left, v.DW)
            phase = Correlation(
                s.N, s.G, M, C, v.OH, v.OW, vertical.pixels, across.pixels, vertical.taps, across.taps,
                vertical.first, 1, vertical.step, across.first, 1, across.step,
                v.KW, vertical.tap, vertical.taps_apart, across.tap, across.taps_apart,
                v.H, v.W, row, v.SH, column, v.SW, M * C * taps, taps, M * taps,
            )  # fmt: skip
            correlate(phase, w, gy, None, gx)
    return gx


class _Phase(NamedTuple):
    """The pixels r, r + S, r + 2S, … of an axis, and the taps that ever reach them.

    Pixel r + a·S gets the gradient of windows first + a + i·step from tap `tap` + i·taps_apart.
    """

    pixels: int
    taps: int
    tap: int
    taps_apart: int
    first: int
    step: int


def _phase(r: int, size: int, K: int, S: int, before: int, D: int) -> _Phase:
    """Window o covers pixel h with tap i where o·S = h + before − i·D; for h ≡ r (mod S) only some i can."""
    count, apart = -(-(size - r) // S), S // gcd(S, D)
    tap = next((i for i in range(min(K, apart)) if (r + before - i * D) % S == 0), None)
    if tap is None:
        return _Phase(count, 0, 0, 1, 0, 0)
    return _Phase(count, -(-(K - tap) // apart), tap, apart, (r + before - tap * D) // S, -(apart * D // S))


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """See `reference.conv2d_weight_grad`."""
    w_shape = (gy.shape[1], x.shape[1] // groups, *kernel_hw)
    s = convolution("conv2d_weight_grad", x.shape, w_shape, stride, padding, dilation, groups)
    check_gy("conv2d_weight_grad", gy.shape, (s.N, s.O, s.windows.OH, s.windows.OW))
    dtype = np.result_type(x, gy)
    if not is_float(dtype):
        return portable.conv2d_weight_grad(x, gy, kernel_hw, stride, padding, dilation, groups)
    xp, M = array_module(x), s.O // s.G
    tiles = (-(-s.K // 64), -(-M // 64))
    pixels = s.N * s.P
    slices = max(1, min(_BUSY // (tiles[0] * tiles[1] * s.G), -(-pixels // _SHORTEST_SLICE)))
    slice_ = -(-pixels // slices)
    parts = xp.empty((slices, s.O, s.K), dtype if dtype != np.float16 else np.float32)
    blocks, x, gy = (*tiles, s.G * slices), ready(x, dtype), ready(gy, dtype)
    sizes = s.windows, s.N, s.G, s.C // s.G, M, slices, slice_
    factors = tensor_core_factors(x)
    if factors is None:
        _WEIGHT_GRADIENT((dtype,), blocks, (256,), x, gy, parts, *sizes)
    else:
        _WEIGHT_GRADIENT_TENSOR_CORES((_FACTORS[factors],), blocks, (128,), x, gy, parts, *sizes)
    return add_slices(parts, xp.empty(w_shape, dtype))
