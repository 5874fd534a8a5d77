"""The room of CUDA kernels as a function to call: on the emulator with NumPy arrays, or on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from cuda_emulator import Emulator

from minidl.kernels import gpu, kernels_for, use_kernels
from minidl.kernels.attention import Rules
from minidl.kernels.gpu import launcher


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

    @property
    def ran(self) -> dict[str, int]:
        """How often each instance of a kernel has run so far."""
        return dict(self.emulator.ran)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Inside the block, CUDA kernels run on the emulator."""
        with launcher.loaded_by(self.emulator), mock.patch("numpy.empty", _unwritten):
            yield

    def run(self, name: str, *args: Any) -> Any:
        """Call a function of the room."""
        with self.here():
            return getattr(gpu, name)(*args)


class DeviceRoom(Room):
    """The same on a GPU: arrays are copied there, results and what was written in place are copied back."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.cupy = sys.modules["cupy"]

    @property
    def ran(self) -> dict[str, int]:
        return dict(self.counts)

    def _load(self, file: str, instance: str) -> Any:
        kernel = launcher._load_with_cupy(file, instance)

        def start(grid: Any, block: Any, arguments: Any) -> None:
            self.counts[instance] = self.counts.get(instance, 0) + 1
            kernel(grid, block, arguments)

        return start

    @contextmanager
    def here(self) -> Iterator[None]:
        with launcher.loaded_by(self._load):
            yield

    def run(self, name: str, *args: Any) -> Any:
        moved = [self._there(a) for a in args]
        with self.here():
            result = self._back(getattr(gpu, name)(*moved))
        for host, device in zip(args, moved, strict=True):
            if isinstance(host, np.ndarray) and host.flags.writeable:
                host[...] = device.get()
        return result

    def _there(self, x: Any) -> Any:
        if isinstance(x, Rules) and x.allowed is not None:
            return Rules(x.scale, x.causal, self.cupy.asarray(x.allowed), x.p, x.key)
        return self.cupy if x is np else self.cupy.asarray(x) if isinstance(x, np.ndarray) else x

    def _back(self, x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(self._back, x))
        return x.get() if isinstance(x, self.cupy.ndarray) else x


def reference(name: str, *args: Any) -> Any:
    """Call the function of the same name that is written in plain loops."""
    with use_kernels("reference"):
        return getattr(kernels_for(np.zeros(1)), name)(*args)


def bfloat16(x: Any) -> Any:
    """float32 rounded to 8 bits of fraction, a tie to the even one; by its bits, for finite numbers."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return kept.astype(np.uint32).view(np.float32).reshape(np.shape(x))


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
