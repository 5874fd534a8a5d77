"""Positions added to tokens: fixed waves for sequences and images, or learned vectors."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.backend import Device, Generator
from minidl.creation import arange, empty
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


def _length(name: str, x: Tensor, batch_first: bool, embedding_dim: int, max_length: int) -> int:
    """How many positions the input has, after a look at its shape."""
    if x.ndim not in (2, 3) or x.shape[-1] != embedding_dim:
        layout = "(N, T, E)" if batch_first else "(T, N, E)"
        raise RuntimeError(f"{name}: expected {layout} or (T, E) with E={embedding_dim}, got shape {tuple(x.shape)}")
    T = x.shape[1 if batch_first and x.ndim == 3 else 0]
    if max_length < T:
        raise RuntimeError(f"{name}: the input has T={T} positions, but max_length={max_length}")
    return int(T)


def _along(table: Tensor, x: Tensor, batch_first: bool) -> Tensor:
    """The rows (T, E) of a table laid out like the input."""
    return table if batch_first or x.ndim == 2 else table.unsqueeze(1)


class SinusoidalPositions(Module):
    """Adds sines and cosines of the position to every token; see `ops.position_encoding`.

    Arguments:
        embedding_dim: E.
        max_length: the longest sequence.
        batch_first: the input is (N, T, E), otherwise (T, N, E); (T, E) is fine in both.
        base: the longest wave is almost 2π times as long.

    It learns nothing and has nothing to save.
    """

    table: Tensor

    def __init__(
        self, embedding_dim: int, max_length: int = 1024, batch_first: bool = True, base: float = 10000.0,
        device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding_dim, self.max_length, self.batch_first, self.base = embedding_dim, max_length, batch_first, base
        table = ops.position_encoding(arange(max_length), embedding_dim, base)
        self.register_buffer("table", table.to(dtype=dtype, device=device or "cpu"), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        T = _length("SinusoidalPositions", input, self.batch_first, self.embedding_dim, self.max_length)
        return input + _along(self.table[:T], input, self.batch_first)

    def extra_repr(self) -> str:
        return f"{self.embedding_dim}, max_length={self.max_length}, batch_first={self.batch_first}"


class SinusoidalPositions2d(Module):
    """Adds sines and cosines of row and column to every pixel; see `ops.position_encoding_2d`.

    Arguments:
        embedding_dim: C, an even number of channels.
        height, width: the size of the largest image.
        base: the longest wave is almost 2π times as long.

    Input and output: (N, C, H, W) or (C, H, W); `x.flatten(-2).transpose(-1, -2)` then makes tokens of pixels.
    """

    table: Tensor

    def __init__(
        self, embedding_dim: int, height: int, width: int, base: float = 10000.0,
        device: Device | str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding_dim, self.height, self.width, self.base = embedding_dim, height, width, base
        places = ops.position_encoding_2d(arange(height).unsqueeze(1), arange(width), embedding_dim, base)
        table = places.permute(2, 0, 1).contiguous()
        self.register_buffer("table", table.to(dtype=dtype, device=device or "cpu"), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        size = tuple(input.shape[-3:])
        if input.ndim not in (3, 4) or size[0] != self.embedding_dim or size[1] > self.height or size[2] > self.width:
            raise RuntimeError(
                f"SinusoidalPositions2d: expected (N, C, H, W) with C={self.embedding_dim}, H ≤ {self.height} and "
                f"W ≤ {self.width}, got shape {tuple(input.shape)}"
            )
        return input + self.table[:, : size[1], : size[2]]

    def extra_repr(self) -> str:
        return f"{self.embedding_dim}, {self.height}, {self.width}"


class LearnedPositions(Module):
    """Adds a learned vector to every position.

    Arguments:
        max_length: the longest sequence. embedding_dim: E.
        batch_first: the input is (N, T, E), otherwise (T, N, E); (T, E) is fine in both.
        generator: what the first vectors are drawn from.

    Weights: weight (max_length, E), normal with standard deviation 0.02.

    Source: Devlin et al., arXiv:1810.04805; Dosovitskiy et al., arXiv:2010.11929, for patches of images.
    """

    weight: Parameter

    def __init__(
        self, max_length: int, embedding_dim: int, batch_first: bool = True,
        device: Device | str | None = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.max_length, self.embedding_dim, self.batch_first = max_length, embedding_dim, batch_first
        self.weight = Parameter(empty(max_length, embedding_dim, dtype=dtype, device=device or "cpu"))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the vectors anew."""
        init.normal_(self.weight, 0.0, 0.02, generator)

    def forward(self, input: Tensor) -> Tensor:
        T = _length("LearnedPositions", input, self.batch_first, self.embedding_dim, self.max_length)
        return input + _along(self.weight[:T], input, self.batch_first)

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.embedding_dim}, batch_first={self.batch_first}"
