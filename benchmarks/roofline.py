"""The convolutions beside what the machine can do: operations a second against operations a byte.

Operations are those of the defining loops. A 3×3 convolution by Winograd's tiles does with fewer, and may lie above
the roof.
"""

from __future__ import annotations

from typing import Any

from benchmarks.machine import bandwidth, peak_gflops
from benchmarks.measuring import measure, start, stop
from benchmarks.workloads import CONVOLUTIONS, PASSES


def work(name: str) -> tuple[float, float]:
    """(operations, bytes) of one convolution of 32 images: multiply and add, every array moved once."""
    C, O, H, W, k, stride, padding = CONVOLUTIONS[name]
    OH, OW = ((n + 2 * padding - k) // stride + 1 for n in (H, W))
    return 2.0 * 32 * O * OH * OW * C * k * k, 4.0 * (32 * C * H * W + O * C * k * k + 32 * O * OH * OW)


def roofline(threads: int, budget: float) -> dict[str, Any]:
    """Every pass of every convolution, the peak of multiply-adds and the bandwidth of memory, all measured here."""
    peak, stream = peak_gflops(threads), bandwidth(threads)
    print(f"\npeak {peak:.0f} GFLOP/s, memory {stream:.1f} GB/s", flush=True)
    points: dict[str, Any] = {"peak": peak, "bandwidth": stream, "convolutions": {}}
    peers = [start("minidl", threads)]
    for name in CONVOLUTIONS:
        flops, traffic = work(name)
        for which in PASSES:
            row = measure(f"{name}-{which}", peers, budget / 4)["minidl"]
            rate = flops / float(row["median"]) / 1e9
            reachable = min(peak, stream * flops / traffic)
            points["convolutions"][f"{name}-{which}"] = {
                "intensity": flops / traffic, "gflops": rate, "of_reachable": rate / reachable, **row,
            }  # fmt: skip
            print(f"  {name}-{which:<8} {rate:7.1f} GFLOP/s, {rate / reachable:4.0%} of what is reachable", flush=True)
    stop(peers)
    return points
