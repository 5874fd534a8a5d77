"""The kernel tests once more with nothing compiled, compiled with every index checked, and for smaller processors.

Interpreted, the formulas and blocks run on NumPy arrays and assert that they read and write inside of them: so a
vector that reaches behind the end of an array is caught here, where the machine code would only read what lies there.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")
llvm = pytest.importorskip("llvmlite.binding")

TESTS = Path(__file__).parent
PACKAGE = TESTS.parents[1]

INTERPRETED = {
    "test_pooling.py": "auto and (formula or adjoint or nan or layout)",
    "test_normalization.py": "auto and (formula or layout)",
    "test_convolution.py": "auto and (formula or adjoint or nan or layout) or block_edges or row_length",
    "test_fused.py": "auto and (formula or adjoint or nan or layout) or cuts_off or touch",
    "test_winograd.py": "formula or strips or zipped",
    "test_recurrent_steps.py": "auto and formula or layout",
    "test_attention_kernels.py": "auto and formula or several_tiles or grows or reaches",
    "test_layer_norm.py": "auto or large",
    "test_softmax_cross_entropy.py": "auto",
    "test_updates.py": "auto",
    "test_vectors.py": "sums or products or around",
    "test_linalg.py": "auto and formula",
    "test_rectify.py": "auto",
}
CHECKED = {
    "test_pooling.py": "auto and (max_pool or scatter) and formula",
    "test_recurrent_steps.py": "auto and formula",
    "test_attention_kernels.py": "auto and formula",
    "test_layer_norm.py": "auto and formula",
    "test_softmax_cross_entropy.py": "auto and formula",
}

NARROW = {
    "test_convolution.py": "auto and (formula or adjoint or nan) or block_edges or row_length",
    "test_fused.py": "auto and (formula or adjoint or nan) or cuts_off",
    "test_winograd.py": "formula or strips or zipped",
    "test_recurrent_steps.py": "auto and formula",
    "test_attention_kernels.py": "auto and formula or several_tiles",
    "test_layer_norm.py": "auto or large",
    "test_softmax_cross_entropy.py": "auto",
    "test_updates.py": "auto",
    "test_vectors.py": "sums or products or around",
}
SMALLER = {  # the processor as LLVM calls it, what it can, and (float32 in a register, registers)
    "AVX2": ("haswell", "+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+f16c", (8, 16)),
    "SSE2": ("x86-64", "+sse,+sse2", (4, 16)),
}


def passes(chosen: dict[str, str], **environment: str) -> None:
    """Run the chosen tests in another process, with few drawn examples each."""
    path = os.pathsep.join(filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH", ""))))
    which = " or ".join([f"{file} and ({names})" for file, names in chosen.items()])
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", which, *chosen],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": path, "HYPOTHESIS_PROFILE": "brief", **environment},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_interpreted_kernels_pass_the_same_tests() -> None:
    """T31: NUMBA_DISABLE_JIT=1 runs the very source that is compiled."""
    passes(INTERPRETED, NUMBA_DISABLE_JIT="1")


def test_no_index_leaves_its_array(tmp_path: Path) -> None:
    """NUMBA_BOUNDSCHECK=1 raises where a loop reads or writes outside; its code is kept apart from the unchecked."""
    passes(CHECKED, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="the processor is no x86")
@pytest.mark.parametrize("name", SMALLER)
def test_kernels_for_smaller_processors_pass_the_same_tests(name: str, tmp_path: Path) -> None:
    """Tiles, blocks and masks are cut to the registers there are, here to fewer and shorter ones than usual."""
    processor, features, registers = SMALLER[name]
    here = llvm.get_host_cpu_features()
    if missing := [word for word in features.replace("+", "").split(",") if not here.get(word)]:
        pytest.skip(f"this processor has no {', '.join(missing)}")
    environment = {
        "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path),
    }  # fmt: skip
    code = "from minidl.kernels.cpu import simd; print((simd.LANES, simd.REGISTERS))"
    path = {"PYTHONPATH": str(PACKAGE)}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **path, **environment}
    )
    assert shown.stdout.strip() == str(registers), shown.stderr
    passes(NARROW, **environment)
