"""Streams that the shell closed, and names that an encoding does not have: no command breaks on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = "import sys; from minidl.cli.main import main; sys.exit(main())"
PRINTING = (
    "import json; from minidl.cli import streams; streams.prepare(); "
    r"print(json.dumps('\u738b é \U0001f600 \udcff', ensure_ascii=False))"
)


def run(*words: str, closed: str = "", encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", *words], capture_output=True, env=environment
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_change_the_exit_code(closed: str) -> None:
    done = run(START, "faces", "people", "no-such-model", closed=closed)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    assert "2>" in closed or b"does not exist" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8:strict", "ascii", "latin-1", "gbk"])
def test_every_name_can_be_printed_and_read_back_from_json(encoding: str) -> None:
    done = run(PRINTING, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding.split(":")[0])) == "王 é 😀 \udcff"


def test_a_reader_who_has_seen_enough_of_a_lesson_is_no_error() -> None:
    pytest.importorskip("rich")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", START, "lesson", "play", "L01", "--no-player", "--lang", "en"]
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed_pipe:
        done = subprocess.run(
            words, stdout=closed_pipe, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment
        )
    assert (done.returncode, done.stderr) == (0, b"")
