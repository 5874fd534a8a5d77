"""The emulator catches what a GPU would not forgive: otherwise a kernel that passes on it would prove nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_emulator import EmulationError, Emulator

REVERSE = """
template <typename T> __global__ void reverse(const T* x, T* y, int n) {
    __shared__ T all[64];
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[n - 1 - threadIdx.x];
}
"""


def run(emulator: Emulator, source: str, instance: str, grid: int, block: int, *arguments: Any) -> None:
    emulator.kernel(source, instance)((grid,), (block,), arguments)


def test_a_right_kernel_runs(emulator: Emulator) -> None:
    x, y = np.arange(64, dtype="f4"), np.zeros(64, "f4")
    run(emulator, REVERSE, "reverse<float>", 1, 64, x, y, np.int32(64))
    np.testing.assert_array_equal(y, x[::-1])


def test_a_missing_barrier_is_caught(emulator: Emulator) -> None:
    x, y = np.arange(64, dtype="f4"), np.zeros(64, "f4")
    source = REVERSE.replace("    __syncthreads();\n", "    __syncwarp();\n")
    with pytest.raises(EmulationError, match="y depends on the order in which threads and blocks run"):
        run(emulator, source, "reverse<float>", 1, 64, x, y, np.int32(64))


def test_a_divergent_barrier_is_caught(emulator: Emulator) -> None:
    source = REVERSE.replace("__syncthreads();", "if (threadIdx.x < 7) __syncthreads();")
    with pytest.raises(EmulationError, match=r"divergent barrier: 57 of 64 threads finished, 7 wait at line \d+"):
        run(emulator, source, "reverse<float>", 1, 64, np.zeros(64, "f4"), np.zeros(64, "f4"), np.int32(64))


def test_different_barriers_are_caught(emulator: Emulator) -> None:
    source = REVERSE.replace(
        "__syncthreads();", "if (threadIdx.x < 7)\n __syncthreads();\n else\n __syncthreads();"
    )  # fmt: skip
    with pytest.raises(EmulationError, match="threads wait at different barriers"):
        run(emulator, source, "reverse<float>", 1, 64, np.zeros(64, "f4"), np.zeros(64, "f4"), np.int32(64))


COPY = "template <typename T> __global__ void copy(const T* x, T* y, int from, int to) { y[to] = x[from]; }"


@pytest.mark.parametrize(
    ("source", "to"), [(0, 5), (0, 7), (0, 2000), (0, -1), (0, -700), (4, 0), (2000, 0), (-1200, 0)]
)
def test_out_of_bounds_is_caught(emulator: Emulator, source: int, to: int) -> None:
    """Within a megabyte; a read less than a page in front shows only in the results."""
    with pytest.raises(EmulationError, match=r"a read or write outside|in front of or behind the array y"):
        run(emulator, COPY, "copy<float>", 1, 1, np.zeros(4, "f4"), np.zeros(4, "f4"), np.int32(source), np.int32(to))


def test_a_change_behind_the_array_is_caught(emulator: Emulator) -> None:
    """What is added to a nan leaves it as it was: so not every run has nan there."""
    source = "template <typename T> __global__ void add(T* x, int n) { if (threadIdx.x <= n) x[threadIdx.x] += 1; }"
    with pytest.raises(EmulationError, match="in front of or behind the array x"):
        run(emulator, source, "add<float>", 1, 32, np.zeros(7, "f4"), np.int32(7))


def test_a_read_behind_the_array_that_changes_a_result_is_caught(emulator: Emulator) -> None:
    with pytest.raises(EmulationError, match="y depends on the order"):
        run(emulator, COPY, "copy<float>", 1, 1, np.zeros(3, "f4"), np.zeros(3, "f4"), np.int32(3), np.int32(0))


def test_a_write_past_a_shared_array_is_caught(emulator: Emulator) -> None:
    source = REVERSE.replace("all[threadIdx.x] =", "(&all[0])[threadIdx.x + 3] =")
    with pytest.raises(EmulationError, match="a write past the shared array"):
        run(emulator, source, "reverse<float>", 1, 64, np.zeros(64, "f4"), np.zeros(64, "f4"), np.int32(64))


def test_an_index_past_a_register_array_is_caught(emulator: Emulator) -> None:
    source = """
template <typename T> __global__ void k(T* y, int n) {
    T a[4] = {};
    for (int i = 0; i < n; i++) a[i] = i;
    y[0] = a[n - 1];
}
"""
    run(emulator, source, "k<float>", 1, 1, np.zeros(1, "f4"), np.int32(4))
    with pytest.raises(EmulationError, match="an index outside its array"):
        run(emulator, source, "k<float>", 1, 1, np.zeros(1, "f4"), np.int32(5))


def test_a_race_between_blocks_is_caught(emulator: Emulator) -> None:
    source = "template <typename T> __global__ void k(T* y) { y[0] = y[0] * 2 + T(blockIdx.x); }"
    run(emulator, source, "k<float>", 1, 1, np.zeros(1, "f4"))
    with pytest.raises(EmulationError, match="y depends on the order"):
        run(emulator, source, "k<float>", 3, 1, np.zeros(1, "f4"))


def test_float_sums_in_the_order_of_arrival_are_caught(emulator: Emulator) -> None:
    """T32: what an atomic addition of floats would do."""
    source = "template <typename T> __global__ void k(const T* x, T* y) { y[0] += x[blockIdx.x]; }"
    x = np.random.default_rng(0).standard_normal(100).astype("f4")
    with pytest.raises(EmulationError, match="y depends on the order"):
        run(emulator, source, "k<float>", 100, 1, x, np.zeros(1, "f4"))


def test_a_write_to_a_const_array_is_caught(emulator: Emulator) -> None:
    source = "template <typename T> __global__ void k(const T* x) { const_cast<T*>(x)[0] = 1; }"
    with pytest.raises(EmulationError, match="a write to a const one"):
        run(emulator, source, "k<float>", 1, 1, np.zeros(1, "f4"))


def test_restricted_arrays_that_overlap_are_caught(emulator: Emulator) -> None:
    source = "template <typename T> __global__ void k(const T* __restrict__ x, T* __restrict__ y) { y[0] = x[0]; }"
    x = np.zeros(4, "f4")
    with pytest.raises(EmulationError, match="y is written and shares memory with x"):
        run(emulator, source, "k<float>", 1, 1, x, x)
    run(emulator, source.replace("__restrict__", ""), "k<float>", 1, 1, x, x)
    with pytest.raises(EmulationError, match="y is written and shares memory with x"):
        run(emulator, source.replace("__restrict__", ""), "k<float>", 1, 1, x, x[1:])


def test_what_nobody_wrote_in_shared_memory_is_nan(emulator: Emulator) -> None:
    y = np.zeros(64, "f4")
    source = REVERSE.replace("all[threadIdx.x] = x[threadIdx.x];", "if (threadIdx.x) all[threadIdx.x] = 1;")
    run(emulator, source, "reverse<float>", 1, 64, np.zeros(64, "f4"), y, np.int32(64))
    assert np.isnan(y[63])
    assert np.isfinite(y[:63]).all()


def test_shuffles_and_their_masks(emulator: Emulator) -> None:
    source = """
template <typename T> __global__ void sum(const T* x, T* y) {
    T v = x[threadIdx.x];
    for (int by = 16; by; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
    y[threadIdx.x] = v;
}
"""
    x, y = np.arange(64, dtype="f4"), np.zeros(64, "f4")
    run(emulator, source, "sum<float>", 1, 64, x, y)
    np.testing.assert_array_equal(y, np.repeat([x[:32].sum(), x[32:].sum()], 32))
    wrong = source.replace("0xffffffffu", "0x0000ffffu")
    with pytest.raises(EmulationError, match=r"lane \d+ is not in the mask of its own shuffle"):
        run(emulator, wrong, "sum<float>", 1, 64, x, y)


def test_half_precision_rounds_as_numpy(emulator: Emulator) -> None:
    source = """
#include <cuda_fp16.h>
template <typename T> __global__ void third(const T* x, T* y) { y[threadIdx.x] = T(float(x[threadIdx.x]) / 3.0f); }
"""
    x, y = np.random.default_rng(1).standard_normal(256).astype("f2"), np.zeros(256, "f2")
    run(emulator, source, "third<__half>", 1, 256, x, y)
    np.testing.assert_array_equal(y, (x.astype("f4") / np.float32(3)).astype("f2"))
