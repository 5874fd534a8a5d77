"""Where compiled kernels are kept: a closed disk stops nothing, and nothing stays behind in the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

PACKAGE = Path(__file__).parents[2]


def run_python(*arguments: str, **environment: str) -> str:
    path = os.pathsep.join(filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH", ""))))
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


USE = """
import numpy as np
from minidl.kernels import kernels_for
x = np.ones((1, 1, 4, 6), np.float32)
print(kernels_for(x).__name__, kernels_for(x).max_pool2d(x, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), (4, 6))[0].sum())
"""


def test_kernels_compile_where_nothing_can_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    output = run_python("-c", USE, NUMBA_CACHE_DIR=str(blocked))
    assert output.split() == ["minidl.kernels.cpu", "24.0"]


def test_a_redirected_stderr_stays_clean_and_the_cache_is_used(tmp_path: Path) -> None:
    assert run_python("-c", USE, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["minidl.kernels.cpu", "24.0"]
    cached = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.nbc")}
    assert cached
    assert all(p.parts[len(tmp_path.parts)].startswith("minidl-") for p in cached)
    run_python("-c", USE, NUMBA_CACHE_DIR=str(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.nbc")} == cached


def test_compiled_kernels_are_kept_in_the_users_cache_not_beside_the_source(tmp_path: Path) -> None:
    """Files that pip does not know of stay behind when it uninstalls, and hide the next installation."""
    run_python("-c", USE, XDG_CACHE_HOME=str(tmp_path), NUMBA_CACHE_DIR="")
    assert [*(tmp_path / "minidl").rglob("*.nbc")]
