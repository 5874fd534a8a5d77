"""Every corrected script and every example runs by itself, offline, and holds what it asserts.

The scripts assert their own figures: shapes, counts, the errors that must be raised, and an accuracy well above chance.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.teaching.errata import load_errata

ROOT = Path(__file__).parents[2]
ARTICLES = sorted((ROOT / "lessons" / "articles").glob("[0-9]*.py"))
EXAMPLES = sorted((ROOT / "lessons" / "examples").glob("*.py"))
NAMES = ["000-C1", "001-C1-6", "001-C7-10", "002-C1", "003-C2", "003-C4", "003-C5", "004-C1"]
"""The programs of the five documents that have a corrected twin."""

OFFLINE = """
import runpy, socket, sys
from pathlib import Path

def refused(*args, **kwargs):
    raise AssertionError("this program opened a socket")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
sys.path.insert(0, str(Path(sys.argv[1]).parent))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def offline(script: Path, where: Path, data: str | None = None) -> str:
    """What a script prints, run in a folder of its own with no network, warnings as errors and little training."""
    kept = {name: value for name, value in os.environ.items() if name not in ("MINIDL_DATA", "XDG_DATA_HOME")}
    given = {"MINIDL_FAST": "1", "XDG_DATA_HOME": str(where), "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE, str(script)],
        cwd=where, env={**kept, **given, **({"MINIDL_DATA": data} if data else {})},
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script.name}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_document_has_its_scripts() -> None:
    assert [path.stem for path in ARTICLES] == NAMES
    assert [path.stem for path in EXAMPLES] == ["cifar10", "letters"]


@pytest.mark.parametrize("script", [*ARTICLES, *EXAMPLES], ids=lambda path: path.stem)
def test_it_runs_offline(script: Path, tmp_path: Path) -> None:
    """It says where its data comes from, and ends; nothing real is here, so every face is a generated one."""
    printed = offline(script, tmp_path)
    assert "data 数据:" in printed
    assert "ORL, the AT&T" not in printed


@pytest.mark.parametrize("script", ["003-C4", "cifar10"])
def test_it_takes_real_data_where_there_is_some(script: str, tmp_path: Path) -> None:
    data = os.environ.get("MINIDL_DATA")
    needed = {"003-C4": "orl.npz", "cifar10": "cifar10_small.npz"}[script]
    if not data or not Path(data, needed).is_file():
        pytest.skip(f"needs {needed} in $MINIDL_DATA")
    (path,) = [path for path in (*ARTICLES, *EXAMPLES) if path.stem == script]
    printed = offline(path, tmp_path, data)
    assert ("ORL, the AT&T" if script == "003-C4" else "cifar10_small.npz") in printed


@pytest.mark.parametrize("script", ARTICLES, ids=lambda path: path.stem)
def test_it_names_the_rows_it_corrects_at_their_lines(script: Path) -> None:
    """Rows of the errata stand in comments beside code, and every row that points here is named in the script."""
    text = script.read_text(encoding="utf-8")
    rows = {row.id for row in load_errata()}
    body = text.split('"""', 2)[2]
    named = set(re.findall(r"\b(\d{3}-[TFC]\d+[a-z]?)\b", body))
    assert named <= rows
    code = {row.id for row in load_errata() if f"lessons/articles/{script.name}" in row.see and row.kind == "code"}
    shared = (script.parent / "material.py").read_text(encoding="utf-8")
    inside = code - {script.stem}  # 000-C1 is the whole program
    missing = sorted(row for row in inside if not re.search(rf"\b{row}\b", body + shared))
    assert not missing, f"{script.name} does not say where it corrects {', '.join(missing)}"


@pytest.mark.parametrize("script", [*ARTICLES, *EXAMPLES], ids=lambda path: path.stem)
def test_its_head_is_in_both_languages(script: Path) -> None:
    head = script.read_text(encoding="utf-8").split('"""')[1]
    assert re.search(r"[一-鿿]{6}", head)
    assert re.search(r"[A-Za-z ]{30}", head)
