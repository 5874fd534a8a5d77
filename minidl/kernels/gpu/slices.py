"""Long sums that blocks make in slices, side by side, added in order: `slices.cu`."""

from __future__ import annotations

from minidl.backend import Array
from minidl.kernels.gpu.launcher import FLOATS, Kernel, spread

_ADD_SLICES = Kernel("slices.cu", "add_slices", FLOATS)


def add_slices(parts: Array, y: Array) -> Array:
    """Write the sum of parts (S, …) over the slices to y, and return it."""
    _ADD_SLICES((y.dtype,), *spread(y.size), parts, y, parts.shape[0], y.size)
    return y
