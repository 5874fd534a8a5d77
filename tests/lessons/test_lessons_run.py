"""Every lesson there is runs as a script, shows what a lesson shows, and computes the numbers that were promised."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import minidl
from minidl.teaching import library
from minidl.teaching.exercises import Exercise, Verdict, exercises, solutions
from minidl.teaching.gradients import GradientCheck
from minidl.teaching.library import Lesson
from minidl.teaching.pictures import Picture
from minidl.teaching.running import Run, run
from minidl.teaching.tracing import Traced

LESSONS = library.lessons()
TASKS = [task for lesson in LESSONS for task in exercises(lesson)]
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)

BLOCKED = """
import socket

class Refused(socket.socket):
    def __init__(self, *arguments, **options):
        raise RuntimeError("a lesson opened a socket")

socket.socket = Refused
"""

_runs: dict[str, Run] = {}


def ran(lesson: Lesson) -> Run:
    """The lesson's run, made once a process."""
    if lesson.id not in _runs:
        _runs[lesson.id] = run(lesson)
    return _runs[lesson.id]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_FAST", "1")


def printed(name: str) -> Any:
    """tests/documents/printed.py, which knows how pages print numbers."""
    path = Path(__file__).resolve().parent.parent / "documents" / "printed.py"
    spec = importlib.util.spec_from_file_location("printed_numbers", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("printed_numbers", importlib.util.module_from_spec(spec))
    if not hasattr(module, name):
        spec.loader.exec_module(module)
    return getattr(module, name)


@every_lesson
def test_as_a_script_without_a_network(lesson: Lesson, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    path = os.pathsep.join([str(tmp_path), str(Path(minidl.__file__).parent.parent)])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "MINIDL_FAST": "1",
        "MINIDL_LANG": "zh",
        "PYTHONIOENCODING": "utf-8",
    }
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(lesson.path)],
        capture_output=True, cwd=tmp_path, env=environment, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert time.monotonic() - start < 60, "a lesson takes seconds, on a busy machine too"
    for task in exercises(lesson):
        assert f"{task.id}: 尚未完成。" in done.stdout, "an unsolved lesson runs to its end and says so"


@every_lesson
def test_it_really_ran(lesson: Lesson) -> None:
    """At least one recording with gradients in it, one gradient check, one picture; every exercise was looked at."""
    found = ran(lesson)
    traces = found.items(Traced)
    assert traces, "a lesson has a recording"
    assert any(event["kind"] == "grad" for traced in traces for event in traced.trace.events)
    assert found.items(Picture), "a lesson has a picture"
    checks = found.items(GradientCheck)
    assert checks, "a lesson has a gradient check"
    assert all(check.passed == check.wanted for check in checks)
    assert {verdict.id for verdict in found.items(Verdict)} == {task.id for task in exercises(lesson)}


@every_lesson
def test_the_promised_numbers(lesson: Lesson) -> None:
    """What LESSONS and ERRATA print is what the lesson computes, to the digits printed."""
    expected = solutions(lesson.solutions).EXPECTED
    assert expected
    row, rounds_to = printed("Row"), printed("rounds_to")
    for expression, digits in expected.items():
        names = ran(lesson).names
        rounds_to(row(lesson.id, expression, digits, lambda e=expression, n=names: eval(e, n)))


@every_task
def test_the_solution_passes(task: Exercise) -> None:
    assert task.judge(task.solution) == Verdict(task.id, "passed")


@every_task
def test_every_wrong_answer_gets_its_hint(task: Exercise) -> None:
    for wrong in task.wrong:
        verdict = task.judge(wrong.answer)
        assert verdict.state == "wrong", f"{task.id}: {wrong.answer.__name__} passes"
        assert verdict.wrong is not None, f"{task.id}: {wrong.answer.__name__} is not recognised: {verdict.hint}"
        assert verdict.hint == {"zh": wrong.zh, "en": wrong.en}, (
            f"{task.id}: {wrong.answer.__name__} gets the hint of {verdict.wrong.answer.__name__}: "
            f"add a case that tells them apart"
        )
        assert wrong.zh != wrong.en


@every_task
def test_an_answer_that_was_not_written_is_not_wrong(task: Exercise) -> None:
    def left(*arguments: Any) -> None: ...

    def refused(*arguments: Any) -> None:
        raise NotImplementedError

    assert task.judge(left).state == task.judge(refused).state == "todo"


@every_task
def test_an_answer_that_raises_or_is_far_off_gets_a_sentence(task: Exercise) -> None:
    def raising(*arguments: Any) -> None:
        raise ZeroDivisionError("by nothing")

    def far(*arguments: Any) -> str:
        return "elsewhere"

    hint = task.judge(raising).hint
    assert hint is not None
    assert "ZeroDivisionError: by nothing" in hint["en"]
    verdict = task.judge(far)
    assert verdict.state == "wrong"
    assert verdict.hint is not None
