"""Shapes, axes and numbers for drawn tests: 0-d, empty, broadcasting, never square by default."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Shape = tuple[int, ...]


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 3) -> st.SearchStrategy[Shape]:
    """Shapes from a single number to four dimensions, also empty ones."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def pairs_that_broadcast() -> st.SearchStrategy[tuple[Shape, Shape]]:
    """Two shapes that broadcast, with leading dimensions missing, sizes 1 and sizes 0 (T7)."""
    drawn = hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=4, min_side=0, max_side=3)
    return drawn.map(lambda found: found.input_shapes)


def axis(ndim: int) -> st.SearchStrategy[int]:
    """Any name of an axis, −n … n−1 (T34); 0 and −1 for a single number, as in PyTorch."""
    return st.integers(-max(ndim, 1), max(ndim, 1) - 1)


@st.composite
def axes(draw: st.DrawFn, ndim: int) -> int | tuple[int, ...] | None:
    """What a reduction takes as `dim`: nothing, an axis, or several, each by one of its two names (T34)."""
    kind = draw(st.sampled_from(["none", "one", "several"]))
    if kind == "none" or ndim == 0:
        return None
    if kind == "one":
        return draw(axis(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


def positive_axes(dim: Any, ndim: int) -> tuple[int, ...]:
    """The axes that `dim` means."""
    if dim is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(d % ndim for d in ((dim,) if isinstance(dim, int) else dim))


def numbers(seed: int, shape: Shape, low: float = 0.5, high: float = 2.0) -> np.ndarray:
    """Uniform numbers; the seed is drawn, not the numbers, which would slow the search for a counterexample."""
    return np.asarray(np.random.default_rng(seed).uniform(low, high, shape))


def distinct(seed: int, shape: Shape) -> np.ndarray:
    """Numbers at least 0.5 apart, in random order: no ties, no kinks nearby."""
    size = int(np.prod(shape, dtype=int))
    return (np.random.default_rng(seed).permutation(size) * 1.0 - size / 2 + 0.25).reshape(shape)


seeds = st.integers(0, 2**16)
