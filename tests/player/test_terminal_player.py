"""The terminal player obeys line commands, in a pipe as well, without colours there."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import traces

from minidl import player
from minidl.player.steps import steps_of
from minidl.player.tidy import tidied

pytest.importorskip("rich")


def played(*commands: str, lang: str = "en", trace: player.Trace | None = None) -> str:
    """What the player prints for some commands."""
    out = io.StringIO()
    player.play(traces.square() if trace is None else trace, lang, commands=commands, stdout=out)
    return out.getvalue()


def steps(text: str) -> list[int]:
    """The steps that were shown."""
    return [int(k) for k in re.findall(r"── \[(\d+)/\d+\]", text)]


def test_the_numbers_are_plugged_in() -> None:
    text = played("g 2")
    assert "v2 = (−2)·3 = −6" in text
    assert "y = w * x + b" in text
    assert "x = 3" in text


def test_the_backward_pass() -> None:
    text = played("b", "n", "n", "n")
    assert "∂L upstream = 1" in text
    assert "∂w = (−12)·3 = −36" in text
    assert "∂x = (−12)·(−2) = 24" in text


def test_commands_move() -> None:
    last = len(steps_of(traces.square())) - 1
    assert steps(played("n", "", "p", "5", "g 99", "n", "g -4", "p")) == [0, 1, 2, 1, 5, last, last, 0, 0]
    assert steps(played("b", "q", "n")) == [0, 6], "nothing is obeyed after q"
    assert steps(played("dance", "g", "g x", "?")) == [0], "what is not understood shows the help and stays"
    assert played("?").count("go to step 12") == 1


def test_strides_play_a_group() -> None:
    """u makes one press play a line of code, then all of the forward part; d makes it smaller again."""
    assert steps(played("g 1", "u", "n", "n"))[-2:] == [3, 5], "two operations of one line, then those of the next"
    shown = steps(played("g 1", "u", "u", "n", "n", "d", "d", "p"))
    assert shown[-4] == 9, "the whole backward part at once"
    assert shown[-1] == 8


def test_elements_are_chosen() -> None:
    text = played("g 1", "s 0,1", trace=traces.attended())
    assert re.search(r"y\[0,1\] = .* = 4", text)
    assert "→" in text


def test_both_languages() -> None:
    text = played("l", "n", lang="zh")
    assert "开始" in text
    assert "forward" in text or "gradient check" in text
    with pytest.raises(ValueError, match="'zh' or 'en', got 'de'"):
        played(lang="de")


@pytest.mark.parametrize("name", traces.ALL)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_step_of_every_trace_prints(name: str, lang: str) -> None:
    trace = traces.ALL[name]()
    count = len(steps_of(tidied(trace)))
    text = played(*["n"] * (count - 1), lang=lang, trace=trace)
    assert steps(text) == list(range(count))
    assert "\x1b" not in text, "no colours where nobody sees them"
    assert "{" not in re.sub(r"\\?[a-z_^]*\{[^\n]*", "", text), "every place of a text is filled"


def test_a_terminal_shows_values_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With colours, but with signs as well; both matrices of a product stand in the same lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    text = played("b", "n", "n", "n", trace=traces.attended())
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    line = next(line for line in plain.splitlines() if "contribution" in line)
    assert "accumulated" in line
    assert "\x1b" not in plain


def test_a_pipe(tmp_path: Path) -> None:
    traces.square().save(tmp_path / "trace.json")
    code = f"from minidl import player; player.play(player.Trace.load({str(tmp_path / 'trace.json')!r}), 'en')"
    run = subprocess.run(
        [sys.executable, "-c", code], input="n\ng 2\nq\n", capture_output=True, text=True, timeout=60, check=True,
        encoding="utf-8", env={**__import__("os").environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert "v2 = (−2)·3 = −6" in run.stdout
    assert "\x1b" not in run.stdout
    assert not run.stderr
