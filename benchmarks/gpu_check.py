"""`python -m benchmarks.gpu_check`: everything that only a GPU can show, in one command planned for eight minutes.

It compiles every kernel with CuPy, runs the tests marked `gpu`, times the face CNN in four precisions, measures memory,
and compares training steps (as written and captured), convolutions, GRU and attention with PyTorch on the same GPU
where that is installed. All of it goes into `benchmarks/results/gpu-DATE.json`, with date and device. The exit status
is 1 if a test failed, and 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.workloads import Step, Workloads

ROOT = Path(__file__).resolve().parents[1]
COMPARED = (
    "mlp",
    "face-cnn",
    "face-cnn-captured",
    "conv-64-64",
    "conv-64-128",
    "gru",
    "attention-128",
    "attention-512",
)
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


def device() -> dict[str, Any]:
    """The GPU, and what drives it."""
    from minidl import cuda

    cupy: Any = importlib.import_module("cupy")
    runtime = cupy.cuda.runtime
    return {
        "gpu": cuda.device_name(),
        "compute capability": cupy.cuda.Device().compute_capability,
        "cupy": cupy.__version__,
        "driver": runtime.driverGetVersion(),
        "cuda": runtime.runtimeGetVersion(),
    }


def compile_kernels() -> dict[str, Any]:
    """How long CuPy takes to compile all kernels, or finds them in its cache; raises where one does not compile."""
    from minidl.kernels import gpu
    from minidl.kernels.gpu.launcher import _load_with_cupy, every_kernel

    started = time.perf_counter()
    instances = [(kernel.file, instance) for kernel in every_kernel() for instance in kernel.instances()]
    for file, instance in instances:
        _load_with_cupy(file, instance)
    return {"room": gpu.__name__, "instances": len(instances), "seconds": time.perf_counter() - started}


def run_tests(seconds: float) -> dict[str, Any]:
    """Run the tests marked `gpu`: how many passed, failed and were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-q", f"--junitxml={report}"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=ROOT, check=False, timeout=seconds)
        return counted(report)


def counted(report: Path) -> dict[str, Any]:
    """What a report of pytest says; without one the tests did not end, which counts as a failure."""
    if not report.exists():
        return {"ended": False, "failed": 1}
    (suite,) = ET.parse(report).getroot().iter("testsuite")
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    names = [
        c.get("name") for c in suite.iter("testcase") if c.find("failure") is not None or c.find("error") is not None
    ]
    return {
        "ended": True, "passed": total - skipped - failed, "failed": failed, "skipped": skipped,
        "seconds": float(suite.get("time", 0)), "failures": names,
    }  # fmt: skip


def seconds_of(step: Step, finish: Step, repeats: int) -> float:
    """The median time of a step, the device waited for before and after each."""
    for _ in range(3):
        step()
    taken = []
    for _ in range(repeats):
        finish()
        started = time.perf_counter()
        step()
        finish()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def precisions(place: str = "cuda", batch: int = 32, repeats: int = 20) -> dict[str, float]:
    """Seconds of a training step of the face CNN: exact, and with factors that tensor cores multiply."""
    from minidl import amp, cuda

    workloads = Workloads("minidl", device=place)
    dl, F = workloads.dl, workloads.F
    model, x, labels = workloads.face_cnn(), workloads.normal(batch, 1, 112, 92), workloads.labels(40, batch)
    optimizer = workloads.optim.Adam(model.parameters(), lr=1e-3)
    found = {}
    for name in PRECISIONS:
        lower = getattr(dl, name) if name.endswith("float16") else None
        scaler = amp.GradScaler(enabled=name == "float16")

        def step(lower: Any = lower, scaler: Any = scaler, tf32: bool = name == "tf32") -> None:
            optimizer.zero_grad()
            with cuda.allow_tf32(tf32):
                with dl.autocast("cuda", dtype=lower or dl.float16, enabled=lower is not None):
                    loss = F.cross_entropy(model(x), labels)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()

        found[name] = seconds_of(step, cuda.synchronize if place == "cuda" else lambda: None, repeats)
    return found


def compare(budget: float, peers: str) -> dict[str, Any]:
    """The workloads beside PyTorch on the same GPU, by `python -m benchmarks`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks", *COMPARED, "--device", "cuda", "--peers", peers]
        subprocess.run([*command, "--budget", str(budget), "--out", folder], cwd=ROOT, check=True)
        (file,) = Path(folder).iterdir()
        figures: dict[str, Any] = json.loads(file.read_text())["figures"]
    return figures


def reserved(package: str) -> int:
    """Bytes of the GPU that an engine holds after five training steps of the face CNN."""
    step = Workloads(package, device="cuda").train_face_cnn()
    for _ in range(5):
        step()
    held: int = importlib.import_module(f"{package}.cuda").memory_reserved()
    return held


def memory(packages: list[str]) -> dict[str, int]:
    """The same for each engine, in processes of their own."""
    found = {}
    for package in packages:
        code = f"from benchmarks.gpu_check import reserved; print(reserved({package!r}))"
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
        found[package] = int(run.stdout.split()[-1])
    return found


def peer() -> str:
    """ "torch" where PyTorch is installed and sees the GPU, otherwise nobody."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return ""
    return "torch" if torch.cuda.is_available() else ""


def main() -> int:
    """Check, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", type=float, default=1.5, help="seconds a workload and engine (default: 1.5)")
    parser.add_argument(
        "--tests", type=float, default=240, help="seconds after which tests are given up (default: 240)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the figures")
    chosen = parser.parse_args()
    from minidl import cuda

    if not cuda.is_available():
        print(
            "gpu_check: no usable GPU; it needs an NVIDIA driver and CuPy (pip install 'minidl[gpu13]')",
            file=sys.stderr,
        )
        return 2
    against, day = peer(), datetime.date.today().isoformat()
    facts: dict[str, Any] = {"date": day, "machine": machine(), "device": device(), "against": against or "nobody"}
    print(f"{facts['device']}; compared with {facts['against']}", flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / f"gpu-{day}.json"
    for name, part in (
        ("kernels", compile_kernels),
        ("tests", lambda: run_tests(chosen.tests)),
        ("precisions", precisions),
        ("memory", lambda: memory(["minidl", *([against] if against else [])])),
        ("figures", lambda: compare(chosen.budget, against)),
    ):
        facts[name] = part()
        file.write_text(
            json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
        )  # what is known, should the next part fail
        print(f"{name}: {facts[name]}", flush=True)
    print(f"\nfigures: {file}")
    return 1 if facts["tests"]["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
