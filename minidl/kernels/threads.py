"""One pool of threads for every kernel, and BLAS held at one thread while it works.

Work is cut into chunks whose size depends on the problem only, never on the number of threads, so results are the same
bit for bit with any of them. The calling thread works too, so a nested or contended call can never wait for itself.

A thread that runs out of work stays awake for a moment before it sleeps, because waking it takes longer than many a
kernel (`AWAKE`): the helpers for the next job, the caller for the helpers' last chunks. How one waits awake is known to
the compiled room (`kernels/cpu/waiting.py`), which says so by `wait_with`; without it threads sleep at once.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from minidl.backend import Array

MOST: Final = 1024
"""Threads in a pool: many more could not be started, and a kernel would stop in the middle."""
AWAKE: Final = 200.0
"""Microseconds that a thread stays awake with nothing to do. Measured in the workloads `rnn` and `softmax-xent`: 10 %
faster than sleeping at once; 50 gives half of that, 1,000 no more."""
GRACE: Final = 3.0
"""Microseconds between seeing a new job and asking for the GIL: the caller holds it until its own first chunk is in
compiled code, and whoever asks too early is put to sleep."""
Body: TypeAlias = Callable[[int, int], object]
"""Does items start … stop−1: called as `body(start, stop)`, from any thread, in any order."""


class Wait(Protocol):
    """Wait without the GIL until a number changes."""

    def __call__(self, done: Array, tell: bool, ticket: Array, before: int, awake: float, grace: float) -> bool:
        """True once ticket[0] is no longer `before`, or False if that takes too long.

        Arguments:
            done: one int64; 1 is written there first if `tell` is set, when the GIL has been given up already.
            ticket: one int64, which other threads change.
            awake: microseconds of turns until it gives up; more pass where others want the processor.
            grace: microseconds between the change and the return.
        """
        ...


def wait_with(wait: Wait) -> None:
    """From now on idle threads wait in this way before they sleep."""
    global _wait
    _wait = wait


def num_threads() -> int:
    """How many threads kernels use, the caller's own included."""
    return _pool.size


def set_num_threads(n: int) -> None:
    """Use n threads from now on; 1 runs everything in the calling thread.

    Raises:
        ValueError: n is not an integer from 1 to 1,024.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise ValueError(f"set_num_threads: expected an integer from 1 to {MOST:,}, got {n!r}")
    global _pool
    with _setup_lock:
        if n != _pool.size:
            old, _pool = _pool, _Pool(n)
            old.close()


def parallel_for(n_items: int, chunk: int, body: Body) -> None:
    """Call `body(start, stop)` for every chunk of 0 … n_items−1 and return when all are done.

    Arguments:
        n_items: how many items there are.
        chunk: items in one call, ≥ 1; choose it from the sizes of the problem, never from the number of threads.
        body: must release the GIL to gain anything (Numba with nogil, BLAS, large NumPy calls), and must write
            where no other chunk writes.

    Raises:
        BaseException: the first one that a chunk raised; chunks not yet begun are left undone.
    """
    if n_items <= 0:
        return
    if n_items <= chunk:
        body(0, n_items)
    elif _pool.size == 1:
        for start in range(0, n_items, chunk):
            body(start, min(start + chunk, n_items))
    else:
        _pool.run(_Job(n_items, chunk, body))


class _Job:
    """Chunks of one `parallel_for`, handed out one by one to whichever thread comes."""

    __slots__ = ("body", "chunk", "done", "error", "finished", "lock", "n_items", "next_chunk", "unfinished")

    def __init__(self, n_items: int, chunk: int, body: Body) -> None:
        self.n_items, self.chunk, self.body = n_items, chunk, body
        self.unfinished = -(-n_items // chunk)
        self.next_chunk = itertools.count()
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.finished = threading.Lock()  # for a caller who sleeps until the end
        self.finished.acquire()
        self.done = np.zeros(1, np.int64)  # for one who is awake

    def work(self) -> None:
        while True:
            start = next(self.next_chunk) * self.chunk
            if start >= self.n_items:
                return
            try:
                if self.error is None:
                    self.body(start, min(start + self.chunk, self.n_items))
            except BaseException as error:  # handed to the caller, whatever it is
                self.error = self.error or error
            with self.lock:
                self.unfinished -= 1
                if self.unfinished == 0:
                    self.finished.release()


class _Pool:
    """size − 1 waiting threads, made at the first job."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.ticket = np.zeros(1, np.int64)  # changes with every job
        self.started = self.closed = False
        self.awake: Wait | None = None

    def run(self, job: _Job) -> None:
        if not self.started:
            self.start()
        for _ in range(min(self.size, job.unfinished) - 1):
            self.jobs.put(job)
        self.ticket[0] += 1
        job.work()
        if job.unfinished and self.awake is not None:
            self.awake(job.done, False, job.done, 0, AWAKE, 0.0)
        job.finished.acquire()
        if job.error is not None:
            raise job.error

    def start(self) -> None:
        with _setup_lock:
            if not self.started and not self.closed:
                # with fewer processors than threads, waiting awake would hold up the work
                self.awake = _wait if self.size <= _usable_cpus() else None
                for i in range(self.size - 1):
                    threading.Thread(target=self.serve, name=f"minidl-kernel-{i + 1}", daemon=True).start()
                self.started = True

    def serve(self) -> None:
        done, tell = self.ticket, False
        while True:
            before = int(self.ticket[0])
            try:
                job = self.jobs.get_nowait()
            except Empty:
                seen = self.awake is not None and self.awake(done, tell, self.ticket, before, AWAKE, GRACE)
                done, tell = self.ticket, False
                if seen:
                    continue
                job = self.jobs.get()
            if tell:
                done[0] = 1  # the next job was there already
            if job is None:
                return
            job.work()
            # who was last says so once it has let go of the GIL, so that the caller finds it free
            done, tell = job.done, job.unfinished == 0
            del job  # an idle thread must not keep the last job's arrays alive

    def close(self) -> None:
        """End the threads, and start none any more: who still has work for this pool does it alone."""
        self.closed = True
        for _ in range(self.size - 1 if self.started else 0):
            self.jobs.put(None)


# ── BLAS ──────────────────────────────────────────────────────────────────────────────────────────


class _BlasGuard:
    """Counts the regions that want BLAS at one thread: the first sets it, the last restores it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.regions = 0
        self.libraries: list[Any] | None = None
        self.before: list[int] = []

    def enter(self) -> None:
        with self.lock:
            if self.libraries is None:
                self.libraries = _blas_libraries()
            if self.regions == 0:
                self.before = [library.get_num_threads() for library in self.libraries]
                for library, before in zip(self.libraries, self.before, strict=True):
                    if before != 1:
                        _set_blas_threads(library, 1)
            self.regions += 1

    def leave(self) -> None:
        with self.lock:
            self.regions -= 1
            if self.regions == 0:
                for library, before in zip(self.libraries or (), self.before, strict=True):
                    if before != 1:
                        _set_blas_threads(library, before)


def _set_blas_threads(library: Any, n: int) -> None:
    # threadpoolctl lets the first thread that asked decide and silently ignores the others, until it is told that
    # the first is done. Regions overlap here, and the last to leave need not be the first that came.
    let_go = getattr(library, "clear_controlling_thread", None)
    if let_go is not None:
        let_go(force=True)
    library.set_num_threads(n)
    if let_go is not None:
        let_go(force=True)


def _blas_libraries() -> list[Any]:
    # Looked up once: finding the loaded libraries takes milliseconds, asking one for its threads a microsecond.
    from threadpoolctl import ThreadpoolController

    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


class single_threaded_blas(ContextDecorator):  # spelled like the function it is used as
    """Inside `with single_threaded_blas():` NumPy's BLAS computes in the calling thread only.

    BLAS threads of its own would spin beside ours. It also decorates a function.
    """

    def __enter__(self) -> None:
        self.guard = _blas
        self.guard.enter()

    def __exit__(self, *exception: object) -> None:
        self.guard.leave()


# ── the process ───────────────────────────────────────────────────────────────────────────────────


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _initial_size() -> int:
    wanted = os.environ.get("MINIDL_NUM_THREADS", "")
    return min(int(wanted), MOST) if wanted.isdecimal() and int(wanted) >= 1 else _usable_cpus()


def _renew_after_fork() -> None:
    # A child has none of its parent's threads, and may have been born while one of them held a lock.
    global _pool, _blas, _setup_lock
    _setup_lock = threading.Lock()
    _pool = _Pool(_pool.size)
    held = _blas
    _blas = _BlasGuard()
    if held.regions and held.libraries:
        for library, before in zip(held.libraries, held.before, strict=False):
            _set_blas_threads(library, before)


_wait: Wait | None = None
_setup_lock = threading.Lock()
_pool = _Pool(_initial_size())
_blas = _BlasGuard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)
