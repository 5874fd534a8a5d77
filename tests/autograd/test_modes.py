"""Whether the tape writes: blocks, decorators, nesting, exceptions, threads (T33)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import detect_anomaly, enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from minidl.autograd.modes import tape


def written() -> bool:
    """Whether an operation is written on the tape now."""
    x = dl.tensor(1.0, requires_grad=True)
    assert (x * 2).requires_grad == is_grad_enabled()
    return (x * 2).requires_grad


def test_blocks_nest_and_restore() -> None:
    assert written()
    with no_grad():
        assert not written()
        with enable_grad():
            assert written()
            with set_grad_enabled(False):
                assert not written()
            assert written()
        assert not written()
    assert written()


def test_an_exception_restores() -> None:
    with pytest.raises(ValueError, match="inside"), no_grad():
        raise ValueError("inside")
    assert written()
    with no_grad():
        with pytest.raises(ValueError, match="inside"), enable_grad():
            raise ValueError("inside")
        assert not written()


def test_decorators() -> None:
    @no_grad()
    def evaluate(x: Any, *, fail: bool = False) -> bool:
        """What it does."""
        if fail:
            raise ValueError("inside")
        return written()

    @enable_grad()
    def train() -> bool:
        return written()

    assert evaluate.__name__ == "evaluate"
    assert evaluate.__doc__ == "What it does."
    assert not evaluate(1)
    with pytest.raises(ValueError, match="inside"):
        evaluate(1, fail=True)
    assert written()
    with no_grad():
        assert train()
        assert not written()


def test_a_decorated_function_may_call_itself() -> None:
    @no_grad()
    def countdown(n: int) -> list[bool]:
        with enable_grad():
            inside = [written()]
        return [*inside, written(), *(countdown(n - 1) if n else [])]

    assert countdown(3) == [True, False] * 4
    assert written()


def test_one_object_may_be_entered_again() -> None:
    off = no_grad()
    with off:
        with off:
            assert not written()
        assert not written()
    assert written()
    with off:
        assert not written()
    assert written()


def test_every_thread_has_switches_of_its_own() -> None:
    seen: dict[str, bool] = {}
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        seen["start"] = written()
        with no_grad():
            inside.set()
            leave.wait(10)
            seen["block"] = written()
        seen["end"] = written()

    thread = threading.Thread(target=other)
    with no_grad():
        thread.start()
        assert inside.wait(10)
        assert not written()
    assert written(), "the other thread's no_grad is not ours"
    leave.set()
    thread.join(10)
    assert seen == {"start": True, "block": False, "end": True}


def test_graphs_can_be_walked_in_another_thread() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join(10)
    assert x.grad.tolist() == [2, 4]


def test_anomaly_detection_is_restored() -> None:
    with pytest.raises(ValueError, match="inside"), detect_anomaly():  # noqa: PT012
        assert tape.anomaly
        with detect_anomaly(False):
            assert not tape.anomaly
        assert tape.anomaly
        raise ValueError("inside")
    assert not tape.anomaly


def test_a_walk_writes_only_when_asked() -> None:
    x = dl.tensor(3.0, requires_grad=True)
    (x * x).backward()
    assert not x.grad.requires_grad
    with no_grad():
        y = x * x
        assert y.creator is None
    with enable_grad():
        z = x * x
    with no_grad():
        x.grad = None
        z.backward()
    assert x.grad.item() == 6
    assert is_grad_enabled()


def test_threads_that_share_weights_compute_their_own_gradients() -> None:
    """Forward and `grad` touch nothing shared: eight threads on one set of weights get what one thread gets."""
    w = dl.tensor(np.random.default_rng(0).standard_normal((6, 6)), requires_grad=True)

    def gradient(k: int) -> np.ndarray:
        x = dl.tensor(np.random.default_rng(k).standard_normal((4, 6)))
        loss = ((x @ w).tanh() @ w.T).softmax(-1).log().mean()
        return grad(loss, w)[0].array

    alone = [gradient(k) for k in range(8)]
    together: list[Any] = [None] * 8

    def work(k: int) -> None:
        for _ in range(5):
            together[k] = gradient(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_inference_mode_writes_no_tape_and_may_be_switched_off() -> None:
    x = dl.ones(2, requires_grad=True)
    with dl.inference_mode():
        assert not (x * 2).requires_grad
        with dl.inference_mode(False):
            assert (x * 2).requires_grad
    assert dl.inference_mode()(lambda: (x * 2).requires_grad)() is False
    assert (x * 2).requires_grad
