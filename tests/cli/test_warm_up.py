"""`minidl warm-up` leaves nothing to compile for whoever comes later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.cli.main import main

pytest.importorskip("numba")

LATER = """
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event): pass
event.register("numba:compile", Listener())
import minidl as dl
from minidl import nn
for dtype in (dl.float32, dl.float64):
    norm = nn.BatchNorm2d(3, dtype=dtype)
    norm(dl.randn(2, 3, 5, 5, dtype=dtype, requires_grad=True)).sum().backward()
    norm.eval()(dl.randn(2, 3, 5, 5, dtype=dtype))
print(*compiled)
"""


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def test_what_was_warmed_up_is_not_compiled_again(tmp_path: Path) -> None:
    assert run(tmp_path / "cold", "-c", LATER), "nothing is compiled even without a cache: this test shows nothing"
    report = run(tmp_path / "warm", "-m", "minidl.cli.main", "warm-up", "normalization", "--json")
    assert set(json.loads(report)["seconds"]) == {"normalization"}
    assert run(tmp_path / "warm", "-c", LATER) == ""


def test_an_unknown_group_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm-up", "everything"]) == 2
    assert "'everything' is none of convolutions" in capsys.readouterr().err
