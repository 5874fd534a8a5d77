"""L22 with the compiled kernels, which quick runs leave out, and where there is no Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.teaching import library
from minidl.teaching.running import run

LESSON = library.lesson("L22")


@pytest.fixture(autouse=True)
def _thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIDL_FAST", raising=False)


def test_every_room_computes_the_same_numbers_and_gradients() -> None:
    pytest.importorskip("numba")
    names = run(LESSON, {"H": "6"}).names
    assert names["rooms"] == ["reference", "numpy", "auto"]
    assert np.shape(names["apart"]) == (2, 3)
    assert np.max(names["apart"]) <= 1e-6
    assert all(len(measured) == 7 and measured[0] > 0 for measured in names["times"].values())


def test_the_tiles_shown_are_those_of_the_kernels() -> None:
    pytest.importorskip("numba")
    from minidl.kernels.cpu import products, simd, tiles

    names = run(LESSON, {"R": str(simd.REGISTERS)}).names
    assert (names["rows"], names["vectors"]) == (tiles.ROWS, tiles.WIDE) == (products.ROWS, products.WIDE)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from minidl.teaching import library
from minidl.teaching.running import run
print(run(library.lesson("L22")).names["rooms"])
"""


def test_without_numba(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(minidl.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_NUMBA],
        capture_output=True, cwd=tmp_path, env=environment, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['reference', 'numpy']"
