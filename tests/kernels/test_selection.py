"""Choosing the room."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from minidl.kernels import current_choice, kernels_for, use_kernels

X = np.zeros(1, np.float32)


def room() -> str:
    return kernels_for(X).__name__.rpartition(".")[2]


def test_the_choice_holds_inside_the_block_and_nests() -> None:
    outside = room()
    with use_kernels("numpy"):
        assert room() == "portable"
        with use_kernels("reference"):
            assert room() == "reference"
        assert room() == "portable"
    assert room() == outside


def test_the_choice_is_restored_when_an_exception_passes() -> None:
    with pytest.raises(ZeroDivisionError), use_kernels("reference"):
        _ = 1 / 0
    assert current_choice() == "auto"


def test_the_choice_belongs_to_one_thread() -> None:
    seen: list[str] = []
    with use_kernels("reference"):
        thread = threading.Thread(target=lambda: seen.append(current_choice()))
        thread.start()
        thread.join()
    assert seen == ["auto"]


def test_a_wrong_name_is_explained() -> None:
    with (
        pytest.raises(ValueError, match=r"expected one of 'auto', 'numpy', 'reference', got 'fast'"),
        use_kernels("fast"),
    ):
        pass


def test_every_room_has_the_same_functions() -> None:
    def names(choice: str) -> set[str]:
        with use_kernels(choice):
            module = kernels_for(X)
        return {name for name in vars(module) if callable(getattr(module, name))}

    assert names("auto") == names("numpy") == names("reference") != set()


def run_python(code: str, **environment: str) -> str:
    import os

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_nothing_heavy_is_imported_before_the_first_kernel() -> None:
    code = """
import sys, minidl.kernels, minidl.kernels.threads
print([m for m in ("numba", "llvmlite", "threadpoolctl", "cupy", "torch") if m in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_without_numba_numpy_takes_over() -> None:
    code = """
import sys
sys.modules["numba"] = None
import numpy as np
from minidl.kernels import kernels_for
room = kernels_for(np.ones(1))
print(room.__name__, room.matmul(np.ones((2, 3)), np.ones((3, 2))).sum())
"""
    assert run_python(code).split() == ["minidl.kernels.portable", "12.0"]
