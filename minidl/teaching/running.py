"""Running a lesson cell by cell, once for every value its knobs offer."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from minidl.teaching import symbols
from minidl.teaching.errors import LessonError
from minidl.teaching.knobs import Knob
from minidl.teaching.library import Lesson
from minidl.teaching.percent import LANGUAGES, CodeCell, TextCell
from minidl.teaching.placeholders import fill
from minidl.teaching.stage import Collector, Item, Stage, fast, on

MOST_VARIANTS = 64


@dataclass(frozen=True)
class Printed:
    """What a cell printed by itself."""

    lines: str

    def text(self, language: str) -> str:
        """The lines as they were."""
        return self.lines.rstrip("\n")

    def html(self) -> str:
        """The lines in a fixed-width font."""
        return f'<pre class="printed">{symbols.escape(self.lines.rstrip())}</pre>'


@dataclass(frozen=True)
class Outcome:
    """A cell after it ran: the texts with their numbers filled in, or what the code showed."""

    cell: TextCell | CodeCell
    texts: dict[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Run:
    """A lesson after it ran: every cell's outcome, and the names that were left."""

    lesson: Lesson
    outcomes: tuple[Outcome, ...]
    names: dict[str, Any]

    def items(self, kind: type) -> list[Any]:
        """Everything of one kind that was shown, in order."""
        return [item for outcome in self.outcomes for item in outcome.items if isinstance(item, kind)]


def run(lesson: Lesson, settings: dict[str, str] | None = None, language: str = "en") -> Run:
    """Run a lesson and keep what it shows.

    Arguments:
        lesson: which.
        settings: values for knobs instead of their defaults.
        language: of what the helpers print.

    Raises:
        LessonError: a cell raised; the message names file, line and error.
    """
    stage = Collector(language=language, settings=dict(settings or {}))
    names: dict[str, Any] = {}
    return Run(lesson, tuple(steps(lesson, stage, names)), names)


def steps(
    lesson: Lesson, stage: Stage, names: dict[str, Any], before: Callable[[CodeCell], None] = lambda cell: None
) -> Iterator[Outcome]:
    """Run the cells one by one.

    A `Collector` keeps what a cell shows and it is part of the outcome; another stage shows it as it comes. `before` is
    called with each code cell before it runs.

    Raises:
        LessonError: the stage's settings name a knob that the lesson does not have, or a cell raised.
    """
    there = set(re.findall(r'\bknob\(\s*"(\w+)"', "".join(cell.source for cell in lesson.script.code)))
    for name in stage.settings:
        if name not in there:
            raise LessonError(f"{lesson.id} has no knob {name!r}: there are {', '.join(sorted(there)) or 'none'}")
    names.update({"__name__": "__main__", "__file__": str(lesson.path)})
    for cell in lesson.script.cells:
        if isinstance(cell, TextCell):
            texts = {
                lang: fill(cell.texts[lang], names, f"{lesson.path.name}: text {cell.key!r}") for lang in LANGUAGES
            }
            yield Outcome(cell, texts=texts)
        else:
            before(cell)
            yield Outcome(cell, items=_executed(lesson, cell, stage, names))


def _executed(lesson: Lesson, cell: CodeCell, stage: Stage, names: dict[str, Any]) -> tuple[Item, ...]:
    code = compile("\n" * (cell.line - 1) + cell.source, str(lesson.path), "exec")
    before = len(stage.items) if isinstance(stage, Collector) else 0
    printed = io.StringIO()
    catching = contextlib.redirect_stdout(printed) if isinstance(stage, Collector) else contextlib.nullcontext()
    with on(stage), catching:
        try:
            exec(code, names)
        except LessonError:
            raise
        except Exception as error:
            line = _line(error, str(lesson.path)) or cell.line
            raise LessonError(f"{lesson.path.name}:{line}: {type(error).__name__}: {error}") from error
    if not isinstance(stage, Collector):
        return ()
    if printed.getvalue().strip():
        stage.items.append(Printed(printed.getvalue()))
    return tuple(stage.items[before:])


def _line(error: Exception, file: str) -> int | None:
    """The line of the lesson in which an error came up."""
    found, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            found = frame.tb_lineno
        frame = frame.tb_next
    return found


@dataclass(frozen=True)
class Group:
    """The knobs of one cell and a run for every combination of their values.

    Fields:
        knobs: in order.
        runs: by the positions of the values in each knob's choices; the default combination is not among them.
    """

    knobs: tuple[Knob, ...]
    runs: dict[tuple[int, ...], Run]


def variants(lesson: Lesson, default: Run, progress: Callable[[str], None] = lambda text: None) -> list[Group]:
    """Run a lesson once for every combination of the values that the knobs of one cell offer, the others at default.

    A quick run (`MINIDL_FAST=1`) takes the ends of each knob only.

    Raises:
        LessonError: there would be more than 64 combinations, or a run shows other things than the default.
    """
    groups = []
    for outcome in default.outcomes:
        knobs = tuple(item for item in outcome.items if isinstance(item, Knob))
        if not knobs:
            continue
        places = [_places(knob) for knob in knobs]
        combinations = list(itertools.product(*places))
        if len(combinations) > MOST_VARIANTS:
            raise LessonError(
                f"{lesson.id}: the knobs {', '.join(knob.name for knob in knobs)} of one cell make {len(combinations)} "
                f"combinations; at most {MOST_VARIANTS} fit on a page"
            )
        runs = {}
        for at in combinations:
            settings = {knob.name: str(knob.choices[i]) for knob, i in zip(knobs, at, strict=True)}
            if all(knob.choices[i] == knob.default for knob, i in zip(knobs, at, strict=True)):
                continue
            progress(", ".join(f"{name}={value}" for name, value in settings.items()))
            runs[at] = run(lesson, settings)
            for there, here in zip(default.outcomes, runs[at].outcomes, strict=True):
                if [type(item) for item in there.items] != [type(item) for item in here.items]:
                    raise LessonError(f"{lesson.id}: with {settings} a cell shows other things than by default")
        groups.append(Group(knobs, runs))
    return groups


def _places(knob: Knob) -> list[int]:
    every = range(len(knob.choices))
    return (
        [i for i in every if i in (0, len(knob.choices) - 1, knob.choices.index(knob.default))]
        if fast()
        else list(every)
    )
