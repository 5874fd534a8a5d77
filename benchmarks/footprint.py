"""What an engine costs besides the time of a step: to be imported, to make its first step, and in memory.

Every figure is taken in a process of its own, the engines in turn. `python -m benchmarks startup memory` runs them all.
"""

from __future__ import annotations

import gc
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.catalogue import ENGINES
from benchmarks.measuring import pinned
from benchmarks.workloads import Workloads

ROUNDS = 5


# ── in a process of its own ───────────────────────────────────────────────────────────────────────


def import_seconds(package: str) -> float:
    """How long `import minidl` or `import torch` takes, once the files are in the system's cache."""
    started = time.perf_counter()
    importlib.import_module(package)
    return time.perf_counter() - started


def first_step_seconds(package: str) -> float:
    """From nothing imported to the end of the first training step of the face CNN."""
    started = time.perf_counter()
    Workloads(package).train_face_cnn()()
    return time.perf_counter() - started


def step_bytes(package: str) -> float:
    """The most memory that training steps of the face CNN with 32 images take above what is there before them.

    A step with two images runs first, so that code and libraries are not counted.
    """
    workloads = Workloads(package)
    workloads.train_face_cnn(2)()
    step = workloads.train_face_cnn(32)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status("VmRSS")
    for _ in range(5):
        step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


FIGURES = {"import": import_seconds, "first-step": first_step_seconds, "step-bytes": step_bytes}


def main() -> None:
    """One figure of one package, printed."""
    figure, package = sys.argv[1:]
    print(FIGURES[figure](package))


# ── the engines in turn ───────────────────────────────────────────────────────────────────────────


def _once(figure: str, engine: str, threads: int, **environment: str) -> float:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.footprint", figure, ENGINES[engine].package],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, **pinned(threads), **ENGINES[engine].environment, "MINIDL_NUM_THREADS": str(threads),
             "PYTHONDONTWRITEBYTECODE": "", **environment},
    )  # fmt: skip
    if result.returncode:
        raise SystemExit(f"benchmarks: {figure} of {engine} ended with an error; is it installed?")
    return float(result.stdout)


def _in_turn(figure: str, engines: list[str], threads: int, rounds: int = ROUNDS) -> dict[str, dict[str, Any]]:
    ask = partial(_once, figure, threads=threads)
    for engine in engines:  # once for the system's cache, minidl's kernels and Python's own compiled files
        ask(engine)
    values: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            values[engine].append(ask(engine))
    return {name: {"median": statistics.median(v), "least": min(v), "most": max(v)} for name, v in values.items()}


def _print(title: str, rows: dict[str, dict[str, Any]], unit: str, scale: float) -> None:
    print(f"\n{title}")
    for name, row in rows.items():
        ratio = rows["minidl"]["median"] / row["median"]
        against = "" if name.startswith("minidl") else f"   minidl takes {ratio:.2f}× as much"
        print(f"  {name:<22}{row['median'] * scale:9.3f} {unit} "
              f"[{row['least'] * scale:.3f}–{row['most'] * scale:.3f}]{against}", flush=True)  # fmt: skip


def _plain(engines: list[str]) -> list[str]:
    """Those that run the workloads of this module: minidl and PyTorch, without settings for networks."""
    return [name for name in engines if ENGINES[name].package in ("minidl", "torch") and not ENGINES[name].setting]


def startup(engines: list[str], threads: int) -> dict[str, Any]:
    """Seconds to import an engine, and to the end of its first training step with and without compiled kernels."""
    engines = [name for name in _plain(engines) if not ENGINES[name].environment]
    found = {"import": _in_turn("import", engines, threads), "first-step": _in_turn("first-step", engines, threads, 3)}
    with tempfile.TemporaryDirectory() as folder:
        cold = _once("first-step", "minidl", threads, NUMBA_CACHE_DIR=folder)
    found["first-step"]["minidl, nothing compiled"] = {"median": cold, "least": cold, "most": cold}
    _print("import", found["import"], "s", 1)
    _print("from nothing imported to the end of the first training step of the face CNN", found["first-step"], "s", 1)
    return found


def memory(engines: list[str], threads: int) -> dict[str, Any]:
    """Bytes that a training step of the face CNN takes at its peak."""
    rows = _in_turn("step-bytes", _plain(engines), threads, 3)
    _print("memory of a training step of the face CNN at its peak", rows, "MiB", 2**-20)
    return {"face-cnn": rows}


if __name__ == "__main__":
    main()
