"""The benchmarks run as the README says, and what they print and store are the figures of one run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("numba")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # benchmarks are not installed


def benchmarks(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_a_workload_alone_gives_a_row_and_a_file_and_a_second_run_adds_to_it(tmp_path: Path) -> None:
    for name in ("mlp", "depth/10"):
        run = benchmarks(name, "--peers", "", "--budget", "0.02", "--threads", "1", "--out", str(tmp_path))
        if name == "mlp":
            assert run.returncode == 0, run.stderr
            assert "training step of a 16–16–16 network" in run.stdout
        else:
            assert run.returncode == 2
            assert "'depth/10' is none of" in run.stderr
    (file,) = tmp_path.iterdir()
    stored = json.loads(file.read_text())
    row = stored["figures"]["mlp"]["minidl"]
    assert 0 < row["q1"] <= row["median"] <= row["q3"] < 1
    assert stored["threads"] == 1


def test_a_gpu_is_asked_for_in_vain_with_a_sentence() -> None:
    from minidl import cuda

    if not cuda.is_available():
        run = benchmarks("mlp", "--device", "cuda")
        assert run.returncode == 2
        assert "no usable GPU" in run.stderr
    run = benchmarks("face-cnn-captured")
    assert run.returncode == 2
    assert "add --device cuda" in run.stderr


def test_workloads_live_on_the_device_they_were_asked_for() -> None:
    """Every tensor is made there: where there is no GPU none of them can be built."""
    from benchmarks.workloads import Workloads
    from minidl import cuda

    names = [name for name in Workloads("minidl").builders() if "/" not in name]
    assert len(names) > 30
    on_gpu = Workloads("minidl", device="cuda").builders()
    for name in names:
        if cuda.is_available():
            on_gpu[name]()()
            continue
        with pytest.raises(RuntimeError, match="no usable GPU"):
            on_gpu[name]()


def test_the_footprint_of_a_step_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    run = benchmarks("memory", "--peers", "", "--threads", "1", "--out", str(tmp_path))
    assert run.returncode == 0, run.stderr
    (file,) = tmp_path.iterdir()
    row = json.loads(file.read_text())["figures"]["face-cnn"]["minidl"]
    pooled = 4 * 32 * (32 * 55 * 45 + 64 * 26 * 21 + 128 * 12 * 9)  # bytes that three layers keep for the way back
    assert pooled / 2 < row["least"] <= row["median"] <= row["most"] < 100 * pooled


def test_operations_and_bytes_of_a_convolution_are_those_of_its_loops() -> None:
    from benchmarks.roofline import work
    from benchmarks.workloads import CONVOLUTIONS

    C, O, H, W, k, stride, padding = CONVOLUTIONS["conv-stride-2"]
    places = [
        (i, j)
        for i in range(-padding, H + padding - k + 1, stride)
        for j in range(-padding, W + padding - k + 1, stride)
    ]
    flops, traffic = work("conv-stride-2")
    assert flops == 2 * 32 * O * len(places) * C * k * k
    assert traffic == 4 * (32 * C * H * W + 32 * O * len(places) + O * C * k * k)


def test_the_measured_peak_and_bandwidth_are_those_of_a_machine() -> None:
    from benchmarks.machine import bandwidth, peak_gflops

    assert 2 < peak_gflops(1) < 1000
    assert 0.2 < bandwidth(1, megabytes=32) < 1000


def test_the_pictures_are_drawn(tmp_path: Path) -> None:
    from benchmarks.pictures import draw_roofline, draw_scaling
    from benchmarks.workloads import SWEEPS

    row = {"median": 1e-3, "q1": 0.9e-3, "q3": 1.1e-3}
    sweeps = {name: {str(n): {"minidl": row, "torch": row} for n in sizes} for name, sizes in SWEEPS.items()}
    assert draw_scaling({**sweeps, "threads": {"1": {"minidl": row}}}, tmp_path).stat().st_size > 10_000
    point = {"intensity": 30.0, "gflops": 100.0}
    points = {"peak": 200.0, "bandwidth": 20.0, "convolutions": {"conv-first-forward": point}}
    assert draw_roofline(points, tmp_path).stat().st_size > 10_000


def test_every_step_of_the_walk_through_a_convolution_computes_the_same() -> None:
    from benchmarks import one_convolution as walk

    x, w, y = walk.operands()
    n, o, i, j = np.random.default_rng(1).integers([0] * 4, y.shape, (20, 4)).T
    expected = [
        sum(
            float(w[b, c, k, m]) * float(x[a, c, p + k, q + m])
            for c in range(walk.C)
            for k in range(walk.K)
            for m in range(walk.K)
        )
        for a, b, p, q in zip(n, o, i, j, strict=True)
    ]
    for step in walk.STEPS:
        if not step.piece:
            y[:] = np.nan
            step.run(x, w, y)
            np.testing.assert_allclose(y[n, o, i, j], expected, rtol=1e-4, atol=1e-4, err_msg=step.name)
    rates = walk.measured(budget=0.0)
    text = walk.page(rates, (100.0, 200.0))
    assert all(step.text(key) in text for step in walk.STEPS for key in ("title_en", "title_zh", "en", "zh"))
    assert text.count("```python") == len(walk.STEPS) == len(rates)


# ── what a GPU shows ──────────────────────────────────────────────────────────────────────────────


def test_the_check_of_a_gpu_says_in_a_sentence_that_there_is_none(tmp_path: Path) -> None:
    from minidl import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU: run python -m benchmarks.gpu_check")
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "gpu_check: no usable GPU; it needs an NVIDIA driver and CuPy (pip install 'minidl[gpu13]')\n"
    )
    assert not [*tmp_path.iterdir()]


def test_the_check_of_a_gpu_counts_the_tests(tmp_path: Path) -> None:
    from benchmarks.gpu_check import counted

    code = "import pytest\ndef test_a(): pass\ndef test_b(): assert False\ndef test_c(): pytest.skip('none')\n"
    (tmp_path / "test_it.py").write_text(code)
    report = tmp_path / "report.xml"
    assert counted(report) == {"ended": False, "failed": 1}
    subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "test_it.py"], capture_output=True,
                   cwd=tmp_path, check=False)  # fmt: skip
    found = counted(report)
    assert (found["passed"], found["failed"], found["skipped"], found["failures"]) == (1, 1, 1, ["test_b"])


def test_the_check_of_a_gpu_goes_from_part_to_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything but the GPU: the workloads are there, and the file says what was found."""
    from benchmarks import gpu_check
    from benchmarks.catalogue import WORKLOADS
    from minidl import cuda

    names = {name.removesuffix("-forward") for name in WORKLOADS}
    assert names >= set(gpu_check.COMPARED)
    assert gpu_check.peer() == "" or cuda.is_available()
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_check, "device", lambda: {"gpu": "none"})
    monkeypatch.setattr(gpu_check, "compile_kernels", lambda: {"instances": 3})
    monkeypatch.setattr(gpu_check, "memory", lambda packages: dict.fromkeys(packages, 1))
    monkeypatch.setattr(gpu_check, "compare", lambda budget, peers: {"mlp": budget})
    monkeypatch.setattr(gpu_check, "precisions", lambda: dict.fromkeys(gpu_check.PRECISIONS, 0.1))
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--out", str(tmp_path), "--budget", "2"])
    for failed in (0, 1):
        monkeypatch.setattr(gpu_check, "run_tests", lambda seconds, failed=failed: {"failed": failed})
        assert gpu_check.main() == failed
    (file,) = tmp_path.iterdir()
    facts = json.loads(file.read_text())
    assert file.name == f"gpu-{facts['date']}.json"
    assert facts["figures"] == {"mlp": 2.0}
    assert facts["tests"] == {"failed": 1}


def test_a_step_of_every_precision_is_a_step() -> None:
    """On the CPU, where float32 is all there is: what would be timed on a GPU runs."""
    from benchmarks.gpu_check import PRECISIONS, precisions

    found = precisions("cpu", batch=2, repeats=2)
    assert [*found] == [*PRECISIONS]
    assert all(seconds > 0 for seconds in found.values())
