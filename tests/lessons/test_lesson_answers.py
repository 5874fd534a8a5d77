"""Answers that never end, that change their arguments, that come as another kind of dictionary; a reader who leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from minidl.teaching import answers, exercises, library
from minidl.teaching.errors import LessonError
from minidl.teaching.exercises import Exercise
from minidl.teaching.patience import TooLong, within

ROOT = Path(__file__).resolve().parents[2]


def endless(*arguments: Any) -> None:
    while True:
        pass


def test_an_endless_answer_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "SECONDS", 0.2)
    verdict = Exercise("E99.1", "double", lambda x: 2 * x, [(1.0,)]).judge(endless)
    assert verdict.state == "wrong"
    assert "0.2 seconds" in verdict.text("en")
    assert "0.2 秒" in verdict.text("zh")


def test_an_endless_file_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    file = tmp_path / "answers.py"
    file.write_text("while True:\n    try:\n        pass\n    except Exception:\n        pass\n")
    with pytest.raises(LessonError, match=r"has not finished after 0\.2 seconds"):
        answers.judged(library.lesson("L01"), file)


def test_limits_stand_inside_each_other() -> None:
    stopped = []

    def twice() -> None:
        with pytest.raises(TooLong), within(0.1):
            endless()
        stopped.append(time.monotonic() - began)
        endless()

    began = time.monotonic()
    with pytest.raises(TooLong), within(0.4):
        twice()
    stopped.append(time.monotonic() - began)
    assert stopped[0] < 0.35
    assert stopped[1] >= 0.4


def test_an_answer_that_changes_its_arguments_does_not_change_the_question() -> None:
    def in_place(x: list[float]) -> float:
        x[0] = 7.0
        return x[0]

    task = Exercise("E99.2", "first", lambda x: x[0], [([1.0, 2.0],)])
    assert task.judge(in_place).state == "wrong"


def test_a_dictionary_is_compared_by_what_is_in_it() -> None:
    task = Exercise("E99.3", "counts", lambda: {"a": 0.3, "b": 1.0}, [()])
    assert task.judge(lambda: defaultdict(float, {"b": 1, "a": 0.1 + 0.2})).state == "passed"
    assert task.judge(lambda: {"a": 0.3}).state == "wrong"
    assert task.judge(lambda: {"a": 0.3, "b": 2.0}).state == "wrong"


def test_a_lesson_whose_reader_leaves_ends_quietly() -> None:
    script = subprocess.Popen(
        [sys.executable, str(ROOT / "lessons" / "L01_graph.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "MINIDL_FAST": "1", "PATH": ""},
    )
    assert script.stdout is not None
    assert script.stderr is not None
    script.stdout.readline()
    script.stdout.close()
    said = script.stderr.read()
    assert script.wait(30) == 0
    assert said == ""
    script.stderr.close()
