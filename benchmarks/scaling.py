"""How cost grows: with the batch, the length of a sequence, the channels, the depth of the tape, and threads."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import Row, measure, start, stop
from benchmarks.workloads import SWEEPS

SHARE = 0.15  # of the budget of a workload, for each size


def _print(name: str, size: int, rows: dict[str, Row]) -> None:
    each = "   ".join(f"{peer} {1e6 * float(row['median']) / size:10.2f} µs" for peer, row in rows.items())
    print(f"  {name:<10}{size:>6}   each: {each}", flush=True)


def scaling(names: list[str], threads: int, budget: float) -> dict[str, Any]:
    """Seconds a step for every size of every sweep and peer, and of the face CNN for 1 … `threads` threads.

    Arguments:
        names: the engines, as in `ENGINES`.
        threads: for everything but the sweep over threads.
        budget: seconds a workload and peer.

    Returns:
        sweep → size → engine → the row of figures.
    """
    found: dict[str, dict[str, dict[str, Row]]] = {}
    peers = [start(name, threads) for name in names]
    for sweep, sizes in SWEEPS.items():
        found[sweep] = {}
        for size in sizes:
            rows = measure(f"{sweep}/{size}", peers, SHARE * budget)
            found[sweep][str(size)] = rows
            _print(sweep, size, rows)
    stop(peers)
    found["threads"] = {}
    for count in range(1, threads + 1):
        peers = [start(name, count) for name in names]
        rows = measure("face-cnn", peers, budget / 2)
        stop(peers)
        found["threads"][str(count)] = rows
        _print("threads", 1, rows)
    return found
