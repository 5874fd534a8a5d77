"""The two index walks that the loops of this room share, and the dtype in which they add."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from minidl.kernels.geometry import Windows


def wide(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to add in: float64, or complex128 for complex numbers."""
    return np.result_type(np.float64, *dtypes)


def window_pixels(v: Windows, oh: int, ow: int) -> Iterator[tuple[int, int, int, int]]:
    """(i, j, h, w) for each pixel of window (oh, ow) that lies in the plane: kernel position, then plane position."""
    for i, j in product(range(v.KH), range(v.KW)):
        h, w = oh * v.SH - v.top + i * v.DH, ow * v.SW - v.left + j * v.DW
        if 0 <= h < v.H and 0 <= w < v.W:
            yield i, j, h, w
