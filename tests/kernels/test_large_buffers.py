"""Memory: what is counted is what was allocated, and large buffers stay with the process."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest

from minidl import memory

STEPS = """
import resource, numpy as np, minidl as dl
x = dl.tensor(np.ones((1500, 4000), np.float32), requires_grad=True)
def step():
    x.grad = None
    (x.exp() * x).sum().backward()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 3)
"""


def page_faults_of_a_step(keep: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True,
        env={"MINIDL_KEEP_MEMORY": keep, "PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    return float(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's allocator has the settings")
def test_a_step_on_large_arrays_does_not_fault_its_memory_in_again() -> None:
    pages = 1500 * 4000 * 4 / resource.getpagesize()  # of one of its arrays
    assert page_faults_of_a_step("0") > pages / 5, (
        "the allocator keeps large blocks anyway: this test shows nothing here"
    )
    assert page_faults_of_a_step("1") < pages / 20


def test_usage_sees_an_array_come_and_its_peak_stay() -> None:
    memory.release_free_memory()  # or the array would move into what is resident already
    before = memory.usage()
    block = np.ones(16 * 2**20, np.float64)  # written to: pages that nobody touched are not resident
    during = memory.usage()
    assert during.current - before.current > 0.8 * block.nbytes
    del block
    memory.release_free_memory()
    after = memory.usage()
    assert after.current < during.current - 64 * 2**20
    assert after.peak > during.current - 2**20  # the kernel keeps these figures roughly
    assert "MiB at the peak" in str(after)


def test_track_counts_exactly_what_lives_and_what_lived_at_most() -> None:
    with memory.track() as tracked:
        kept = np.ones(2**20, np.uint8)
        passing = np.ones(3 * 2**20, np.uint8)
        assert tracked.current == pytest.approx(4 * 2**20, abs=20_000)
        del passing
        assert tracked.current == pytest.approx(2**20, abs=20_000)
    figures = tracked.current, tracked.peak
    del kept
    assert figures == (tracked.current, tracked.peak), "the figures are those of the end of the block"
    assert tracked.peak == pytest.approx(4 * 2**20, abs=20_000)


def test_a_track_inside_a_track_leaves_the_outer_one_running() -> None:
    with memory.track() as outer:
        with memory.track():
            kept = np.ones(2**20, np.uint8)
        more = np.ones(2**20, np.uint8)
        assert outer.current > kept.nbytes + more.nbytes - 1


@pytest.mark.parametrize("limit", [0, -1, 2**31, 1.5, True, "1 GB"])
def test_a_wrong_limit_is_a_sentence(limit: object) -> None:
    with pytest.raises(ValueError, match="from 1 to 2³¹ − 1"):
        memory.keep_large_buffers(limit)  # type: ignore[arg-type]


def test_an_unknown_device_is_a_sentence() -> None:
    with pytest.raises((ValueError, RuntimeError), match="tpu"):
        memory.usage("tpu")
