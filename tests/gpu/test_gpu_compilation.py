"""Every `.cu` file compiles for every GPU we promise: Turing, Ampere, Hopper (compute 7.5, 8.0, 9.0)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nvrtc
import pytest

from minidl.kernels import gpu
from minidl.kernels.gpu import launcher
from minidl.kernels.gpu.source import declarations, declared, structs, text

FOLDER = Path(gpu.__file__).parent
FILES = sorted(path.name for path in FOLDER.glob("*.cu"))
INSTANCES = {file: [i for k in launcher.every_kernel() if k.file == file for i in k.instances()] for file in FILES}


@pytest.fixture(scope="module")
def compiler() -> nvrtc.Nvrtc:
    path = nvrtc.library()
    if path is None:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minidl" / "nvrtc"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return nvrtc.Nvrtc(path, None)
    return nvrtc.Nvrtc(path, cache)


@pytest.mark.parametrize("file", FILES)
def test_every_instance_compiles_for_hopper(compiler: nvrtc.Nvrtc, file: str) -> None:
    found = compiler.compile(text(file), "sm_90", launcher.OPTIONS, INSTANCES[file])
    assert len({compiled.name for compiled in found.values()}) == len(INSTANCES[file]) > 0


@pytest.mark.parametrize("file", FILES)
def test_what_a_thread_adds_up_stays_in_registers(compiler: nvrtc.Nvrtc, file: str) -> None:
    """Sums that are indexed where the compiler cannot count would be read and written in memory at every step.

    A few numbers that a loop does not touch may lie there.
    """
    found = compiler.compile(text(file), "sm_90", launcher.OPTIONS, INSTANCES[file])
    assert {instance: compiled.stack for instance, compiled in found.items() if compiled.stack > 32} == {}


def test_sums_in_memory_are_noticed(compiler: nvrtc.Nvrtc) -> None:
    source = """
template <typename T> __global__ void k(T* x, int n) {
    T sums[32] = {};
    for (int i = 0; i < n; i++) sums[x[i] > 0 ? i % 32 : 31 - i % 32] += x[i];
    for (int i = 0; i < 32; i++) x[i] = sums[i];
}
"""
    assert compiler.compile(source, "sm_90", (), ["k<float>"])["k<float>"].stack == 128


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80"])
@pytest.mark.parametrize("file", FILES)
def test_every_kernel_compiles_for_turing_and_ampere(compiler: nvrtc.Nvrtc, file: str, architecture: str) -> None:
    """In every type of numbers it has; of the sizes of tiles, the first."""
    first = {re.sub(r"(, (\d+|true|false))+", "", i): i for i in reversed(INSTANCES[file])}
    found = compiler.compile(text(file), architecture, launcher.OPTIONS, [*first.values()])
    assert len({compiled.name for compiled in found.values()}) == len(first) > 0


def test_a_mistake_does_not_compile(compiler: nvrtc.Nvrtc) -> None:
    with pytest.raises(nvrtc.CompileError, match="undefined"):
        compiler.compile("template <typename T> __global__ void k(T* x) { x[0] = y; }", "sm_80", (), ["k<float>"])


def test_every_kernel_of_every_file_is_declared_in_python() -> None:
    """A kernel that no room starts is never compiled: it would be dead, or forgotten by the tests."""
    for file in FILES:
        assert {k.name for k in launcher.every_kernel() if k.file == file} == set(declarations(file)), file


def test_no_kernel_adds_floats_atomically() -> None:
    """T32: the order of atomic additions is nobody's, so neither are their last bits."""
    assert FILES
    for path in FOLDER.glob("*.cu*"):
        assert "atomic" not in path.read_text("utf-8").replace("atomically", ""), path.name


def test_signatures_are_read_as_the_compiler_reads_them() -> None:
    kernels = declared("""
        template <typename T, int N>
        __global__ void __launch_bounds__(256) k(const T* __restrict__ x,  // comments, too
                                                 wide<T>* sums, Windows v, long long n) {}
    """)
    x, sums, v, n = kernels["k"].parameters
    assert kernels["k"].template == ("T", "N")
    assert (x.name, x.type, x.is_pointer, x.is_const, x.is_restrict) == ("x", "T", True, True, True)
    assert (sums.name, sums.type, sums.is_pointer, sums.is_const) == ("sums", "wide<T>", True, False)
    assert (v.type, v.is_pointer, n.type) == ("Windows", False, "long long")
    assert kernels["k"].types(("__half", "4"))["wide<T>"] == "float"
    assert structs("unfold.cu")["Windows"].names[:3] == ("H", "W", "KH")
