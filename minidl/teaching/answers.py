"""Judging a learner's file: an edited copy of the lesson, or just the functions its exercises ask for."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minidl.teaching.errors import LessonError
from minidl.teaching.exercises import Verdict, exercises
from minidl.teaching.library import Lesson
from minidl.teaching.patience import TooLong, within
from minidl.teaching.stage import Collector, on

SECONDS = 60.0  # that a file may take; it may be a whole lesson


def judged(lesson: Lesson, file: Path) -> list[Verdict]:
    """The verdict on each exercise of a lesson, from a file of the learner's.

    Arguments:
        lesson: whose exercises.
        file: Python code; it runs once, and what it prints or shows is not shown again.

    Raises:
        LessonError: the file is no Python that runs or does not come to an end, or the lesson has no exercises.
    """
    tasks = exercises(lesson)
    if not tasks:
        raise LessonError(f"{lesson.id} has no exercises")
    try:
        source = file.read_bytes().decode("utf-8-sig")
        code = compile(source, str(file), "exec")
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise LessonError(f"{file} is not Python that can be read: {error}") from None
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(file)}
    stage = Collector(settings={})
    with on(stage), contextlib.redirect_stdout(io.StringIO()):
        try:
            with within(SECONDS):
                exec(code, names)
        except TooLong:
            raise LessonError(f"{file} has not finished after {SECONDS:g} seconds: does every loop end?") from None
        except (Exception, SystemExit) as error:
            raise LessonError(f"{file} stops with {type(error).__name__}: {error}") from None
        return [_verdict(task, names.get(task.name)) for task in tasks]


def _verdict(task: Any, answer: Callable[..., Any] | None) -> Verdict:
    if answer is None:
        return Verdict(task.id, "todo")
    verdict: Verdict = task.judge(answer)
    return verdict
