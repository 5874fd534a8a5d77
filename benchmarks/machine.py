"""What the figures were measured on, and the most the machine could give: its arithmetic and its memory."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def machine() -> dict[str, str | int]:
    """Processor, cores and Python, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {"processor": model, "cores": os.cpu_count() or 1, "python": platform.python_version()}


def _best(task: Callable[[], object], repeats: int = 7) -> float:
    task()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - started)
    return statistics.median(sorted(seconds)[: max(1, repeats // 2)])


def peak_gflops(threads: int) -> float:
    """Float32 multiply-adds that never leave the registers, on all threads: 10⁹ operations a second.

    The loop keeps the accumulators of the convolution's tile busy with fused multiply-adds on vectors as wide as the
    kernels use, so this is the ceiling a kernel can reach, measured rather than taken from a data sheet.
    """
    from benchmarks.peak import FLOPS_PER_ROUND, spin
    from minidl.kernels.threads import parallel_for, set_num_threads

    set_num_threads(threads)
    rounds, out = 200_000, np.zeros((threads, 16), np.float32)

    def task() -> None:
        parallel_for(threads, 1, lambda start, stop: spin(rounds, out[start]))

    return threads * rounds * FLOPS_PER_ROUND / _best(task) / 1e9


def bandwidth(threads: int, megabytes: int = 256) -> float:
    """A copy of memory too large for the caches: gigabytes read and written a second."""
    from minidl.kernels.threads import parallel_for, set_num_threads

    set_num_threads(threads)
    source = np.ones(megabytes * 2**18, np.float32)
    target = np.zeros_like(source)
    share = len(source) // threads

    def task() -> None:
        parallel_for(len(source), share, lambda start, stop: np.copyto(target[start:stop], source[start:stop]))

    return 2 * source.nbytes / _best(task) / 1e9
