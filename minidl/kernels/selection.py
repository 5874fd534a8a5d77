"""Which room computes: the loops of the reference, plain NumPy or CuPy, or the kernels of the CPU or of the GPU."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

_CHOICES = ("auto", "numpy", "reference")
_rooms: dict[str, ModuleType] = {}


class _Local(threading.local):
    """What this thread chose; the value in the class is what the others have, and is found without a search."""

    choice: str = "auto"


_local = _Local()


@contextmanager
def use_kernels(choice: str) -> Iterator[None]:
    """Choose the kernels that this thread uses inside the `with` block.

    Arguments:
        choice: "auto", the fastest there is; "numpy", array expressions only, nothing compiled; "reference", the
            formulas as plain Python loops, which a debugger can step through.

    Raises:
        ValueError: the name is none of these.
    """
    if choice not in _CHOICES:
        raise ValueError(f"use_kernels: expected one of {', '.join(map(repr, _CHOICES))}, got {choice!r}")
    before = current_choice()
    _local.choice = choice
    try:
        yield
    finally:
        _local.choice = before


def current_choice() -> str:
    """The choice in force in this thread: "auto", "numpy" or "reference"."""
    return _local.choice


def kernels_for(x: Any) -> ModuleType:
    """The room whose functions compute on the array x, by where x lives and what `use_kernels` chose.

    Numba is imported here, on first use; where it cannot be, NumPy takes over.
    """
    choice = _local.choice
    if choice == "auto" and type(x) is np.ndarray and "cpu" in _rooms:
        return _rooms["cpu"]  # nearly always
    if choice == "reference":
        return _room("reference")
    if choice == "numpy":
        return _room("portable")
    return _room("cpu" if isinstance(x, np.ndarray | np.generic) else "gpu")


def gpu_kernels() -> ModuleType:
    """The room of CUDA kernels, also where no array says that it is meant."""
    return _room("gpu")


def may_wait(xp: Any) -> bool:
    """Whether the host may read a result now: not while a graph is captured, where nothing has been computed yet."""
    return xp is np or not xp.cuda.get_current_stream().is_capturing()


def _room(name: str) -> ModuleType:
    room = _rooms.get(name)
    if room is None:
        try:
            room = importlib.import_module(f"minidl.kernels.{name}")
        except ImportError as error:
            if name != "cpu" or not _is_about_numba(error):
                raise
            room = _room("portable")
        _rooms[name] = room
    return room


def _is_about_numba(error: ImportError) -> bool:
    return (error.name or "").partition(".")[0] in ("numba", "llvmlite") or "umba" in str(error)
