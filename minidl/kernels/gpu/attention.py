"""Attention by tiles, and its gradient: `attention.cu` and `attention_gradient.cu`.

More than 128 features a head, dropout of weights, and the gradient of a bias are computed by the array expressions of
`kernels.attention`, by tiles too.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import Array, array_module
from minidl.kernels import attention as by_expressions
from minidl.kernels.attention import Rules
from minidl.kernels.gpu.launcher import FLOATS, MOST_BLOCKS, Kernel, Sizes, is_float, ready, resident, spread
from minidl.kernels.gpu.pooling import wide

_WIDTHS = ("32", "64", "128")


def _fits_in_shared_memory(dtype: str, width: str) -> bool:
    return dtype != "double" or width != "128"


_ATTEND = Kernel("attention.cu", "attend", FLOATS, _WIDTHS, where=_fits_in_shared_memory)
_ALONG = Kernel("attention_gradient.cu", "along", FLOATS)
_QUERIES = Kernel("attention_gradient.cu", "attend_query_gradient", FLOATS, _WIDTHS, where=_fits_in_shared_memory)
_KEYS = Kernel("attention_gradient.cu", "attend_key_gradient", FLOATS, _WIDTHS, where=_fits_in_shared_memory)


class _Attention(NamedTuple):
    """The struct of `attention.cuh`."""

    L: int
    S: int
    E: int
    D: int
    causal: bool
    allowed_row: int
    allowed_column: int
    bias_row: int
    bias_column: int
    scale: float


class _Problem:
    """The arrays and sizes of a call as the kernels want them."""

    def __init__(self, q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> None:
        self.lead, self.dtype = q.shape[:-2] or (1,), q.dtype
        self.batch = math.prod(self.lead)
        L, S, E, D = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
        self.q, self.k, self.v = ready(q), ready(k, q.dtype), ready(v, q.dtype)
        allowed = None if rules.allowed is None else ready(rules.allowed)
        bias = None if bias is None else ready(bias, q.dtype)
        self.masks = (*self._mask(allowed), *self._mask(bias))
        strides = (*self._strides(allowed), *self._strides(bias))
        self.sizes = _Attention(L, S, E, D, rules.causal, *strides, rules.scale)

    def _mask(self, mask: Array | None) -> tuple[Array | None, Array | None]:
        """The mask, and where in it the part of each batch element begins."""
        if mask is None:
            return None, None
        shape = (*(1,) * (len(self.lead) + 2 - mask.ndim), *mask.shape)
        lead = shape[:-2]
        starts = np.arange(math.prod(lead), dtype=np.int64).reshape(lead) * (shape[-2] * shape[-1])
        return mask, resident(mask, np.ascontiguousarray(np.broadcast_to(starts, self.lead)))

    @staticmethod
    def _strides(mask: Array | None) -> tuple[int, int]:
        """How far apart the rows and the columns of a mask lie, 0 where it repeats."""
        if mask is None:
            return 0, 0
        rows, columns = (1, 1, *mask.shape)[-2:]
        return columns if rows > 1 else 0, 1 if columns > 1 else 0

    @property
    def width(self) -> int:
        """The smallest width of tiles that takes all features."""
        return next(w for w in map(int, _WIDTHS) if w >= max(self.sizes.E, self.sizes.D))

    def grid(self, count: int) -> tuple[Sizes, Sizes]:
        """A grid of tiles of queries or keys, y over batch elements."""
        tile = 32 if wide(self.dtype).itemsize == 4 and self.width <= 64 else 16
        return (-(-count // tile), min(self.batch, MOST_BLOCKS[1])), (128,)


def _fits(q: Array, k: Array, v: Array, rules: Rules) -> bool:
    features = max(q.shape[-1], v.shape[-1])
    return is_float(q.dtype) and not rules.p and features <= (64 if q.dtype == np.float64 else 128)


def attention(q: Array, k: Array, v: Array, bias: Array | None, rules: Rules) -> tuple[Array, Array]:
    """See `kernels.attention.attention`."""
    if not _fits(q, k, v, rules):
        return by_expressions.attention(q, k, v, bias, rules)
    xp, problem = array_module(q), _Problem(q, k, v, bias, rules)
    s = problem.sizes
    o: Array = xp.empty((*q.shape[:-1], s.D), q.dtype)
    log_sum: Array = xp.empty((problem.batch, s.L, 1), wide(q.dtype))
    given = problem.q, problem.k, problem.v, *problem.masks
    _ATTEND((q.dtype, problem.width), *problem.grid(s.L), *given, o, log_sum, s, problem.batch)
    return o, log_sum


def attention_grad(gy: Array, q: Array, k: Array, v: Array, bias: Array | None, o: Array, log_sum: Array,
                   needs: tuple[bool, ...], rules: Rules) -> tuple[Array | None, ...]:  # fmt: skip
    """See `kernels.attention.attention_grad`."""
    if not _fits(q, k, v, rules) or (bias is not None and needs[3]):
        return by_expressions.attention_grad(gy, q, k, v, bias, o, log_sum, needs, rules)
    xp, problem = array_module(q), _Problem(q, k, v, bias, rules)
    s, form = problem.sizes, (q.dtype, problem.width)
    rows = problem.batch * s.L
    gy, o, log_sum = ready(gy, q.dtype), ready(o, q.dtype), ready(log_sum, wide(q.dtype))
    sums = xp.empty(rows, wide(q.dtype))
    _ALONG((q.dtype,), *spread(rows), gy, o, sums, rows, s.D)
    given = problem.q, problem.k, problem.v, gy, *problem.masks, log_sum, sums
    gq: Any = None
    gk: Any = None
    gv: Any = None
    if needs[0]:
        gq = xp.empty(q.shape, q.dtype)
        _QUERIES(form, *problem.grid(s.L), *given, gq, s, problem.batch)
    if needs[1] or needs[2]:
        gk, gv = xp.empty(k.shape, q.dtype), xp.empty(v.shape, q.dtype)
        _KEYS(form, *problem.grid(s.S), *given, gk, gv, s, problem.batch)
    gxs = (gq, gk if needs[1] else None, gv if needs[2] else None)
    return gxs if bias is None else (*gxs, None)
