"""Dropout: in training, numbers switched off at random and the others enlarged; in evaluation, nothing."""

from __future__ import annotations

from minidl.backend import Generator
from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.tensor import Tensor


class _Dropout(Module):
    """What the dropouts have in common."""

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability, between 0 and 1, got {p}")
        self.p, self.inplace, self.generator = p, inplace, generator

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Every number is 0 with probability p, otherwise divided by 1 − p.

    Arguments:
        p: the probability of being switched off.
        inplace: accepted as in PyTorch; the result is always a new tensor.
        generator: what the masks are drawn from; by default the default generator.

    Source: Srivastava et al., JMLR 2014.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, generator=self.generator)


class Dropout2d(_Dropout):
    """Every channel of every image is 0 with probability p, otherwise divided by 1 − p; arguments as in `Dropout`.

    Source: Tompson et al., CVPR 2015.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, generator=self.generator)
