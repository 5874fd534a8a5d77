"""Exercises: an answer is compared with the solution and, where it differs, with the mistakes people make.

`lessons/solutions/Lnn.py` holds a tuple EXERCISES. A wrong answer is recognised by what it computes, so the hint fits
the mistake however it was written.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl.teaching import library
from minidl.teaching.errors import LessonError
from minidl.teaching.patience import TooLong, within
from minidl.teaching.stage import current
from minidl.teaching.strings import both, label, spans
from minidl.teaching.values import formatted
from minidl.tensor import Tensor

SECONDS = 10.0  # that an answer may take


@dataclass(frozen=True)
class Wrong:
    """A mistake and the hint it gets.

    Fields:
        answer: a function that makes it.
        zh, en: the hint; it leads to the solution and does not tell it.
        source: the row of the errata where a document makes this mistake, or "".
    """

    answer: Callable[..., Any]
    zh: str
    en: str
    source: str = ""

    @property
    def hint(self) -> dict[str, str]:
        """The hint by language."""
        return {"zh": self.zh, "en": self.en}


@dataclass(frozen=True)
class Exercise:
    """A function to write, how to see whether it is right, and what usually goes wrong.

    Fields:
        id: "E16.1".
        name: the function's name in the lesson.
        solution: a right answer.
        cases: the arguments of each call that is compared, or a function that makes them; every answer gets its own.
        wrong: the mistakes, the likeliest first.
        call: how an answer is turned into something to compare, when calling it is not enough: `call(answer, *case)`.
        rtol, atol: how near numbers must be.
    """

    id: str
    name: str
    solution: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]] | Callable[[], Sequence[tuple[Any, ...]]]
    wrong: Sequence[Wrong] = ()
    call: Callable[..., Any] | None = None
    rtol: float = 1e-4
    atol: float = 1e-6

    def judge(self, answer: Callable[..., Any]) -> Verdict:
        """Whether an answer is right, and the hint if not."""
        try:
            with within(SECONDS):
                found = self._results(answer)
        except NotImplementedError:
            return Verdict(self.id, "todo")
        except TooLong:
            hint = {lang: label("check.endless", lang, seconds=f"{SECONDS:g}") for lang in ("zh", "en")}
            return Verdict(self.id, "wrong", hint)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: an answer must not end the check, least of all with code 0
            text = f"{type(error).__name__}: {error}"
            return Verdict(self.id, "wrong", {lang: label("check.raised", lang, error=text) for lang in ("zh", "en")})
        if all(result is None or result is ... for result in found):
            return Verdict(self.id, "todo")
        expected = self._results(self.solution)
        differs = next((i for i in range(len(expected)) if not self._same(found[i], expected[i])), None)
        if differs is None:
            return Verdict(self.id, "passed")
        for wrong in self.wrong:
            if self._matches(wrong, found):
                return Verdict(self.id, "wrong", wrong.hint, wrong)
        case = self._cases()[differs]
        values = {
            "case": _described(case[0] if len(case) == 1 else case),
            "found": _described(found[differs]),
            "expected": _described(expected[differs]),
        }
        return Verdict(self.id, "wrong", {lang: label("check.differs", lang, **values) for lang in ("zh", "en")})

    def _cases(self) -> Sequence[tuple[Any, ...]]:
        return self.cases() if callable(self.cases) else copy.deepcopy(self.cases)

    def _results(self, answer: Callable[..., Any]) -> list[Any]:
        with np.errstate(all="ignore"):
            return [answer(*case) if self.call is None else self.call(answer, *case) for case in self._cases()]

    def _matches(self, wrong: Wrong, found: list[Any]) -> bool:
        try:
            made = self._results(wrong.answer)
        except Exception:
            return False
        return all(self._same(a, b) for a, b in zip(found, made, strict=True))

    def _same(self, a: Any, b: Any) -> bool:
        if isinstance(b, tuple | list) and isinstance(a, tuple | list):
            return len(a) == len(b) and all(self._same(x, y) for x, y in zip(a, b, strict=True))
        if isinstance(b, Mapping) and isinstance(a, Mapping):
            return a.keys() == b.keys() and all(self._same(a[key], b[key]) for key in b)
        x, y = _plain(a), _plain(b)
        if (
            isinstance(x, np.ndarray)
            and isinstance(y, np.ndarray)
            and x.dtype.kind in "biuf"
            and y.dtype.kind in "biuf"
        ):
            return x.shape == y.shape and bool(np.allclose(x, y, self.rtol, self.atol, equal_nan=True))
        return type(x) is type(y) and bool(np.all(x == y))


@dataclass(frozen=True)
class Verdict:
    """What came of an answer: "todo", "passed" or "wrong" with a hint."""

    id: str
    state: str
    hint: dict[str, str] | None = None
    wrong: Wrong | None = None

    def text(self, language: str) -> str:
        """One line."""
        line = f"{self.id}: {label(f'check.{self.state}', language)}"
        return line if self.hint is None else f"{line} {self.hint[language]}"

    def html(self) -> str:
        """The verdict in a box, and the mistakes and the solution folded below."""
        state = {"todo": "todo", "passed": "ok", "wrong": "bad"}[self.state]
        hint = "" if self.hint is None else spans(self.hint)
        return f'<div class="verdict {state}"><b>{self.id}</b> {both(f"check.{self.state}")} {hint}</div>'


def check(id: str, answer: Callable[..., Any]) -> Verdict:
    """Judge the answer to an exercise and show the verdict: not yet done, right, or a hint.

    Arguments:
        id: "E16.1": the first exercise of lesson L16.
        answer: the function that the reader wrote.
    """
    verdict = exercise(id).judge(answer)
    current().add(verdict)
    return verdict


def exercise(id: str) -> Exercise:
    """The exercise of that number.

    Raises:
        LessonError: there is none.
    """
    number = id.partition(".")[0].removeprefix("E")
    found = {each.id: each for each in exercises(library.lesson(f"L{number}"))}
    if id not in found:
        raise LessonError(f"no exercise {id!r}: lesson L{number} has {', '.join(found) or 'none'}")
    return found[id]


def exercises(lesson: library.Lesson) -> tuple[Exercise, ...]:
    """The exercises of a lesson, in order."""
    return tuple(solutions(lesson.solutions).EXERCISES) if lesson.solutions.exists() else ()


@functools.cache
def solutions(path: Path) -> Any:
    """The module of solutions, loaded from its file."""
    name = f"minidl_solutions_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LessonError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().numpy()
    return np.asarray(value) if isinstance(value, int | float | np.generic | list) else value


def _described(value: Any) -> str:
    """Arguments or a result in a sentence, shortened."""
    try:
        text = formatted(value)
    except Exception:  # whatever a learner's function returned
        try:
            text = repr(value)
        except Exception:
            text = f"<{type(value).__name__}>"
    return text if len(text) <= 160 else text[:157] + "…"
