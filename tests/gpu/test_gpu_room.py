"""The room as a whole: the functions that all rooms have, chosen by where an array lives; what the launcher refuses."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rooms import Room

from minidl.kernels import gpu, kernels_for, portable, precision, use_kernels
from minidl.kernels.gpu import launcher, linalg
from minidl.kernels.gpu.launcher import Kernel

PROJECT = Path(__file__).resolve().parents[2]


class DeviceArray:
    """Stands for an array of CuPy: all that decides the room is that it is not NumPy's."""


def functions(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}


def test_arrays_of_the_gpu_choose_its_room() -> None:
    assert kernels_for(DeviceArray()) is gpu
    with use_kernels("numpy"):
        assert kernels_for(DeviceArray()) is portable


def test_every_function_is_there_with_the_same_arguments() -> None:
    here = functions(gpu)
    for name, function in functions(portable).items():
        assert [*inspect.signature(here[name]).parameters] == [*inspect.signature(function).parameters], name


def test_importing_the_room_loads_no_cupy() -> None:
    code = "import sys, minidl.kernels.gpu, minidl.cuda; print('cupy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "False"


def test_an_installed_wheel_holds_the_cuda_files(tmp_path: Path) -> None:
    """Read by `importlib.resources`, so that also a wheel that was never unpacked has them."""
    pytest.importorskip("setuptools", minversion="77", reason="building a wheel needs setuptools ≥ 77")
    build = importlib.import_module("setuptools.build_meta")
    before = Path.cwd()
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((PROJECT / name).read_bytes())
    for folder in ("minidl", "lessons"):  # what is installed; links, so that nothing is built in the checkout
        (copy / folder).symlink_to(PROJECT / folder)
    try:
        os.chdir(copy)
        wheel = build.build_wheel(str(tmp_path))
    finally:
        os.chdir(before)
    names = {Path(name).name for name in zipfile.ZipFile(tmp_path / wheel).namelist()}
    cuda = {path.name for path in (PROJECT / "minidl" / "kernels" / "gpu").glob("*.cu*")}
    assert cuda
    assert cuda <= names


# ── the launcher ──────────────────────────────────────────────────────────────────────────────────

IM2COL = Kernel("unfold.cu", "im2col", ("float",))
launcher._kernels.remove(IM2COL)  # a second declaration, of the tests' own


class Sizes(NamedTuple):
    """The struct Windows."""

    H: int = 2
    W: int = 2
    KH: int = 1
    KW: int = 1
    SH: int = 1
    SW: int = 1
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    DH: int = 1
    DW: int = 1
    OH: int = 2
    OW: int = 2


X = np.ones((1, 1, 2, 2), "f4")
F4 = np.dtype("f4")


@pytest.mark.parametrize(
    ("template", "arguments", "error", "sentence"),
    [
        ((F4,), (X.astype("f8"), X, Sizes(), 1), TypeError, "im2col<float>: x must be an array of float32"),
        ((F4,), (X, 3.0, Sizes(), 1), TypeError, "im2col<float>: cols must be an array of float32, got float"),
        ((F4,), (X[..., ::-1], X, Sizes(), 1), ValueError, r"x of shape \(1, 1, 2, 2\) does not lie in order"),
        ((F4,), (X, X, Sizes(H=2**31), 1), OverflowError, "v gets 2147483648, which does not fit into int32"),
        ((F4,), (X, X, Sizes(), 2**63), OverflowError, "rows gets 9223372036854775808, which does not fit into int64"),
        ((F4,), (X, X, Sizes()), TypeError, "takes 4 arguments, got 3"),
        ((np.dtype("f8"),), (X, X, Sizes(), 1), TypeError, "im2col<double>: not among the kernels there are"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(template: Any, arguments: Any, error: Any, sentence: str) -> None:
    """T30: a kernel reads memory as its signature says, so what does not fit never reaches it."""
    with pytest.raises(error, match=sentence):
        IM2COL(template, (1,), (32,), *arguments)


def test_a_frozen_array_is_not_written() -> None:
    frozen = X.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="cols is written to, but may only be read"):
        IM2COL((F4,), (1,), (32,), X, frozen, Sizes(), 1)


def test_a_grid_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a grid of \(1, 65536\) blocks is larger than"):
        IM2COL((F4,), (1, 65536), (32,), X, X.copy(), Sizes(), 1)


def test_arguments_reach_the_kernel_in_the_types_of_its_signature() -> None:
    """CuPy passes a Python integer as 64 bits, whatever the kernel asks for; a struct must be one array of size 1."""
    seen: list[Any] = []
    with launcher.loaded_by(
        lambda file, instance: lambda grid, block, arguments: seen.append((grid, block, arguments))
    ):
        IM2COL((F4,), (np.int64(3), 2), (32,), X, None, Sizes(), True)
    grid, block, (x, cols, windows, rows) = seen[0]
    assert (grid, block) == ((3, 2), (32,))
    assert x is X
    assert cols == 0
    assert cols.dtype == np.uint64
    assert rows.dtype == np.int64
    assert (windows.shape, windows.nbytes) == ((), 14 * 4)


def test_cupy_is_asked_to_compile_the_text_once_for_each_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...], name_expressions: tuple[str, ...]) -> None:
            compiled.append((len(code) > 100, options, name_expressions))

        def get_function(self, name: str) -> Any:
            return lambda grid, block, arguments: None

    cupy = type(sys)("cupy")
    cupy.RawModule = RawModule  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(launcher, "_compiled", {})
    for _ in range(2):
        IM2COL((F4,), (1,), (32,), X, X.copy(), Sizes(), 1)
    assert compiled == [(True, ("-std=c++17",), ("im2col<float>",))]


def test_grids() -> None:
    assert launcher.spread(0) == ((0,), (256,))
    assert launcher.spread(257) == ((2,), (256,))
    assert launcher.spread(10**12) == ((1 << 20,), (256,))
    assert launcher.planes(10**6, 257) == ((2, 65535), (256,))


def test_what_lies_in_order_is_not_copied() -> None:
    """Nor is the library asked: a step has dozens of arguments, and each question costs microseconds of the host."""
    number = np.zeros((), "f4")
    assert launcher.ready(X) is X
    assert launcher.ready(X, F4) is X
    assert launcher.ready(number) is number
    turned = launcher.ready(np.arange(6.0).reshape(2, 3).T)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, [[0, 3], [1, 4], [2, 5]])
    assert launcher.ready(X, np.dtype("f8")).dtype == np.float64
    assert launcher.ready(np.zeros((), "f8"), F4).shape == ()


def test_more_planes_and_items_than_blocks(emulated: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels loop where a grid is smaller than the work."""
    monkeypatch.setattr(launcher, "MOST_BLOCKS", (4, 2, 2))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 5, 4, 6)).astype("f4")
    args = (x, (2, 3), (1, 2), (0, 0, 0, 0), (1, 1))
    np.testing.assert_array_equal(emulated.run("im2col", *args), portable.im2col(*args))
    with emulated.here():
        y = np.empty_like(x)
        kernel = next(k for k in launcher.every_kernel() if k.name == "relu")
        kernel((F4,), (1,), (32,), x, y, x.size)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


# ── products of matrices ──────────────────────────────────────────────────────────────────────────


def test_cublas_rounds_to_tf32_only_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever CUPY_TF32 says; float16 is added up in float32. Afterwards CuPy is as it was."""
    types: Any = importlib.import_module("types").SimpleNamespace
    chosen = {"e": "default", "f": "default"}
    fake = types(
        COMPUTE_TYPE_FP32="fp32", COMPUTE_TYPE_TF32="tf32",
        get_compute_type=lambda dtype: chosen[dtype.char],
        set_compute_type=lambda dtype, kind: chosen.__setitem__(dtype.char, kind),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy._core._routines_linalg", fake)
    monkeypatch.setattr(importlib, "import_module", lambda name: sys.modules[name])
    during = []
    for array in (X, X.astype("f2")):
        for allowed in (False, True):
            with precision.allow_tf32(allowed), linalg._computing(array):
                during.append(dict(chosen))
    assert [d["f"] for d in during[:2]] == ["fp32", "tf32"]
    assert [d["e"] for d in during[2:]] == ["fp32", "fp32"]
    assert chosen == {"e": "default", "f": "default"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_matmul_of_the_room(room: Room, dtype: str) -> None:
    a, b = np.ones((2, 3, 4), dtype), np.arange(20).reshape(4, 5).astype(dtype)
    np.testing.assert_array_equal(room.run("matmul", a, b), a @ b)
    with pytest.raises(ValueError, match="inner sizes differ"):
        room.run("matmul", a, a)
