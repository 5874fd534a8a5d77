"""What must not stand still while a captured graph runs again.

A captured graph repeats its launches with the arguments they had. Two things shall go on all the same. The random
numbers of dropout depend on how often the graph has run, a number in the memory of the GPU that the graph itself counts
on. The numbers of an optimizer's step, its rate and what corrects Adam's averages, are counted by the host: the update
kernels of a graph read them from the GPU's memory, and the host writes them there before every run. All other numbers
that the host counts cannot be captured, and are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import Array

_local = threading.local()

MOST_NUMBERS = 8
"""Numbers that one update reads at most."""


@contextmanager
def capturing(xp: Any) -> Iterator[Array]:
    """Let kernels that this thread starts inside the `with` block know that they are captured.

    Arguments:
        xp: the library of arrays.

    Yields:
        How often the graph has run, a uint64 on the GPU; `count_on` it at the end of what is captured.
    """
    replays: Array = xp.zeros((), np.uint64)
    _local.replays = replays
    try:
        yield replays
    finally:
        _local.replays = None


def current_replay() -> Array | None:
    """How often the graph that is being captured has run, on the GPU; None where none is captured."""
    replays: Array | None = getattr(_local, "replays", None)
    return replays


LEAVE_OUT = "leave optimizer.step() out of the function and pass the optimizer to cuda.graph, which steps it every run"


def forbid_while_capturing(what: str, instead: str = LEAVE_OUT) -> None:
    """Refuse to capture a number that the host counts.

    Raises:
        RuntimeError: a graph is being captured.
    """
    if current_replay() is not None:
        raise RuntimeError(f"cuda.graph: {what} would stand still in a captured graph; {instead}")


# ── the numbers of an update ──────────────────────────────────────────────────────────────────────


class Update(NamedTuple):
    """An update of a parameter that an optimizer asked for.

    `start` starts its kernel, which reads its numbers from an array on the GPU, or takes `numbers` where that is None.
    """

    arrays: tuple[Array | None, ...]
    numbers: tuple[float, ...]
    start: Callable[[Array | None], None]


@contextmanager
def holding_updates() -> Iterator[list[Update]]:
    """Let updates of this thread be collected inside the `with` block instead of started: `optimizer.step()` counts its
    step and says what it would do."""
    held: list[Update] = []
    _local.held = held
    try:
        yield held
    finally:
        _local.held = None


def start_or_hold(
    what: str, arrays: tuple[Array | None, ...], numbers: tuple[float, ...], start: Callable[[Array | None], None]
) -> None:
    """Start an update, or hand it to whoever holds updates; see `Update`.

    Raises:
        RuntimeError: a graph is being captured, and nobody holds updates: `what` would stand still in it.
    """
    held: list[Update] | None = getattr(_local, "held", None)
    if held is None:
        forbid_while_capturing(what)
        start(None)
    else:
        held.append(Update(arrays, numbers, start))
