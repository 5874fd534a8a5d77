"""One engine in a process of its own: reads `workload count`, runs the step so often, answers seconds a step.

Each answer also says which share of the time the process's threads waited for a processor, so that samples taken
while other work held the machine can be told apart.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from collections.abc import Callable

from benchmarks.catalogue import ENGINES
from benchmarks.workloads import Step, Workloads


def waited() -> float:
    """Seconds that the threads of this process have waited in a run queue so far (0 where the system cannot tell)."""
    total = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return total * 1e-9


def builders(name: str, threads: int, device: str) -> dict[str, Callable[[], Step]]:
    """What one engine can be asked, with so many threads and on this device."""
    engine = ENGINES[name]
    if engine.package in ("minidl", "torch"):
        pool = importlib.import_module({"torch": "torch", "minidl": "minidl.kernels.threads"}[engine.package])
        pool.set_num_threads(threads)
        return Workloads(engine.package, engine.setting, device).builders()
    if hasattr(os, "sched_setaffinity"):  # the others use every processor they may
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    found: dict[str, Callable[[], Step]] = importlib.import_module(f"benchmarks.peers_{engine.package}").builders()
    return found


def main() -> None:
    """Serve one peer until the input ends."""
    name, threads, device = sys.argv[1:]
    workloads = builders(name, int(threads), device)
    # a GPU is told what to do and does it later: the clock stops when it is done
    finish = importlib.import_module(ENGINES[name].package).cuda.synchronize if device == "cuda" else lambda: None
    built: dict[str, Step] = {}
    for line in sys.stdin:
        name, count = line.split()
        if name not in workloads:
            print("none", flush=True)
            continue
        if name not in built:
            built[name] = workloads[name]()
            for _ in range(2):
                built[name]()
            finish()
            gc.collect()
        step, queued, started = built[name], waited(), time.perf_counter()
        for _ in range(int(count)):
            step()
        finish()
        seconds = time.perf_counter() - started
        print(seconds / int(count), (waited() - queued) / seconds, flush=True)


if __name__ == "__main__":
    main()
