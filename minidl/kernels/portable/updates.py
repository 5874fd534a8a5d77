"""One step of an optimizer, as array expressions."""

from __future__ import annotations

from minidl.backend import Array, array_module


def sgd_update(p: Array, g: Array, b: Array | None, lr: float, momentum: float, fresh: float, nesterov: bool,
               decay: float, sign: int) -> None:  # fmt: skip
    """See `reference.sgd_update`."""
    g = _followed(p, g, decay, sign)
    if b is not None:
        b *= momentum
        b += fresh * g if fresh != 1 else g
        g = g + momentum * b if nesterov else b
    p -= lr * g


def adam_update(p: Array, g: Array, m: Array, v: Array, largest: Array | None, rate: float, correction: float,
                beta1: float, beta2: float, eps: float, decay: float, shrink: float, sign: int) -> None:  # fmt: skip
    """See `reference.adam_update`."""
    g = _followed(p, g, decay, sign)
    if shrink != 1:
        p *= shrink
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    if largest is not None:
        v = array_module(p).maximum(largest, v, out=largest)
    p -= rate * m / (array_module(p).sqrt(v) / correction + eps)


def _followed(p: Array, g: Array, decay: float, sign: int) -> Array:
    g = -g if sign < 0 else g
    return g + decay * p if decay else g
