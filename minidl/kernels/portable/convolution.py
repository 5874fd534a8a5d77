"""Convolution and its gradients as products of matrices with unfolded images.

Operands are made contiguous first: BLAS may add up in another order where they are not, and the same numbers shall give
the same bits however they lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels.geometry import Convolution, Padding, Pair, check_gy, convolution
from minidl.kernels.portable.unfold import col2im, im2col
from minidl.kernels.threads import parallel_for, single_threaded_blas

# Unfolded images held at once by one thread: big enough for BLAS, small enough not to show in a step's memory.
_CPU_BYTES = 4 << 20
_GPU_BYTES = 256 << 20


def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    """Slide every filter over the image: y[n,o,oh,ow] = b[o] + Σ_c Σ_i Σ_j x[n,c,h,w]·w[o,c,i,j].

    Here h = oh·SH − top + i·DH and w = ow·SW − left + j·DW; outside the image x is 0. Output channel o sees only the
    C/G input channels of its own group.

    Arguments:
        x: (N,C,H,W). w: (O,C/G,KH,KW). b: (O,) or None.
        stride, dilation: (h, w). padding: (top, bottom, left, right). groups: G, divides C and O.

    Returns:
        y (N,O,OH,OW), in the dtype of x.
    """
    s = convolution("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    v = s.windows
    xp = array_module(x)
    dtype = xp.result_type(x, w)
    work = _working_dtype(dtype)
    filters = xp.ascontiguousarray(w, work).reshape(s.G, s.O // s.G, s.K)
    y = xp.empty((s.N, s.G, s.O // s.G, s.P), dtype)

    def images(start: int, stop: int) -> None:
        cols = im2col(x[start:stop].astype(work, copy=False), (v.KH, v.KW), stride, padding, dilation)
        y[start:stop] = xp.matmul(filters, cols.reshape(stop - start, s.G, s.K, s.P))

    _for_images(xp, s, work, images)
    y = y.reshape(s.N, s.O, v.OH, v.OW)
    if b is not None:
        y += b[:, None, None]
    result: Array = y
    return result


def conv2d_input_grad(
    gy: Array, w: Array, input_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """What each input pixel did to the output: gx[n,c,h,w] = Σ gy[n,o,oh,ow]·w[o,c,i,j] over all windows it was in.

    It is also the transposed convolution.

    Arguments:
        gy: (N,O,OH,OW). w: (O,C/G,KH,KW). input_hw: (H, W). The rest as in `conv2d`.

    Returns:
        gx (N,C,H,W), in the dtype of gy.
    """
    shape = (gy.shape[0], w.shape[1] * groups, *input_hw)
    s = convolution("conv2d_input_grad", shape, w.shape, stride, padding, dilation, groups)
    v = s.windows
    check_gy("conv2d_input_grad", gy.shape, (s.N, s.O, v.OH, v.OW))
    xp = array_module(gy)
    dtype = xp.result_type(gy, w)
    work = _working_dtype(dtype)
    filters = xp.ascontiguousarray(w, work).reshape(s.G, s.O // s.G, s.K).swapaxes(1, 2)
    gx = xp.empty(shape, dtype)

    def images(start: int, stop: int) -> None:
        planes = xp.ascontiguousarray(gy[start:stop], work).reshape(stop - start, s.G, s.O // s.G, s.P)
        cols = xp.matmul(filters, planes).reshape(stop - start, s.G * s.K, s.P)
        gx[start:stop] = col2im(cols, input_hw, (v.KH, v.KW), stride, padding, dilation)

    _for_images(xp, s, work, images)
    result: Array = gx
    return result


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """What each weight did to the output: gw[o,c,i,j] = Σ gy[n,o,oh,ow]·x[n,c,h,w] over all windows and images.

    Arguments:
        x: (N,C,H,W). gy: (N,O,OH,OW). kernel_hw: (KH, KW). The rest as in `conv2d`.

    Returns:
        gw (O,C/G,KH,KW), in the dtype of x.
    """
    w_shape = (gy.shape[1], x.shape[1] // groups, *kernel_hw)
    s = convolution("conv2d_weight_grad", x.shape, w_shape, stride, padding, dilation, groups)
    v = s.windows
    check_gy("conv2d_weight_grad", gy.shape, (s.N, s.O, v.OH, v.OW))
    xp = array_module(x)
    dtype = xp.result_type(x, gy)
    work = _working_dtype(dtype)
    parts: dict[int, Any] = {}

    def images(start: int, stop: int) -> None:
        cols = im2col(x[start:stop].astype(work, copy=False), kernel_hw, stride, padding, dilation)
        planes = xp.ascontiguousarray(gy[start:stop], work).reshape(stop - start, s.G, s.O // s.G, s.P)
        each = xp.matmul(planes, cols.reshape(stop - start, s.G, s.K, s.P).swapaxes(2, 3))
        parts[start] = each.sum(axis=0)

    _for_images(xp, s, work, images)
    gw = xp.zeros((s.G, s.O // s.G, s.K), work)
    for start in sorted(parts):  # always in the same order: the sum must not depend on who was first
        gw += parts[start]
    result: Array = gw.reshape(w_shape).astype(dtype, copy=False)
    return result


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # float16 is added up in float32 and rounded once, as PyTorch does.
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _for_images(xp: Any, s: Convolution, dtype: np.dtype[Any], images: Any) -> None:
    """Call images(start, stop) over the batch: on our threads for NumPy, in large pieces for CuPy."""
    image_bytes = max(1, s.G * s.K * s.P * dtype.itemsize)
    if xp is np:
        with single_threaded_blas():
            parallel_for(s.N, max(1, _CPU_BYTES // image_bytes), images)
    else:
        chunk = max(1, _GPU_BYTES // image_bytes)
        for start in range(0, s.N, chunk):
            images(start, min(start + chunk, s.N))
