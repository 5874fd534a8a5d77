"""What must not stand still while a captured graph runs again.

A captured graph repeats its launches with the arguments they had. The random numbers of dropout shall go on all the
same: they depend on how often the graph has run, a number in the memory of the GPU that the graph itself counts on.
Numbers that the host counts, such as an optimizer's step, cannot be captured, and are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array

_local = threading.local()


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


def forbid_while_capturing(what: str) -> None:
    """Refuse to capture a number that the host counts.

    Raises:
        RuntimeError: a graph is being captured.
    """
    if current_replay() is not None:
        raise RuntimeError(
            f"cuda.graph: {what} would stand still in a captured graph; leave optimizer.step() out of the function and "
            f"pass the optimizer to cuda.graph, which steps it after every run"
        )
