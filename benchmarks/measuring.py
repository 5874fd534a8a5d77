"""Engines in processes of their own, asked in turn, so that whatever else the machine does hits all of them alike.

A sample whose threads waited more than 5 % of the time for a processor is dropped. Where fewer than five are left to
one of the engines, nothing is dropped of any of them, and the row of that engine says that it was disturbed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.catalogue import ENGINES

Row: TypeAlias = dict[str, float | int | bool]

BUSY = 0.05
ENOUGH = 5
SLICE = 0.25
SETTLE = 0.15  # until the idle threads of the engine that was asked before have stopped spinning


@dataclass
class Peer:
    """An engine in its process, and the samples it gave."""

    name: str
    process: subprocess.Popen[str]
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def ask(self, workload: str, count: int) -> tuple[float, float] | None:
        """Seconds a step and the share of time spent waiting; None if the peer does not know the workload."""
        time.sleep(SETTLE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{workload} {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise SystemExit(f"benchmarks: the process of {self.name} ended; is it installed?")
        return None if answer[0] == "none" else (float(answer[0]), float(answer[1]))


def pinned(threads: int) -> dict[str, str]:
    """Settings that hold every engine to so many threads: JAX has none but the processors it may use."""
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}


def start(name: str, threads: int, device: str = "cpu") -> Peer:
    """Start the process of one peer, on this device."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", name, str(threads), device],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, **pinned(threads), **ENGINES[name].environment},
    )  # fmt: skip
    return Peer(name, process)


def undisturbed(samples: list[tuple[float, float]]) -> list[float]:
    """Seconds of the samples whose threads hardly waited for a processor."""
    return [seconds for seconds, waiting in samples if waiting < BUSY]


def measure(workload: str, peers: list[Peer], budget: float) -> dict[str, Row]:
    """Alternate between the peers until the budget (seconds a peer) is spent."""
    counts: dict[str, int] = {}
    for peer in peers:
        first = peer.ask(workload, 1)
        if first is not None:
            counts[peer.name] = max(1, int(SLICE / max(first[0], 1e-9)))
            peer.samples[workload] = []
    able = [peer for peer in peers if peer.name in counts]
    spent, turn = 0.0, 0
    while spent < budget * len(able) or turn < 7:
        for peer in able[turn % len(able) :] + able[: turn % len(able)]:
            sample = peer.ask(workload, counts[peer.name])
            assert sample is not None
            peer.samples[workload].append(sample)
            spent += sample[0] * counts[peer.name]
        turn += 1
    rows: dict[str, Row] = {}
    quiet = {peer.name: len(undisturbed(peer.samples[workload])) >= ENOUGH for peer in able}
    for peer in able:
        samples = peer.samples[workload]
        seconds = undisturbed(samples) if all(quiet.values()) else [seconds for seconds, _ in samples]
        low, middle, high = statistics.quantiles(seconds, n=4)
        rows[peer.name] = {
            "median": middle, "q1": low, "q3": high, "samples": len(seconds),
            "of": len(samples), "quiet": quiet[peer.name],
        }  # fmt: skip
    return rows


def stop(peers: list[Peer]) -> None:
    """End the processes."""
    for peer in peers:
        assert peer.process.stdin is not None
        peer.process.stdin.close()
        peer.process.wait()
