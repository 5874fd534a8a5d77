"""Our thread pool: the same bits for any number of threads, from several threads, across fork and processes (T31)."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from minidl.kernels import kernels_for, threads

PLAIN: tuple[Any, ...] = ((1, 1), (1, 1, 1, 1), (1, 1), 1)


@pytest.fixture(autouse=True)
def keep_thread_count() -> Iterator[None]:
    before = threads.num_threads()
    yield
    threads.set_num_threads(before)


def every_kernel(seed: int, dtype: str = "float32") -> list[np.ndarray]:
    """Results of all kernels on problems large enough to be shared out."""
    rng = np.random.default_rng(seed)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((9, 8, 37, 41), (24, 8, 3, 3), (24,)))
    k = kernels_for(x)
    y = k.conv2d(x, w, b, *PLAIN)
    pooled, indices = k.max_pool2d(y, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), (18, 20))
    mean = k.avg_pool2d(y, (3, 2), (2, 2), (0, 0, 0, 0), (18, 20), True, None)
    normal, m, v, s = k.batch_norm(y, b, b, 1e-5)
    cols = k.im2col(x, (3, 3), *PLAIN[:3])
    fused, codes = k.conv2d_relu_max_pool2d(x, w, b, *PLAIN, (2, 2), (2, 2))
    return [
        y,
        k.conv2d_input_grad(y, w, (37, 41), *PLAIN),
        k.conv2d_weight_grad(x, y, (3, 3), *PLAIN),
        pooled,
        k.scatter_windows(pooled, indices, (37, 41)),
        k.gather_windows(y, indices),
        mean,
        k.avg_pool2d_grad(mean, (37, 41), (3, 2), (2, 2), (0, 0, 0, 0), True, None),
        normal,
        *k.batch_norm_grad(y, y, b, m, s),
        v,
        *k.conv2d_relu_max_pool2d_grad(pooled, codes, x, w, *PLAIN, (2, 2), (2, 2), (True, True, True)),
        fused,
        cols,
        k.col2im(cols, (37, 41), (3, 3), *PLAIN[:3]),
        k.matmul(x.reshape(-1, 41)[:2000], w.reshape(-1, 1)[:41] * x.reshape(41, -1)[:, :700]),
    ]


def assert_same_bits(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        np.testing.assert_array_equal(a, e, err_msg=f"result {i}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype: str) -> None:
    threads.set_num_threads(1)
    alone = every_kernel(0, dtype)
    for n in (2, 3):
        threads.set_num_threads(n)
        assert_same_bits(every_kernel(0, dtype), alone)


def test_eight_python_threads_at_once() -> None:
    threads.set_num_threads(2)
    expected = [every_kernel(seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as callers:
        for i, actual in enumerate(callers.map(every_kernel, [0, 1, 2, 3] * 4)):
            assert_same_bits(actual, expected[i % 4])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_makes_its_own_threads() -> None:
    threads.set_num_threads(2)
    expected = every_kernel(0)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        for actual in pool.map_async(every_kernel, [0, 0, 0, 0]).get(timeout=120):
            assert_same_bits(actual, expected)
    assert_same_bits(every_kernel(0), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_while_kernels_run_still_works() -> None:
    code = """
import os, threading, time
import numpy as np
from minidl.kernels import kernels_for, threads
threads.set_num_threads(3)
a = np.ones((900, 900), np.float32)
kernels_for(a).matmul(a, a)  # no fork survives another thread's half-done import
stop = threading.Event()
def busy():
    while not stop.is_set():
        kernels_for(a).matmul(a, a)
worker = threading.Thread(target=busy); worker.start(); time.sleep(0.2)
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if kernels_for(a).matmul(a, a)[0, 0] == 900 else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set(); worker.join()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_two_processes_that_compile_at_once(tmp_path: Any) -> None:
    """T31: a cold cache shared by two processes gives both the right numbers."""
    code = """
import numpy as np
from minidl.kernels import kernels_for
x = np.arange(48, dtype=np.float32).reshape(1, 2, 4, 6)
print(kernels_for(x).max_pool2d(x, (2, 3), (2, 3), (0, 0, 0, 0), (1, 1), (2, 2))[0].sum())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["220.0", "220.0"]
    assert [process.returncode for process in both] == [0, 0]


def test_every_item_is_done_once() -> None:
    for n_items, chunk, size in [(0, 3, 2), (1, 1, 2), (10, 3, 4), (1000, 1, 3), (7, 100, 2)]:
        threads.set_num_threads(size)
        done = np.zeros(n_items, int)
        starts: list[int] = []

        def body(start: int, stop: int, done: Any = done, starts: list[int] = starts) -> None:
            done[start:stop] += 1
            starts.append(start)

        threads.parallel_for(n_items, chunk, body)
        assert (done == 1).all()
        assert sorted(starts) == list(range(0, n_items, chunk))


def test_an_exception_reaches_the_caller_and_the_pool_survives() -> None:
    threads.set_num_threads(2)

    def fail(start: int, stop: int) -> None:
        if start == 5:
            raise KeyError("item 5")

    for _ in range(20):
        with pytest.raises(KeyError, match="item 5"):
            threads.parallel_for(50, 1, fail)
    done: list[int] = []
    threads.parallel_for(50, 1, lambda start, stop: done.append(start))
    assert len(done) == 50


def test_regions_inside_regions_do_not_wait_for_each_other() -> None:
    threads.set_num_threads(2)
    done: list[int] = []

    def outer(start: int, stop: int) -> None:
        threads.parallel_for(8, 1, lambda i, j: done.append(i))

    threads.parallel_for(8, 1, outer)
    assert len(done) == 64


def counts() -> list[int]:
    """The threads of NumPy's BLAS; another library in the process (OpenCV's, say) may bring a BLAS of its own."""
    from threadpoolctl import ThreadpoolController

    found = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
    numpys = [lib.num_threads for lib in found if "numpy" in lib.filepath]
    return numpys or [lib.num_threads for lib in found]


def test_blas_has_one_thread_inside_and_its_own_number_after() -> None:
    before = counts()
    inside: list[list[int]] = []

    def fail() -> None:
        with threads.single_threaded_blas(), threads.single_threaded_blas():
            inside.append(counts())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert set(inside[0]) <= {1}
    assert counts() == before


def test_blas_has_one_thread_whichever_thread_asks_and_leaves_last() -> None:
    before = counts()
    with threads.single_threaded_blas():
        pass
    entered, leave = threading.Event(), threading.Event()
    seen: list[list[int]] = []

    def other() -> None:
        with threads.single_threaded_blas():
            seen.append(counts())
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with threads.single_threaded_blas():
        thread.start()
        entered.wait(60)
    seen.append(counts())
    leave.set()
    thread.join()
    assert all(set(numbers) <= {1} for numbers in seen)
    assert counts() == before


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2", 1025, 10**9])
def test_a_wrong_number_of_threads_is_explained(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected an integer from 1 to 1,024, got"):
        threads.set_num_threads(wrong)


def test_finished_work_is_let_go() -> None:
    """An idle pool holds no array of the last job."""
    import gc
    import weakref

    threads.set_num_threads(2)
    array = np.zeros(1000)
    watched = weakref.ref(array)
    barrier = threading.Barrier(2, timeout=60)
    threads.parallel_for(2, 1, lambda start, stop, held=array: barrier.wait())  # type: ignore[misc]
    del array
    for _ in range(200):
        gc.collect()
        if watched() is None:
            break
        threading.Event().wait(0.01)
    assert watched() is None


def test_a_pool_that_was_closed_before_its_first_job_starts_no_threads() -> None:
    """Two threads may set the number at once, and a third may still hold the pool between."""
    threads.set_num_threads(7)
    pool = threads._pool
    assert not pool.started
    threads.set_num_threads(1)
    done: list[int] = []
    pool.run(threads._Job(50, 1, lambda start, stop: done.append(start)))
    assert sorted(done) == list(range(50))
    assert not pool.started
