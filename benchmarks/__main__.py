"""`python -m benchmarks [workloads] [--peers torch,jax]`: minidl beside its peers, interleaved, medians and spread.

Besides workloads by name: `scaling` measures how cost grows with batch, time, tokens, channels, depth and threads,
`roofline` sets the convolutions beside the measured peak of the machine; both also draw a picture. `startup` measures
the import and the first step, `memory` the peak of a step. Compare ratios: seconds drift with the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.catalogue import ENGINES, ON_GPU, WORKLOADS
from benchmarks.footprint import memory, startup
from benchmarks.machine import machine
from benchmarks.measuring import Row, measure, start, stop
from benchmarks.pictures import draw_roofline, draw_scaling
from benchmarks.roofline import roofline
from benchmarks.scaling import scaling
from benchmarks.workloads import CONVOLUTIONS

DEFAULT = [name for name in WORKLOADS if not name.startswith("conv-") and name != "face-cnn-captured"]
STUDIES = ("scaling", "roofline", "startup", "memory")


def table(workload: str, rows: dict[str, Row]) -> str:
    """One workload in lines of text, with the ratio to each peer."""
    lines = [f"\n{workload}: {WORKLOADS[workload]}"]
    for name, row in rows.items():
        ratio = float(rows["minidl"]["median"]) / float(row["median"])
        against = "" if name == "minidl" else f"   minidl takes {ratio:.2f}× its time"
        flag = "" if row["quiet"] else "   (disturbed: waited for processors)"
        times = f"{1e3 * float(row['median']):10.3f} ms [{1e3 * float(row['q1']):.3f}–{1e3 * float(row['q3']):.3f}]"
        lines.append(f"  {name:<14}{times}  {row['samples']}/{row['of']} samples{against}{flag}")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", help=f"which of {', '.join([*DEFAULT, 'conv', *CONVOLUTIONS, *STUDIES])} (default: all "
        f"but conv and the studies; conv stands for every convolution)",
    )  # fmt: skip
    parser.add_argument("--peers", default="torch", help=f"with which of {', '.join(list(ENGINES)[1:])} to compare")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help=f"cuda: {' and '.join(ON_GPU)} only")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--budget", type=float, default=6.0, help="seconds a workload and peer (default: 6)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for figures and pictures")
    chosen = parser.parse_args()
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, got {chosen.threads}")
    chosen.peers = ["minidl", *[peer for peer in chosen.peers.split(",") if peer]]
    names: list[str] = []
    for name in chosen.names or DEFAULT:
        parts = [n for n in WORKLOADS if n.startswith("conv-")] if name == "conv" else [name]
        if name in CONVOLUTIONS:
            parts = [n for n in WORKLOADS if n.startswith(f"{name}-") and n.removeprefix(f"{name}-").isalpha()]
        names += parts
    chosen.names = names
    for name, known in [*((n, [*WORKLOADS, *STUDIES]) for n in names), *((p, ENGINES) for p in chosen.peers)]:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    if chosen.device == "cuda":
        _check_gpu(parser, chosen)
    elif "face-cnn-captured" in names:
        parser.error("face-cnn-captured runs on a GPU: add --device cuda")
    return chosen


def _check_gpu(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """End with a sentence where something cannot be measured on a GPU."""
    from minidl.backend import module_for

    try:
        module_for("cuda")
    except RuntimeError as error:
        parser.error(str(error))
    if studies := [name for name in chosen.names if name in STUDIES]:
        parser.error(f"{studies[0]} is measured on the CPU")
    if others := [peer for peer in chosen.peers if ENGINES[peer].package not in ON_GPU]:
        parser.error(f"--device cuda: {others[0]} is none of {', '.join(ON_GPU)}")


def stored(folder: Path, kind: str, threads: int, figures: dict[str, Any], **more: str) -> Path:
    """Write figures, and what else is to be known of them, into the file of the day, beside those that are there."""
    day = datetime.date.today().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{kind}-{day}.json"
    before = json.loads(file.read_text())["figures"] if file.exists() else {}
    facts = {"date": day, "machine": machine(), "threads": threads, **more, "figures": {**before, **figures}}
    file.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return file


def main() -> None:
    """Measure, print the table, store the figures."""
    chosen = options()
    where = f"{machine()['processor']}, {chosen.threads} threads"
    more = {}
    if chosen.device == "cuda":
        from minidl import cuda

        more["gpu"] = where = cuda.device_name()
    print(f"{where}; median [quartiles] of samples")
    workloads = [name for name in chosen.names if name in WORKLOADS]
    if workloads:
        peers, found = [start(name, chosen.threads, chosen.device) for name in chosen.peers], {}
        for workload in workloads:
            found[workload] = measure(workload, peers, chosen.budget)
            print(table(workload, found[workload]), flush=True)
        stop(peers)
        kind = chosen.device if all(ENGINES[peer].package in ON_GPU for peer in chosen.peers) else "peers"
        print(f"\nfigures: {stored(chosen.out, kind, chosen.threads, found, **more)}")
    if "scaling" in chosen.names:
        series = scaling(chosen.peers, chosen.threads, chosen.budget)
        print(f"\nfigures: {stored(chosen.out, 'scaling', chosen.threads, series)}")
        print(f"picture: {draw_scaling(series, chosen.out)}")
    if "roofline" in chosen.names:
        points = roofline(chosen.threads, chosen.budget)
        print(f"\nfigures: {stored(chosen.out, 'roofline', chosen.threads, points)}")
        print(f"picture: {draw_roofline(points, chosen.out)}")
    for name, study in (("startup", startup), ("memory", memory)):
        if name in chosen.names:
            print(f"\nfigures: {stored(chosen.out, name, chosen.threads, study(chosen.peers, chosen.threads))}")


if __name__ == "__main__":
    main()
