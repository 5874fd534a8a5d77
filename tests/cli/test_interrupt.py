"""Ctrl-C is answered in one line, even while libraries load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
import minidl_command

class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Pressed())
sys.argv[1:] = ["info"]
sys.exit(minidl_command.main())
"""


def run(code: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, **options
    )


def test_while_numpy_the_tape_or_the_commands_load() -> None:
    for module in ("minidl", "numpy", "minidl.tensor", "minidl.cli.main", "minidl.cli.faces"):
        code = INTERRUPTED_WHILE_LOADING.replace("sys.argv[1]:", f"{module!r}:")
        done = run(code)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "minidl: interrupted\n"), module


def test_while_a_command_runs() -> None:
    code = (
        "import os, signal, sys, minidl_command, minidl.cli.info as info\n"
        "info.facts = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv[1:] = ['info']\n"
        "sys.exit(minidl_command.main())"
    )
    done = run(code)
    assert (done.returncode, done.stderr) == (130, "minidl: interrupted\n")


def test_where_the_shell_ignores_it_so_do_we() -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTED_WHILE_LOADING.replace(
        "sys.argv[1]:", "'minidl':"
    )
    done = run(code)
    assert done.returncode == 0
    assert "numpy" in done.stdout


def test_the_command_does_what_it_is_told_and_gives_the_exit_code() -> None:
    done = run("import sys, minidl_command\nsys.argv[1:] = ['--version']\nsys.exit(minidl_command.main())")
    assert done.returncode == 0
    assert done.stdout.startswith("minidl ")
