"""Dropout: in training, numbers are struck out at random and the rest grow, so that the mean stays; afterwards nothing.

$y = x m / (1 - p)$, where m is 0 with probability p and otherwise 1. The same m multiplies the gradient.

Source: Srivastava et al., Journal of Machine Learning Research 15:1929–1958, 2014, in the "inverted" form, which
divides while training. Document 000 uses it without a word (ERRATA 000-C1e).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.autograd.function import Function, Needs
from minidl.autograd.modes import tape
from minidl.backend import Array, Generator, array_module, default_generator
from minidl.kernels import gpu_kernels
from minidl.ops.broadcasting import Operand, floating
from minidl.ops.registry import op

if TYPE_CHECKING:
    from minidl.tensor import Tensor


class Dropout(Function):
    """Multiplication by a mask that was drawn before: 0 where a number is struck out, 1/(1 − p) elsewhere."""

    formula = r"y = x \odot \tfrac{m}{1 - p},\quad m \sim \operatorname{Bernoulli}(1 - p)"
    adjoint = r"\bar x = \bar y \odot \tfrac{m}{1 - p}"

    def __init__(self, mask: Array) -> None:
        self.buffers = (mask,)

    def forward(self, x: Array) -> Array:
        return x * self.buffers[0]

    def backward(self, gy: Tensor, needs: Needs) -> Any:
        return (Dropout(self.buffers[0])(gy),)


def _mask(purpose: str, shape: tuple[int, ...], like: Array, p: float, generator: Generator | None) -> Array:
    """0 with probability p, otherwise 1/(1 − p); on a GPU drawn there, from a key of 64 bits."""
    stream, dtype = (default_generator if generator is None else generator).numpy, like.real.dtype
    xp = array_module(like)
    mask: Array
    if xp is np:
        mask = (stream.random(shape, np.float32) >= p).astype(dtype)
        mask *= dtype.type(1 / (1 - p) if p < 1 else 0)
    else:
        key = int(stream.integers(0, 2**64, dtype=np.uint64))
        mask = gpu_kernels().dropout_mask(xp, shape, dtype, p, key)
    if tape.recorder is not None:
        tape.recorder.on_draw(purpose, mask)
    return mask


def _probability(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is the probability of striking a number out, from 0 to 1; got {p}")
    return p


@op(Dropout, example=lambda draw: {"input": draw(3, 4), "p": 0.4, "generator": Generator(5)})
def dropout(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Strike out each number with probability p and divide the others by 1 − p.

    Arguments:
        input: any shape.
        p: from 0 (nothing happens) to 1 (all become 0).
        training: False returns the input as it is.
        inplace: accepted, without effect.
        generator: where the random numbers come from; the default generator if None.

    Raises:
        ValueError: p is no probability.
    """
    x, p = floating(input), _probability("dropout", p)
    if not training or p == 0:
        return x
    return Dropout(_mask("dropout", x.array.shape, x.array, p, generator))(x)


@op(Dropout, example=lambda draw: {"input": draw(2, 3, 2, 4), "p": 0.4, "generator": Generator(5)})
def dropout2d(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Strike out whole channels: neighbouring pixels are so alike that single ones would hardly be missed.

    Arguments:
        input: (N, C, H, W) or (C, H, W). p, training, inplace, generator: as in `dropout`.

    Source: Tompson et al., arXiv:1411.4280.
    """
    return _channels("dropout2d", 2, input, p, training, generator)


@op(Dropout, example=lambda draw: {"input": draw(2, 3, 4), "p": 0.4, "generator": Generator(5)})
def dropout1d(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Strike out whole channels of signals (N, C, L) or (C, L); arguments as in `dropout2d`."""
    return _channels("dropout1d", 1, input, p, training, generator)


def _channels(name: str, dims: int, input: Operand, p: float, training: bool, generator: Generator | None) -> Tensor:
    x, p = floating(input), _probability(name, p)
    if x.array.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"{name}: x must have {dims + 1} or {dims + 2} dimensions, got shape {x.array.shape}")
    if not training or p == 0:
        return x
    shape = (*x.array.shape[:-dims], *(1,) * dims)
    return Dropout(_mask(name, shape, x.array, p, generator))(x)
