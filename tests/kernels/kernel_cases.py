"""Drawn shapes and arrays: heights differ from widths everywhere, so that a swapped pair cannot hide (T12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class ConvCase:
    """One drawn convolution."""

    x_shape: tuple[int, int, int, int]
    w_shape: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    seed: int

    @property
    def window(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.groups

    def arrays(self, dtype: str) -> tuple[Array, Array, Array]:
        """x, w and b."""
        rng = np.random.default_rng(self.seed)
        shapes = (self.x_shape, self.w_shape, self.w_shape[:1])
        x, w, b = (rng.standard_normal(shape) for shape in shapes)
        if np.dtype(dtype).kind == "c":
            x, w, b = (a + 1j * rng.standard_normal(a.shape) for a in (x, w, b))
        return x.astype(dtype), w.astype(dtype), b.astype(dtype)


@st.composite
def conv_cases(draw: st.DrawFn, max_channels: int = 3, max_images: int = 3) -> ConvCase:
    """Small convolutions with unequal sides, remainders, asymmetric padding, dilation and groups."""
    groups = draw(st.integers(1, 3))
    cg, og = draw(st.integers(1, max_channels)), draw(st.integers(1, max_channels))
    kh = draw(st.integers(1, 4))
    kw = draw(st.integers(1, 4).filter(lambda k: k != kh or k == 1))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    span_h, span_w = dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1
    h = draw(st.integers(max(1, span_h - padding[0] - padding[1]), span_h + 5))
    w = draw(st.integers(max(1, span_w - padding[2] - padding[3]), span_w + 5).filter(lambda w: w != h))
    n = draw(st.integers(0, max_images))
    seed = draw(st.integers(0, 2**31))
    x_shape, w_shape = (n, cg * groups, h, w), (og * groups, cg, kh, kw)
    return ConvCase(x_shape, w_shape, stride, padding, dilation, groups, seed)


@dataclass(frozen=True)
class PoolCase:
    """One drawn pooling."""

    x_shape: tuple[int, int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    ceil_mode: bool
    seed: int

    @property
    def out_hw(self) -> tuple[int, int]:
        """PyTorch's rule: with ceil_mode round up, but no window may start in the far border."""
        out = []
        for axis, (before, after) in enumerate(((self.padding[:2]), (self.padding[2:]))):
            size, stride = self.x_shape[2 + axis], self.stride[axis]
            room = size + before + after - self.dilation[axis] * (self.kernel[axis] - 1) - 1
            o = (room + (stride - 1 if self.ceil_mode else 0)) // stride + 1
            out.append(o - 1 if self.ceil_mode and (o - 1) * stride >= size + before else o)
        return out[0], out[1]


@st.composite
def pool_cases(draw: st.DrawFn, dilated: bool, symmetric: bool = False) -> PoolCase:
    """Poolings that PyTorch allows (padding at most half the kernel), of every kind of remainder."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if dilated else (1, 1)
    ph, pw = st.integers(0, kernel[0] // 2), st.integers(0, kernel[1] // 2)
    top, left = draw(ph), draw(pw)
    padding = (top, top, left, left) if symmetric else (top, draw(ph), left, draw(pw))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    h = draw(st.integers(spans[0], spans[0] + 5))
    w = draw(st.integers(spans[1], spans[1] + 5))
    ceil_mode, seed = draw(st.booleans()), draw(st.integers(0, 2**31))
    n, c = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    return PoolCase((n, c, h, w), kernel, stride, padding, dilation, ceil_mode, seed)


def layouts(x: Array) -> dict[str, Array]:
    """The values of x in every layout that a view can give it (T30)."""
    backwards = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    sparse = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    sparse[..., ::2] = x
    buffer = np.zeros(x.size + 1, x.dtype)
    buffer[1:] = x.ravel()
    frozen = x.copy()
    frozen.flags.writeable = False
    return {
        "fortran": np.asfortranarray(x),
        "transposed": np.ascontiguousarray(x.T).T,
        "negative strides": backwards,
        "every second": sparse[..., ::2],
        "offset view": buffer[1:].reshape(x.shape),
        "read-only": frozen,
        "channels last": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 1 else x,
    }
