"""What a person may write for the size of a window, and the image behind a signal or a single example.

Convolution and pooling compute on batches of images, (N, C, H, W). A signal (N, C, L) is an image one row high, and an
input without a batch is a batch of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minidl.ops.shape import reshape

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Size: TypeAlias = "int | Sequence[int]"
"""A whole number for all directions, or one for each: (height, width), or (length,) of a signal."""


def pair(name: str, what: str, value: Size, dims: int = 2) -> tuple[int, int]:
    """The sizes in (height, width); those of a signal (dims=1) lie along the width.

    Arguments:
        name, what: the function and its argument, for the error sentence.
        value: one whole number, or `dims` of them.

    Raises:
        ValueError: not as many whole numbers as there are directions.
    """
    sizes = (value,) * dims if isinstance(value, int | np.integer) else tuple(value)
    if len(sizes) == 1 and dims == 2:
        sizes *= 2
    if len(sizes) != dims or not all(isinstance(k, int | np.integer) for k in sizes):
        expected = "(height, width)" if dims == 2 else "(length,)"
        raise ValueError(f"{name}: {what} must be a whole number or {expected}, got {value!r}")
    return (int(sizes[-2]) if dims == 2 else (0 if what.endswith("padding") else 1), int(sizes[-1]))


def as_images(name: str, x: Tensor, dims: int) -> Tensor:
    """The input as a batch of images, (N, C, H, W); memory is shared.

    Arguments:
        x: (N, C, H, W) or (C, H, W); for dims=1 (N, C, L) or (C, L).

    Raises:
        RuntimeError: another number of dimensions.
    """
    shape = x.array.shape
    if len(shape) not in (dims + 1, dims + 2):
        expected = "(N, C, H, W) or (C, H, W)" if dims == 2 else "(N, C, L) or (C, L)"
        raise RuntimeError(f"{name}: x must be {expected}, got shape {shape}")
    if len(shape) == dims + 1:
        shape = (1, *shape)
    return reshape(x, shape if dims == 2 else (*shape[:2], 1, shape[2]))


def as_given(y: Tensor, x: Tensor, dims: int) -> Tensor:
    """The result (N, C, H, W) with the dimensions of the input x that `as_images` was given."""
    shape = y.array.shape if dims == 2 else (*y.array.shape[:2], y.array.shape[3])
    return reshape(y, shape if x.array.ndim == dims + 2 else shape[1:])
