"""Threads that stay awake for a moment: nothing is lost between being awake and asleep, and idle threads do sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minidl.kernels import kernels_for, threads

waiting = pytest.importorskip("minidl.kernels.cpu.waiting", reason="kernels are compiled by Numba")
compiled = pytest.mark.skipif(waiting.INTERPRETED, reason="only compiled code can wait without the GIL")


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    size, wait = threads.num_threads(), threads._wait
    yield
    threads.set_num_threads(size)
    threads._wait = wait


def cell(value: int = 0) -> np.ndarray[Any, Any]:
    return np.full(1, value, np.int64)


def count_items(pauses: tuple[float, ...]) -> None:
    """Jobs with pauses between them: every item is done once, whoever was awake or asleep."""
    for pause in pauses:
        done = np.zeros(17, int)

        def body(start: int, stop: int, done: Any = done) -> None:
            done[start:stop] += 1

        threads.parallel_for(17, 1, body)
        assert (done == 1).all()
        time.sleep(pause)


@compiled
def test_a_change_is_seen_and_an_unchanged_number_given_up() -> None:
    done, ticket = cell(), cell(7)
    assert waiting.wait(done, False, ticket, 6, 50.0, 1.0)
    assert not waiting.wait(done, False, ticket, 7, 50.0, 1.0)
    assert done[0] == 0
    assert not waiting.wait(done, True, ticket, 7, 0.0, 0.0)
    assert done[0] == 1


@compiled
def test_a_change_made_by_another_thread_meanwhile_is_seen() -> None:
    """The waiting thread holds no GIL, and no register stands in for the number."""
    done, ticket, seen = cell(), cell(), []
    thread = threading.Thread(target=lambda: seen.append(waiting.wait(done, True, ticket, 0, 20e6, 0.0)))
    thread.start()
    while not done[0]:
        time.sleep(0.001)  # it has said that it waits
    ticket[0] = 1
    thread.join(60)
    assert seen == [True]


@compiled
def test_idle_threads_sleep_in_the_end() -> None:
    threads.set_num_threads(2)
    kernels_for(np.zeros(1, np.float32))  # imports the room that knows how to wait
    count_items((0.2,))
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.25


def test_no_job_is_lost_between_being_awake_and_asleep() -> None:
    kernels_for(np.zeros(1, np.float32))
    threads.set_num_threads(3)
    threads.set_num_threads(2)  # a fresh pool
    moment = threads.AWAKE * 1e-6
    count_items((0.0, moment / 2, moment, 2 * moment, 0.0) * 40)


@pytest.mark.parametrize("wait", [None, lambda *_: False, lambda *_: True], ids=["asleep", "impatient", "restless"])
def test_however_threads_wait_all_is_done(wait: Any) -> None:
    threads._wait = wait
    threads.set_num_threads(3)
    threads.set_num_threads(2)
    count_items((0.0,) * 50)
    threads.set_num_threads(1)  # ends the helper, a restless one too


def test_more_threads_than_processors_sleep_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> bool:
        raise AssertionError("waited awake")

    monkeypatch.setattr(threads, "_usable_cpus", lambda: 2)
    threads.wait_with(never)
    threads.set_num_threads(3)
    count_items((0.0, 0.001) * 10)


def test_an_error_reaches_the_caller_who_waits_awake() -> None:
    threads.set_num_threads(2)
    both = threading.Barrier(2, timeout=60)
    caller = threading.get_ident()

    def fail(start: int, stop: int) -> None:
        both.wait()
        if threading.get_ident() != caller:
            raise KeyError("from a helper")

    with pytest.raises(KeyError, match="from a helper"):
        threads.parallel_for(2, 1, fail)
