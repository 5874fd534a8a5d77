"""Device, stream and captured graphs of the stand-in for CuPy: what a graph is asked is done in every run of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    """What CUDA refuses."""


class Recording:
    """A captured graph: what was asked of the device, to be done again. Nothing was done while it was captured."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], object]] = []
        self.kept: list[Any] = []  # the memory of its arrays, of which nobody else may know

    def launch(self, stream: Any) -> None:
        with np.errstate(all="ignore"):
            for step in self.steps:
                step()


class _Now:
    recording: Recording | None = None
    """The graph that is being captured."""


now = _Now()


def computed(compute: Callable[[], Any]) -> Any:
    """What the device computes. While a graph is captured, only shapes are right; its runs overwrite the numbers."""
    if now.recording is None:
        return compute()
    with np.errstate(all="ignore"):
        result = compute()

    def again() -> None:
        for old, new in zip(_hosts(result), _hosts(compute()), strict=True):
            if old is not new and old.flags.writeable:
                old[...] = new

    now.recording.steps.append(again)
    return result


def changed(change: Callable[[], Any], result: Any) -> Any:
    """Memory that is written: now, or in the runs of the graph that is being captured."""
    if now.recording is None:
        return change()
    now.recording.steps.append(change)
    return result


def read_by_the_host() -> None:
    """Refused while a graph is captured: nothing has been computed yet."""
    if now.recording is not None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")


def _hosts(result: Any) -> list[Any]:
    if hasattr(result, "host"):
        return [result.host]
    return [host for part in result for host in _hosts(part)] if isinstance(result, tuple | list) else []


class Stream(nullcontext[None]):
    """The one stream there is: whatever is asked is done at once, unless a graph is captured."""

    def __init__(self, non_blocking: bool = False) -> None:
        super().__init__()

    def record(self) -> None:
        return None

    def wait_event(self, event: None) -> None:
        pass

    def synchronize(self) -> None:
        read_by_the_host()

    def is_capturing(self) -> bool:
        return now.recording is not None

    def begin_capture(self) -> None:
        now.recording = Recording()

    def end_capture(self) -> Recording:
        assert now.recording is not None
        graph, now.recording = now.recording, None
        return graph


class Device(nullcontext[None]):
    """The device: of Hopper, unless a test says otherwise."""

    compute_capability = "90"

    def __init__(self, index: int = 0) -> None:
        super().__init__()
