"""One step of SGD, Adam and AdamW: `updates.cu`."""

from __future__ import annotations

from typing import NamedTuple

from minidl.backend import Array
from minidl.kernels import portable
from minidl.kernels.capture import forbid_while_capturing, start_or_hold
from minidl.kernels.gpu.launcher import Kernel, ready, spread

_SGD = Kernel("updates.cu", "sgd", ("float", "double"))
_ADAM = Kernel("updates.cu", "adam", ("float", "double"))


class _Sgd(NamedTuple):
    lr: float
    momentum: float
    fresh: float
    decay: float
    sign: float
    nesterov: float


class _Adam(NamedTuple):
    rate: float
    correction: float
    beta1: float
    beta2: float
    eps: float
    decay: float
    shrink: float
    sign: float


def _fits(*arrays: Array | None) -> bool:
    given = [x for x in arrays if x is not None]
    return given[0].dtype in ("f4", "f8") and len({(x.dtype, x.shape) for x in given}) == 1


def sgd_update(p: Array, g: Array, b: Array | None, lr: float, momentum: float, fresh: float, nesterov: bool,
               decay: float, sign: int) -> None:  # fmt: skip
    """See `reference.sgd_update`."""
    if not _fits(p, g, b) or not all(x is None or x.flags.c_contiguous for x in (p, b)):
        forbid_while_capturing("the rate of SGD")
        portable.sgd_update(p, g, b, lr, momentum, fresh, nesterov, decay, sign)
        return
    numbers = _Sgd(lr, momentum, fresh, decay, sign, nesterov)

    def start(kept: Array | None) -> None:
        _SGD((p.dtype,), *spread(p.size), p, ready(g), b, numbers, kept, p.size)

    start_or_hold("the rate of SGD", (p, g, b), numbers, start)


def adam_update(p: Array, g: Array, m: Array, v: Array, largest: Array | None, rate: float, correction: float,
                beta1: float, beta2: float, eps: float, decay: float, shrink: float, sign: int) -> None:  # fmt: skip
    """See `reference.adam_update`."""
    if not _fits(p, g, m, v, largest) or not all(x is None or x.flags.c_contiguous for x in (p, m, v, largest)):
        forbid_while_capturing("the number of Adam's step")
        portable.adam_update(p, g, m, v, largest, rate, correction, beta1, beta2, eps, decay, shrink, sign)
        return
    numbers = _Adam(rate, correction, beta1, beta2, eps, decay, shrink, sign)

    def start(kept: Array | None) -> None:
        _ADAM((p.dtype,), *spread(p.size), p, ready(g), m, v, largest, numbers, kept, p.size)

    start_or_hold("the number of Adam's step", (p, g, m, v, largest), numbers, start)
