"""The workloads on HIPS autograd, which has no convolution that is meant to be fast: the dense and the recurrent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import logsumexp

from benchmarks.workloads import Step

_rng = np.random.default_rng(0)


def _normal(*shape: int, scale: float = 1.0) -> Any:
    return _rng.standard_normal(shape, np.float32) * np.float32(scale)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return anp.mean(logsumexp(logits, 1) - logits[np.arange(len(labels)), labels])


def _mlp() -> Step:
    x, labels = _normal(16, 16), _rng.integers(0, 16, 16)
    states = [(_normal(16, 16, scale=0.25), _normal(16), _normal(16, 16, scale=0.25), _normal(16))]

    def loss(p: Any) -> Any:
        return _cross_entropy(anp.dot(anp.maximum(anp.dot(x, p[0]) + p[1], 0), p[2]) + p[3], labels)

    gradient = autograd.grad(loss)

    def step() -> None:
        states[0] = tuple([p - np.float32(0.01) * g for p, g in zip(states[0], gradient(states[0]), strict=True)])

    return step


def _rnn() -> Step:
    x, p = _normal(112, 32, 92), (_normal(92, 128, scale=0.1), _normal(128, 128, scale=0.1), _normal(128))
    gy = _normal(112, 32, 128)

    def weighed(x: Any, p: Any) -> Any:
        h, total = np.zeros((32, 128), np.float32), 0.0
        for t in range(112):
            h = anp.tanh(anp.dot(x[t], p[0]) + anp.dot(h, p[1]) + p[2])
            total = total + anp.sum(h * gy[t])
        return total

    gradient = autograd.grad(weighed, (0, 1))
    return lambda: gradient(x, p)


def _softmax() -> Step:
    x, labels = _normal(256, 10000), _rng.integers(0, 10000, 256)
    gradient = autograd.grad(_cross_entropy)
    return lambda: gradient(x, labels)


def builders() -> dict[str, Callable[[], Step]]:
    """What autograd is asked, by name."""
    return {"mlp": _mlp, "rnn": _rnn, "softmax-xent": _softmax}
