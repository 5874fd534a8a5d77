"""Larger images from small ones."""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.nn.module import Module
from minidl.nn.sizes import Size, as_tuple
from minidl.tensor import Tensor


class Upsample(Module):
    """Every output pixel takes the nearest input pixel: number ⌊i·in/out⌋ in each direction.

    Arguments:
        size: OH and OW; one number for both.
        scale_factor: instead of the size, by how much it grows; one number or one a direction.
        mode: "nearest", the only one there is.

    Input: (N, C, L) or (N, C, H, W).

    Raises:
        ValueError: both or neither of size and scale_factor, or another mode.
    """

    def __init__(
        self, size: Size | None = None, scale_factor: float | tuple[float, ...] | None = None, mode: str = "nearest"
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError(f"Upsample: expected a size or a scale_factor, got size={size}, {scale_factor=}")
        if mode != "nearest":
            raise ValueError(f"Upsample: mode must be 'nearest', got {mode!r}")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def _sampling(self, sides: tuple[int, ...]) -> list[tuple[int, float]]:
        """For every direction, how many pixels come out and how far apart they lie in the input."""
        if self.size is not None:
            sizes = as_tuple("Upsample", "size", self.size, len(sides))
            return [(out, side / out) for out, side in zip(sizes, sides, strict=True)]
        factors = self.scale_factor if isinstance(self.scale_factor, tuple) else (self.scale_factor,) * len(sides)
        return [(int(side * f), 1 / f) for side, f in zip(sides, factors, strict=True) if f is not None]

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Upsample: expected (N, C, L) or (N, C, H, W), got shape {tuple(input.shape)}")
        y = input
        for dim, (out, step) in enumerate(self._sampling(tuple(input.shape[2:])), start=2):
            # float32, as in PyTorch: the same pixel where i·in/out is nearly whole
            nearest = np.floor(np.arange(out, dtype=np.float32) * np.float32(step)).astype(np.int64)
            y = ops.index_select(y, dim, np.minimum(nearest, input.shape[dim] - 1))
        return y

    def extra_repr(self) -> str:
        if self.scale_factor is None:
            return f"size={self.size}, mode={self.mode!r}"
        factor = self.scale_factor
        given = tuple(float(f) for f in factor) if isinstance(factor, tuple) else float(factor)
        return f"scale_factor={given}, mode={self.mode!r}"
