"""How a thread waits for others without the GIL: it looks at a number in memory again and again, for a moment.

Waking a thread that the system has put to sleep takes 15 to 40 µs, and a job shared by two threads wakes two: the
helper at its start, the caller at its end. Most kernels of a training step are done in less than a millisecond, and the
next one follows soon. `minidl.kernels.threads` says who waits for what.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from minidl.backend import Array
from minidl.kernels import threads
from minidl.kernels.cpu import simd
from minidl.kernels.cpu.jit import INTERPRETED, jit

_word: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic
_FIRST = simd.constant(0)
_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
_HAS_YIELD = sys.platform.startswith("linux")
_PATIENCE = 32  # turns between two looks whether somebody else wants the processor: 0.1 to 1.5 µs
_MEASURED, _TRIES = 1000, 12  # pauses


def wait(done: Array, tell: bool, ticket: Array, before: int, awake: float, grace: float) -> bool:
    """See `threads.Wait`."""
    turns = turns_per_microsecond()
    return bool(_wait(done, tell, ticket, before, int(awake * turns), int(grace * turns)))


@cache
def turns_per_microsecond() -> float:
    """How fast the loop of `wait` runs here: a pause takes 3 ns on one processor and 40 on another.

    The fastest of a few tries: in the others something else had the processor.
    """
    cell = np.zeros(1, np.int64)
    _wait(cell, False, cell, 1, 1, 1)  # compiled here
    rates = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        _wait(cell, False, cell, 1, 1, _MEASURED)  # pauses only, and nobody else is let in
        rates.append(_MEASURED / max((time.perf_counter() - started) * 1e6, 0.1))
    return max(rates)


@_word
def _seen(typing: Any, cell: Any) -> Any:
    """The number in a cell that another thread may write at any moment; no register stands in for it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(
            simd.pointer(context, builder, signature.args[0], arguments[0], _FIRST), "acquire", 8
        )

    return types.int64(cell), emit


@_word
def _told(typing: Any, cell: Any) -> Any:
    """Write 1 into a cell, for another thread to see at once."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = simd.pointer(context, builder, signature.args[0], arguments[0], _FIRST)
        builder.store_atomic(simd.constant(1), place, "release", 8)
        return context.get_dummy_value()

    return types.void(cell), emit


@_word
def _pause(typing: Any) -> Any:
    """Tell the processor that this is a waiting loop: it saves power, and leaves the core to its other thread."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _IS_X86:
            builder.call(simd.declared(builder, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
        return context.get_dummy_value()

    return types.void(), emit


@_word
def _let_others(typing: Any) -> Any:
    """Let the processor do something else that waits for it, perhaps the very thread that is waited for."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _HAS_YIELD:
            builder.call(simd.declared(builder, "sched_yield", ir.IntType(32), []), [])
        return context.get_dummy_value()

    return types.void(), emit


@jit
def _wait(done: Array, tell: bool, ticket: Array, before: int, turns: int, grace: int) -> bool:
    if tell:
        _told(done)
    for turn in range(turns):
        if _seen(ticket) != before:
            for _ in range(grace):
                _pause()
            return True
        _pause()
        if turn % _PATIENCE == _PATIENCE - 1:
            _let_others()
    return False


if not INTERPRETED:
    threads.wait_with(wait)
