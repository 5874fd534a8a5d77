"""Filling parameters before training: the distributions, and the scales that keep signals from growing or dying.

Every function overwrites its tensor off the tape, draws from `generator` (the default generator when there is none),
tells the recorder what was drawn, and returns the tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from minidl.autograd.modes import no_grad, tape
from minidl.backend import Generator, default_generator, to_device
from minidl.tensor import Tensor

Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


def _fill(tensor: Tensor, purpose: str, generator: Generator | None, draw: Draw) -> Tensor:
    """Overwrite a tensor with numbers drawn in float64, rounded to its dtype."""
    if tensor.array.dtype.kind != "f":
        raise TypeError(f"{purpose}: expected a floating tensor, got {tensor.array.dtype.name}")
    array = np.asarray(draw((generator or default_generator).numpy, tensor.array.shape)).astype(tensor.array.dtype)
    with no_grad():
        tensor.copy_(Tensor(to_device(array, tensor.device)))
    if tape.recorder is not None:
        tape.recorder.on_draw(purpose, array)
    return tensor


# ── plain distributions ───────────────────────────────────────────────────────────────────────────


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draws from the uniform distribution on [a, b)."""
    return _fill(tensor, "uniform_", generator, lambda stream, shape: stream.uniform(a, b, shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draws from the normal distribution."""
    return _fill(tensor, "normal_", generator, lambda stream, shape: stream.normal(mean, std, shape))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draws from the normal distribution restricted to [a, b], bounds in absolute numbers.

    $x = \\Phi^{-1}(u)$ with u uniform between Φ(a) and Φ(b): no draw is thrown away.
    """
    if not (std > 0 and a < b):
        raise ValueError(f"trunc_normal_: expected std > 0 and a < b, got std={std}, a={a}, b={b}")
    normal = NormalDist(mean, std)
    low, high = normal.cdf(a), normal.cdf(b)
    tiny = 2.0**-53  # the inverse exists between 0 and 1 only

    def draw(stream: np.random.Generator, shape: tuple[int, ...]) -> Any:
        u = np.clip(stream.uniform(low, high, shape), tiny, 1 - tiny)
        return np.clip(np.asarray(np.frompyfunc(normal.inv_cdf, 1, 1)(u), np.float64), a, b)

    return _fill(tensor, "trunc_normal_", generator, draw)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


# ── scales ────────────────────────────────────────────────────────────────────────────────────────

_GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv_transpose1d": 1.0, "conv_transpose2d": 1.0, "sigmoid": 1.0,
    "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a weight must be larger because the function behind it shrinks the signal.

    Arguments:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", or the name of a convolution.
        param: the negative slope of "leaky_relu", 0.01 by default: $\\sqrt{2 / (1 + a^2)}$.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known: {', '.join(sorted(_GAINS))}")
    return _GAINS[nonlinearity]


def calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs reach one output of a weight, and how many outputs one input reaches.

    For a weight (O, C, K, …) these are C·K… and O·K….
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ValueError(f"fan in and fan out need a weight with two dimensions or more, got shape {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


def _he_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(max(_fan(tensor, mode), 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    r"""Uniform on ±gain·√(3/fan): behind the nonlinearity, signals keep their size.

    Arguments:
        tensor: (O, C, …).
        a: the negative slope, for "leaky_relu".
        mode: "fan_in" keeps the size of the values, "fan_out" that of the gradients.
        nonlinearity: what stands behind the layer, as in `calculate_gain`.

    Source: He et al., arXiv:1502.01852.
    """
    bound = math.sqrt(3.0) * _he_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal with standard deviation gain/√fan; see `kaiming_uniform_`.

    Source: He et al., arXiv:1502.01852.
    """
    return normal_(tensor, 0.0, _he_std(tensor, a, mode, nonlinearity), generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform on ±gain·√(6/(fan_in + fan_out)).

    Source: Glorot and Bengio, AISTATS 2010.
    """
    bound = gain * math.sqrt(6.0 / sum(calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain·√(2/(fan_in + fan_out)).

    Source: Glorot and Bengio, AISTATS 2010.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(calculate_fan_in_and_fan_out(tensor))), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A random orthogonal matrix times gain; dimensions behind the first are taken as one.

    Source: Saxe, McClelland and Ganguli, arXiv:1312.6120.
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ValueError(f"orthogonal_: expected two dimensions or more, got shape {shape}")
    rows, columns = shape[0], math.prod(shape[1:])

    def draw(stream: np.random.Generator, _: tuple[int, ...]) -> Any:
        q, r = np.linalg.qr(stream.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)  # without it the distribution would not be uniform
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return _fill(tensor, "orthogonal_", generator, draw)


# ── what the layers use ───────────────────────────────────────────────────────────────────────────


def default_(weight: Tensor, bias: Tensor | None, generator: Generator | None = None) -> None:
    """PyTorch's choice for linear layers and convolutions: both uniform on ±1/√fan_in."""
    kaiming_uniform_(weight, math.sqrt(5), generator=generator)
    if bias is not None:
        fan_in, _ = calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound, generator)
