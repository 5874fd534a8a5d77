"""How this room compiles: one decorator around Numba, its cache, and a word on the terminal while it works."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])

# The parts of fast arithmetic that keep NaN and infinity: sums may be reordered, a·b + c fused.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
config: Any = numba_config
_config_lock = threading.Lock()

INTERPRETED: bool = bool(config.DISABLE_JIT)
"""True under NUMBA_DISABLE_JIT=1: kernels run as plain Python, for a debugger or a coverage tool."""


def jit(function: F) -> F:
    """Compile a loop over arrays to machine code that runs without the GIL, and remember the result on disk.

    Where no directory can be written, the function is compiled anew in each process.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": _FAST, "error_model": "numpy"}
    if INTERPRETED:
        return function
    compiled: Any
    with _config_lock:
        before = config.CACHE_DIR
        for folder in _cache_folders(before):
            config.CACHE_DIR = str(folder / f"minidl-{_STAMP}")
            try:
                compiled = numba.njit(cache=True, **options)(function)
                break
            except (RuntimeError, OSError):  # this folder cannot be written
                continue
        else:
            compiled = numba.njit(**options)(function)
        config.CACHE_DIR = before
    result: F = compiled
    return result


def _cache_folders(chosen_by_user: str) -> list[Path]:
    if chosen_by_user:
        return [Path(chosen_by_user)]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # Beside the source only where there is no home: what pip does not know of stays behind when it uninstalls, and
    # the empty folders would then hide another installation.
    return [Path(home) / "minidl", Path(__file__).parent / "__pycache__"]


def _stamp() -> str:
    # Numba watches only the file a function stands in; an edited kernel in a file it calls would stay stale.
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


_STAMP = _stamp()


class _Announcer(event.Listener):
    """Says once that kernels are being compiled, if somebody is looking."""

    def __init__(self) -> None:
        self.silent = False

    def on_start(self, event: Any) -> None:
        if self.silent:
            return
        self.silent = True
        if sys.stderr is not None and sys.stderr.isatty():
            print("minidl: compiling kernels, once for this machine …", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        """Nothing is said at the end."""


if not INTERPRETED:
    event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call]
