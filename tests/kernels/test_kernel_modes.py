"""The kernel tests once more with nothing compiled, and compiled with every index checked.

Interpreted, the formulas and blocks run on NumPy arrays and assert that they read and write inside of them: so a
vector that reaches behind the end of an array is caught here, where the machine code would only read what lies there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

TESTS = Path(__file__).parent
PACKAGE = TESTS.parents[1]

INTERPRETED = {
    "test_pooling.py": "auto and (formula or adjoint or nan or layout)",
    "test_normalization.py": "auto and (formula or layout)",
    "test_convolution.py": "auto and (formula or adjoint or nan or layout) or block_edges or row_length",
    "test_fused.py": "auto and (formula or adjoint or nan or layout) or cuts_off or touch",
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
