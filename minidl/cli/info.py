"""`minidl info`: what is installed, and what minidl will use."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from typing import Any

from minidl import __version__
from minidl.backend import cuda_is_available
from minidl.kernels import threads

LIBRARIES = ("numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "safetensors", "threadpoolctl",
             "opencv-python-headless", "matplotlib", "rich", "torch")  # fmt: skip


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("info", help="versions, devices, threads")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run)


def facts() -> dict[str, Any]:
    """Versions of minidl, Python and the libraries (None where one is missing), devices and threads."""
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "minidl": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads.num_threads(),
        "devices": ["cpu", "cuda"] if cuda_is_available() else ["cpu"],
        "libraries": versions,
    }


def run(options: argparse.Namespace) -> int:
    """Print the facts."""
    found = facts()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        if key != "libraries":
            print(f"{key:<30}{', '.join(value) if isinstance(value, list) else value}")
    for name, version in found["libraries"].items():
        print(f"  {name:<28}{version or 'not installed'}")
    return 0
