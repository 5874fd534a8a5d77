"""What the tests of CUDA kernels share: the emulator in CuPy's place, where g++ can build it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "emulator"))

import cuda_emulator
from cuda_emulator import Emulator

from minidl.kernels import gpu
from minidl.kernels.gpu import launcher


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """The emulator with every instance of every kernel."""
    if not cuda_emulator.is_available():
        pytest.skip("the CUDA emulator needs g++ on an x86-64 processor")
    assert gpu.im2col
    instances: dict[str, list[str]] = {}
    for kernel in launcher.every_kernel():
        instances.setdefault(kernel.file, []).extend(kernel.instances())
    return Emulator(instances)


@pytest.fixture
def emulated(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Kernels run on the emulator, on NumPy arrays; what nobody wrote is nan or −1."""

    def unwritten(shape: Any, dtype: Any = float, **_: Any) -> Any:
        array = np.zeros(shape, dtype)
        array.view(np.uint8 if array.ndim else np.void)[...] = 0xFF
        return array

    monkeypatch.setattr(np, "empty", unwritten)
    with launcher.loaded_by(emulator):
        yield emulator
