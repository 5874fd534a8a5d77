"""The room of CUDA kernels on the emulator, as a function to call."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from cuda_emulator import Emulator

from minidl.kernels import gpu, use_kernels
from minidl.kernels.gpu import launcher
from minidl.kernels.selection import kernels_for


def _unwritten(shape: Any, dtype: Any = float, **_: Any) -> Any:
    """What `empty` gives: numbers that nobody shall mistake for results."""
    if not np.dtype(dtype).itemsize:  # NumPy itself asks for such
        return np.zeros(shape, dtype)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(bytearray(b"\xff" * size), dtype).reshape(shape)


class Room:
    """`kernels.gpu` on NumPy arrays; memory that no kernel wrote is full of nan and −1."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def run(self, name: str, *args: Any, module: Any = gpu) -> Any:
        """Call a function of the room."""
        with launcher.loaded_by(self.emulator), mock.patch("numpy.empty", _unwritten):
            return getattr(module, name)(*args)


def reference(name: str, *args: Any) -> Any:
    """Call the function of the same name that is written in plain loops."""
    with use_kernels("reference"):
        return getattr(kernels_for(np.zeros(1)), name)(*args)


TOLERANCE = {"float16": 2e-2, "float32": 2e-5, "float64": 1e-12}


def assert_close(actual: Any, expected: Any, times: float = 1) -> None:
    """Equal to rounding, relative to the largest number; the same shape and dtype."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if not expected.size:
        return
    wide = expected.astype(np.float64)
    scale = max(1.0, float(np.abs(wide).max()))
    tolerance = TOLERANCE[expected.dtype.name] * scale * times
    np.testing.assert_allclose(actual.astype(np.float64), wide, rtol=0, atol=tolerance)
