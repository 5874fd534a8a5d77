"""What a kernel must not take as fixed while a graph is captured: numbers that are others each time the graph runs.

A captured graph repeats its launches with the arguments they had. A step number or a random stream that shall go on
lies in the memory of the GPU, and the graph itself counts it on. `Capture` holds these numbers while a graph is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.kernels.gpu.launcher import Kernel

_COUNT_ON = Kernel("optimizers.cu", "count_on", ("long long", "unsigned long long"))
_local = threading.local()


class Capture:
    """The numbers that a graph counts on.

    Arguments:
        xp: the library of arrays.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.replays: Array = xp.zeros((), np.uint64)
        self.steps: dict[int, Array] = {}
        self.spare = [xp.zeros((), np.int64) for _ in range(64)]  # made before: no memory is set while capturing

    def counter(self, step: int) -> Array:
        """A step number on the GPU that starts at `step`, once for all that ask with the same."""
        if step not in self.steps:
            if not self.spare:
                raise RuntimeError("cuda.graph: a step counts at more than 64 different numbers")
            self.steps[step] = self.spare.pop()
        return self.steps[step]

    def start(self) -> None:
        """Set the numbers to where they start, before the first run."""
        for step, number in self.steps.items():
            number.fill(step)

    def count_on(self) -> None:
        """Count every number on; called at the end of what is captured."""
        for number in (self.replays, *self.steps.values()):
            _COUNT_ON((number.dtype,), (1,), (1,), number)


@contextmanager
def capturing(capture: Capture) -> Iterator[Capture]:
    """Let kernels that this thread starts inside the `with` block take their numbers from the capture."""
    _local.capture = capture
    try:
        yield capture
    finally:
        _local.capture = None


def current_capture() -> Capture | None:
    """The capture in force in this thread, or None."""
    capture: Capture | None = getattr(_local, "capture", None)
    return capture


def counter(xp: Any, step: int) -> Array:
    """A step number on the GPU."""
    capture = current_capture()
    if capture is not None:
        return capture.counter(step)
    number: Array = xp.full((), step, np.int64)
    return number


def current_replay() -> Array | None:
    """How often the graph that is being captured has run, on the GPU; None where none is captured."""
    capture = current_capture()
    return None if capture is None else capture.replays
