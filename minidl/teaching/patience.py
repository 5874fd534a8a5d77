"""A limit of time for code that somebody else wrote."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooLong(BaseException):
    """The time is over. No `Exception`, so that `except Exception` in the code itself does not swallow it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop the block with `TooLong` when it takes longer; blocks may stand inside each other.

    Only the main thread can be stopped: in another one the block runs without a limit.

    Arguments:
        seconds: how long the block may take.

    Raises:
        TooLong: it took longer.

    >>> with within(5.0):
    ...     sum(range(10))
    45
    """
    if threading.current_thread() is not threading.main_thread():
        yield
    elif hasattr(signal, "setitimer"):
        with _alarm(seconds):
            yield
    else:
        with _interrupt(seconds):
            yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # rings again, should a bare `except:` swallow it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), again)


@contextmanager
def _interrupt(seconds: float) -> Iterator[None]:
    """Where there is no alarm (Windows): as if somebody pressed Ctrl-C."""
    over = threading.Event()

    def ring() -> None:
        over.set()
        _thread.interrupt_main()

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        if over.is_set():
            raise TooLong from None
        raise
    finally:
        timer.cancel()
