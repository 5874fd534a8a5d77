"""One step of an optimizer, number by number; p and what is remembered of it are changed in place."""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import Array


def sgd_update(p: Array, g: Array, b: Array | None, lr: float, momentum: float, fresh: float, nesterov: bool,
               decay: float, sign: int) -> None:  # fmt: skip
    """With g' = sign·g + decay·p: b = momentum·b + fresh·g', p −= lr·b.

    Arguments:
        p: the parameter. g: its gradient, of the same shape and dtype. b: the momentum, or None: p −= lr·g'.
        nesterov: p −= lr·(g' + momentum·b) instead.
    """
    for i in np.ndindex(*p.shape):
        d = sign * float(g[i]) + decay * float(p[i])
        if b is not None:
            new = momentum * float(b[i]) + fresh * d
            b[i], d = new, d + momentum * new if nesterov else new
        p[i] -= lr * d


def adam_update(p: Array, g: Array, m: Array, v: Array, largest: Array | None, rate: float, correction: float,
                beta1: float, beta2: float, eps: float, decay: float, shrink: float, sign: int) -> None:  # fmt: skip
    """With g' = sign·g + decay·p: m and v move to g' and g'², p = shrink·p − rate·m/(√v/correction + eps).

    Arguments:
        p: the parameter. g: its gradient; m, v: the averages of g' and g'²; all of one shape and dtype.
        largest: the largest v so far, which then takes its place, or None.
        rate: α/(1 − β₁ᵗ). correction: √(1 − β₂ᵗ). shrink: 1, or 1 − αλ for decay that bypasses the averages.
    """
    for i in np.ndindex(*p.shape):
        d = sign * float(g[i]) + decay * float(p[i])
        m[i] = float(m[i]) + (1 - beta1) * (d - float(m[i]))
        v[i] = most = beta2 * float(v[i]) + (1 - beta2) * d * d
        if largest is not None:
            largest[i] = most = max(float(largest[i]), most)
        p[i] = shrink * float(p[i]) - rate * float(m[i]) / (math.sqrt(most) / correction + eps)
