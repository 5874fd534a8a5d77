"""How much memory is in use, and large buffers kept for the next step instead of being returned to the system.

A training step allocates the same large arrays again and again. By default glibc returns a large block to the system
when it is freed, and the next step pays for every page of it again: the system has to find the page, clear it and map
it. On a chain of elementwise operations over 32 MiB arrays that was half of the time. `keep_large_buffers` tells the
allocator to keep such blocks; `import minidl` calls it, unless the environment says MINIDL_KEEP_MEMORY=0.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minidl import cuda
from minidl.backend import Device

KEEP = 2**30
"""Up to so many bytes a block are kept, and so many bytes of free blocks in all."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt, from <malloc.h>
_GROW_BY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes in use now, and at most so far."""

    current: int
    peak: int

    def __str__(self) -> str:
        return f"{self.current / 2**20:.1f} MiB now, {self.peak / 2**20:.1f} MiB at the peak"


def usage(device: Device | str = "cpu") -> Usage:
    """The memory of this process, or of CuPy's pool on the GPU.

    Arguments:
        device: "cpu": the resident set of the whole process, code and libraries included; "cuda": what arrays use
            now, and what the pool has taken from the device so far.

    Raises:
        RuntimeError: there is no such device, or the system does not tell (it is not Linux).
    """
    if Device(device).type == "cuda":
        return Usage(cuda.memory_allocated(), cuda.max_memory_reserved())
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file)
        return Usage(_kibibytes(lines["VmRSS"]), _kibibytes(lines["VmHWM"]))
    except (OSError, KeyError) as error:
        raise RuntimeError("memory.usage: this system has no /proc/self/status to read the figures from") from error


def _kibibytes(text: str) -> int:
    return int(text.split()[0]) * 1024


@contextmanager
def track() -> Iterator[Tracked]:
    """Count exactly what is allocated inside the block: NumPy's arrays and Python's objects.

    It slows everything down while it counts, and the figures leave out what was allocated before.

    >>> import numpy as np
    >>> with track() as memory:
    ...     kept = np.ones(1_000_000)
    ...     _ = kept + kept
    >>> round(memory.current / 1e6), round(memory.peak / 1e6)
    (16, 16)
    """
    outer = tracemalloc.is_tracing()
    if not outer:
        tracemalloc.start()
    tracemalloc.reset_peak()
    tracked = Tracked(tracemalloc.get_traced_memory()[0])
    try:
        yield tracked
    finally:
        tracked._close()
        if not outer:
            tracemalloc.stop()


class Tracked:
    """What a `track()` block has allocated; the last figures stay when the block is over."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._final: tuple[int, int] | None = None

    def _figures(self) -> tuple[int, int]:
        return self._final or tracemalloc.get_traced_memory()

    def _close(self) -> None:
        self._final = tracemalloc.get_traced_memory()

    @property
    def current(self) -> int:
        """Bytes allocated in the block and not yet freed."""
        return self._figures()[0] - self._before

    @property
    def peak(self) -> int:
        """The most bytes that lived at one time, of those allocated in the block."""
        return max(0, self._figures()[1] - self._before)


def keep_large_buffers(limit: int = KEEP) -> bool:
    """Tell the allocator of the C library to keep freed blocks up to `limit` bytes for later.

    It holds for the whole process. The price: up to `limit` bytes that nobody uses stay with the process until
    `release_free_memory`.

    Returns:
        Whether the allocator understood; only glibc has these settings.

    Raises:
        ValueError: the limit is not an integer from 1 to 2³¹ − 1.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit < 2**31:
        raise ValueError(f"keep_large_buffers: expected a number of bytes from 1 to 2³¹ − 1, got {limit!r}")
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, limit), (_M_TRIM_THRESHOLD, limit), (_M_TOP_PAD, min(limit, _GROW_BY)))
    understood = [mallopt(which, value) == 1 for which, value in settings]  # all of them, whatever the first said
    return all(understood)


def release_free_memory(device: Device | str = "cpu") -> None:
    """Return blocks that nobody uses to the system, or to the GPU's driver.

    Raises:
        RuntimeError: there is no such device.
    """
    if Device(device).type == "cuda":
        cuda.empty_cache()
        return
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> ctypes._NamedFuncPointer | None:
    # musl's C library has a malloc_trim-less allocator of its own; macOS and Windows have none of these names
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)


if os.environ.get("MINIDL_KEEP_MEMORY", "1") != "0":
    keep_large_buffers()
