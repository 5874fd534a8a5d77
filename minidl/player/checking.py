"""Gradient checks as the player shows them: the tape's gradient beside central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minidl.autograd.check import numerical_jacobian
from minidl.autograd.differentiate import grad
from minidl.autograd.modes import enable_grad
from minidl.backend import Array
from minidl.creation import tensor
from minidl.player.snapshot import to_host

if TYPE_CHECKING:
    from minidl.tensor import Tensor

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """The gradient of one input, computed twice, and the largest |a − n| / max(1, |a|, |n|)."""

    position: int
    analytic: Array
    numeric: Array
    error: float

    @property
    def passed(self) -> bool:
        """Whether the two agree to 1e-6."""
        return bool(self.error <= TOLERANCE)


def compare_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], eps: float, seed: int
) -> list[Comparison]:
    """Compare the gradients of a function by the tape with central differences, for every input that requires one.

    The function is checked in float64, at copies of the inputs; the gradient sent back is 1 to a single number and
    drawn at random otherwise.

    Raises:
        ValueError: no input requires a gradient.
    """
    wide = [
        tensor(to_host(x.array).astype(np.float64), requires_grad=x.requires_grad) if x.array.dtype.kind == "f" else x
        for x in inputs
    ]
    varied = [k for k, x in enumerate(wide) if x.requires_grad]
    if not varied:
        raise ValueError("check: no input requires a gradient; set requires_grad=True on those to be checked")
    with enable_grad():
        y = function(*wide)
    single = y.array.size == 1
    sent = np.ones(y.array.shape) if single else np.random.default_rng(seed).uniform(0.5, 1.5, y.array.shape)
    analytic = grad(y, [wide[k] for k in varied], tensor(sent), allow_unused=True)
    (jacobians,) = numerical_jacobian(function, wide, "central", eps)
    rows = []
    for k, gx, jacobian in zip(varied, analytic, jacobians, strict=True):
        shape = wide[k].array.shape
        numeric = (sent.reshape(-1) @ jacobian).reshape(shape)
        a = np.zeros(shape) if gx is None else gx.array
        scale = np.maximum(1, np.maximum(np.abs(a), np.abs(numeric)))
        worst = float((np.abs(a - numeric) / scale).max(initial=0.0))
        rows.append(Comparison(k, a, numeric, worst))
    return rows
