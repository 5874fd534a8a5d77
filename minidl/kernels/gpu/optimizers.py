"""One step of SGD, Adam and AdamW: `optimizers.cu`."""

from __future__ import annotations

from typing import Any, NamedTuple

from minidl.backend import Array, array_module
from minidl.kernels.gpu.capture import counter
from minidl.kernels.gpu.launcher import Kernel, ready, spread

_SGD = Kernel("optimizers.cu", "sgd", ("float", "double"))
_ADAM = Kernel("optimizers.cu", "adam", ("float", "double"))


class Sgd(NamedTuple):
    """The struct of `optimizers.cu`."""

    lr: float
    momentum: float
    fresh: float
    weight_decay: float
    nesterov: bool
    maximize: bool


class Adam(NamedTuple):
    """The struct of `optimizers.cu`."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decoupled: bool
    maximize: bool


def sgd_step(p: Array, g: Array, b: Array | None, options: Sgd) -> None:
    """Change p, and the momentum buffer b, against the gradient g.

    Arguments:
        p, g, b: of one shape and dtype, float32 or float64; p and b contiguous, and changed.
        options: `fresh` is the factor of the gradient in the buffer, 1 − dampening.
    """
    _SGD((p.dtype,), *spread(p.size), p, ready(g), b, options, p.size)


def adam_step(p: Array, g: Array, m: Array, v: Array, largest: Array | None, step: int, options: Adam) -> None:
    """Change p and the running averages m and v (and the largest v, with amsgrad) by the gradient g.

    Arguments:
        p, g, m, v, largest: of one shape and dtype, float32 or float64; all but g contiguous, and changed.
        step: t, from 1. While a graph is captured it is where the graph starts to count.
        options: the rule's numbers; `decoupled` is AdamW.
    """
    steps: Any = counter(array_module(p), step)
    _ADAM((p.dtype,), *spread(p.size), p, ready(g), m, v, largest, steps, options, p.size)
