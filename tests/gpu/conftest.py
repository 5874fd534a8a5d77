"""What the tests of CUDA kernels share: the emulator in CuPy's place, where g++ can build it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "emulator"), str(HERE.parent / "kernels"), str(HERE.parent)]

import cuda_emulator  # noqa: E402  # it lies in a folder of its own
from cuda_emulator import Emulator  # noqa: E402
from rooms import DeviceRoom, Room  # noqa: E402
from stand_in import device_of_its_own  # noqa: E402

from minidl import cuda  # noqa: E402
from minidl.kernels.gpu import launcher  # noqa: E402


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """The emulator with every instance of every kernel."""
    if not cuda_emulator.is_available():
        pytest.skip("the CUDA emulator needs g++ on an x86-64 processor")
    instances: dict[str, list[str]] = {}
    for kernel in launcher.every_kernel():
        instances.setdefault(kernel.file, []).extend(kernel.instances())
    return Emulator(instances)


@pytest.fixture(scope="session", params=["emulator", pytest.param("device", marks=pytest.mark.gpu)])
def room(request: pytest.FixtureRequest) -> Room:
    """The functions of `kernels.gpu`, on the emulator and, where there is one, on a GPU."""
    if request.param == "emulator":
        return Room(request.getfixturevalue("emulator"))
    if not cuda.is_available():
        pytest.skip("no GPU: CuPy or a driver is missing")
    return DeviceRoom()


@pytest.fixture(scope="session")
def emulated(emulator: Emulator) -> Room:
    """The functions of `kernels.gpu` on the emulator, for what only NumPy arrays can show."""
    return Room(emulator)


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A stand-in for CuPy whose kernels run on the emulator; and a GPU, where there is one."""
    if request.param == "stand-in":
        with device_of_its_own(request.getfixturevalue("emulated")):
            yield "cuda"
    elif cuda.is_available():
        yield "cuda"
    else:
        pytest.skip("no GPU: CuPy or a driver is missing")
