"""One engine in a process of its own: reads `workload count`, runs the step so often, answers seconds a step.

Each answer also says which share of the time the process's threads waited for a processor, so that samples taken
while other work held the machine can be told apart.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable

from benchmarks.workloads import Workloads


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


def main() -> None:
    """Serve one peer until the input ends."""
    peer, threads = sys.argv[1], int(sys.argv[2])
    if peer == "torch":
        import torch

        torch.set_num_threads(threads)
    if peer == "minidl":
        from minidl.kernels import threads as pool

        pool.set_num_threads(threads)
    workloads = Workloads(peer).builders()
    built: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name, count = line.split()
        if name not in workloads:
            print("none", flush=True)
            continue
        if name not in built:
            built[name] = workloads[name]()
            for _ in range(2):
                built[name]()
            gc.collect()
        step, queued, started = built[name], waited(), time.perf_counter()
        for _ in range(int(count)):
            step()
        seconds = time.perf_counter() - started
        print(seconds / int(count), (waited() - queued) / seconds, flush=True)


if __name__ == "__main__":
    main()
