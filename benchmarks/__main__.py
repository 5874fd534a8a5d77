"""`python -m benchmarks [workloads] [--peers torch]`: minidl beside its peers, interleaved, medians and spread.

Every engine runs in a process of its own; samples alternate between them, so that whatever else the machine does
hits all of them alike. A sample whose threads waited more than 5 % of the time for a processor is dropped, and the
table says how many were left. Compare the ratios: seconds drift with the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

WORKLOADS = {
    "face-cnn": "training step of the face CNN, 32×1×112×92, Adam",
    "face-cnn-infer-1": "the face CNN, one image, no gradient",
    "face-cnn-infer-32": "the face CNN, 32 images, no gradient",
    "mlp": "training step of a 16–16–16 network, batch 16, SGD",
    "rnn": "tanh RNN, T=112, 92→128, batch 32, forward and backward",
    "gru": "GRU, T=112, 92→128, batch 32, forward and backward",
    "lstm": "LSTM, T=112, 92→128, batch 32, forward and backward",
    "attention-128": "multi-head attention, 32×128×128, 4 heads, forward and backward",
    "attention-512": "multi-head attention, 32×512×128, 4 heads, forward and backward",
    "softmax-xent": "cross-entropy of 256×10000, forward and backward",
    "layernorm": "layer norm of 4096×512, forward and backward",
    "batchnorm": "batch norm of 32×64×28×28, forward and backward",
    "maxpool": "2×2 max-pooling of 32×64×56×56, forward",
    "maxpool-back": "2×2 max-pooling of 32×64×56×56, backward",
    "sgd": "SGD with momentum, 2 million parameters in 20 tensors",
    "adamw": "AdamW, 2 million parameters in 20 tensors",
    "adam": "Adam, 2 million parameters in 20 tensors",
    "adam-fused": "the same, PyTorch's with fused=True",
}
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "67108864"}
PEERS = {"minidl": ("minidl", {}), "torch": ("torch", {}), "torch+malloc": ("torch", MALLOC)}
BUSY = 0.05
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


def start(name: str, threads: int) -> Peer:
    """Start the process of one peer."""
    module, environment = PEERS[name]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", module, str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    return Peer(name, process)


def clean(samples: list[tuple[float, float]]) -> tuple[list[float], bool]:
    """The undisturbed samples; if there are fewer than five, the least disturbed half, and False."""
    quiet = [seconds for seconds, waiting in samples if waiting < BUSY]
    if len(quiet) >= 5:
        return quiet, True
    least = sorted(samples, key=lambda sample: sample[1])[: max(3, len(samples) // 2)]
    return [seconds for seconds, _ in least], False


def measure(workload: str, peers: list[Peer], budget: float) -> dict[str, dict[str, float | int | bool]]:
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
    rows: dict[str, dict[str, float | int | bool]] = {}
    for peer in able:
        seconds, quiet = clean(peer.samples[workload])
        low, middle, high = statistics.quantiles(seconds, n=4)
        rows[peer.name] = {
            "median": middle, "q1": low, "q3": high, "samples": len(seconds),
            "of": len(peer.samples[workload]), "quiet": quiet,
        }  # fmt: skip
    return rows


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {"processor": model, "cores": os.cpu_count() or 1, "python": platform.python_version()}


def main() -> None:
    """Measure, print the table, store the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("workloads", nargs="*", help=f"which of {', '.join(WORKLOADS)} (default: all)")
    parser.add_argument("--peers", default="torch", help=f"with which of {', '.join(list(PEERS)[1:])} to compare")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--budget", type=float, default=6.0, help="seconds a workload and peer (default: 6)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the figures")
    options = parser.parse_args()
    names = options.workloads or list(WORKLOADS)
    chosen = ["minidl", *[peer for peer in options.peers.split(",") if peer]]
    for name, known in [*((n, WORKLOADS) for n in names), *((p, PEERS) for p in chosen)]:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    peers = [start(name, options.threads) for name in chosen]
    found = {}
    print(f"{machine()['processor']}, {options.threads} threads; median [quartiles] of undisturbed samples")
    for workload in names:
        found[workload] = rows = measure(workload, peers, options.budget)
        print(f"\n{workload}: {WORKLOADS[workload]}")
        for name, row in rows.items():
            ratio = float(rows["minidl"]["median"]) / float(row["median"])
            against = "" if name == "minidl" else f"   minidl takes {ratio:.2f}× its time"
            flag = "" if row["quiet"] else "   (disturbed: indicative only)"
            times = f"{1e3 * float(row['median']):10.3f} ms [{1e3 * float(row['q1']):.3f}–{1e3 * float(row['q3']):.3f}]"
            print(f"  {name:<14}{times}  {row['samples']}/{row['of']} samples{against}{flag}", flush=True)
    for peer in peers:
        assert peer.process.stdin is not None
        peer.process.stdin.close()
        peer.process.wait()
    day = datetime.date.today().isoformat()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"cpu-{day}.json"
    facts = {"date": day, "machine": machine(), "threads": options.threads, "figures": found}
    file.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"\nfigures: {file}")


if __name__ == "__main__":
    main()
