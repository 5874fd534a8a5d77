"""One step of an optimizer in one pass: every number is read and written once. float32; others go to `portable`."""

from __future__ import annotations

import numpy as np

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.cpu.arrays import dense
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.vectors import Number, elementwise, multiply_add, sqrt

_FLOAT = np.dtype(np.float32)


def sgd_update(p: Array, g: Array, b: Array | None, lr: float, momentum: float, fresh: float, nesterov: bool,
               decay: float, sign: int) -> None:  # fmt: skip
    """See `reference.sgd_update`."""
    if not _is_fast(g, p, *(() if b is None else (b,))):
        portable.sgd_update(p, g, b, lr, momentum, fresh, nesterov, decay, sign)
    elif b is None:
        _descend(p.reshape(-1), _flat(g), lr, decay, float(sign))
    else:
        along, onward = (1.0, momentum) if nesterov else (0.0, 1.0)  # p −= lr·(along·g + onward·b)
        _roll(p.reshape(-1), _flat(g), b.reshape(-1), lr, momentum, fresh, along, onward, decay, float(sign))


def adam_update(p: Array, g: Array, m: Array, v: Array, largest: Array | None, rate: float, correction: float,
                beta1: float, beta2: float, eps: float, decay: float, shrink: float, sign: int) -> None:  # fmt: skip
    """See `reference.adam_update`."""
    if largest is not None or not _is_fast(g, p, m, v):
        portable.adam_update(p, g, m, v, largest, rate, correction, beta1, beta2, eps, decay, shrink, sign)
        return
    _adapt(p.reshape(-1), _flat(g), m.reshape(-1), v.reshape(-1),
           rate, correction, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink, float(sign))  # fmt: skip


def _is_fast(g: Array, *changed: Array) -> bool:
    if g.dtype != _FLOAT:
        return False
    for x in changed:  # noqa: SIM110  # a generator would take as long as the rest of the call
        if x.dtype != _FLOAT or not x.flags.carray:
            return False
    return True


def _flat(g: Array) -> Array:
    return dense(g).reshape(-1)


@elementwise(outputs=1)
def _descended(p: Number, g: Number, lr: Number, decay: Number, sign: Number) -> tuple[Number]:
    return (p - lr * multiply_add(decay, p, g * sign),)


@elementwise(outputs=2)
def _rolled(p: Number, g: Number, b: Number, lr: Number, momentum: Number, fresh: Number, along: Number,
            onward: Number, decay: Number, sign: Number) -> tuple[Number, ...]:  # fmt: skip
    g = multiply_add(decay, p, g * sign)
    b = multiply_add(momentum, b, fresh * g)
    return p - lr * multiply_add(along, g, onward * b), b


@elementwise(outputs=3)
def _adapted(p: Number, g: Number, m: Number, v: Number, rate: Number, correction: Number, to_m: Number,
             beta2: Number, to_v: Number, eps: Number, decay: Number, shrink: Number,
             sign: Number) -> tuple[Number, ...]:  # fmt: skip
    g = multiply_add(decay, p, g * sign)
    m = multiply_add(to_m, g - m, m)
    v = multiply_add(to_v, g * g, v * beta2)
    return p * shrink - rate * m / (sqrt(v) / correction + eps), m, v


@jit
def _descend(p: Array, g: Array, lr: float, decay: float, sign: float) -> None:
    _descended(p.size, p, 0, g, 0, lr, decay, sign, p, 0)


@jit
def _roll(p: Array, g: Array, b: Array, lr: float, momentum: float, fresh: float, along: float, onward: float,
          decay: float, sign: float) -> None:  # fmt: skip
    _rolled(p.size, p, 0, g, 0, b, 0, lr, momentum, fresh, along, onward, decay, sign, p, 0, b, 0)


@jit
def _adapt(p: Array, g: Array, m: Array, v: Array, rate: float, correction: float, to_m: float, beta2: float,
           to_v: float, eps: float, decay: float, shrink: float, sign: float) -> None:  # fmt: skip
    _adapted(p.size, p, 0, g, 0, m, 0, v, 0, rate, correction, to_m, beta2, to_v, eps, decay, shrink, sign,
             p, 0, m, 0, v, 0)  # fmt: skip
