"""Sizes of windows, as the layers keep and print them."""

from __future__ import annotations

from typing import TypeAlias

Size: TypeAlias = int | tuple[int, ...]
"""One number for every direction, or one for each."""


def as_tuple(name: str, what: str, size: Size, dims: int) -> tuple[int, ...]:
    """A size as one number for each of `dims` directions.

    Raises:
        ValueError: there are more or fewer numbers than directions.
    """
    sizes = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sizes) != dims:
        raise ValueError(f"{name}: {what} takes one number or {dims}, got {size}")
    return sizes
