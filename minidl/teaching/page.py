"""The page of a lesson: one file that needs nothing else, with both languages, the knobs' variants and the players."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from minidl import player
from minidl.teaching import markdown, symbols
from minidl.teaching.exercises import Exercise, Verdict, exercises
from minidl.teaching.knobs import Knob
from minidl.teaching.library import Lesson
from minidl.teaching.percent import LANGUAGES, CodeCell, TextCell
from minidl.teaching.running import Group, Outcome, Run, run, variants
from minidl.teaching.strings import both, spans
from minidl.teaching.tracing import Traced

FOLDED = ("setup", "figure")
"""Tags of cells whose code the page shows on request."""

ROOM = 1_600_000
"""Characters of traces, as JSON of the engine, for other values of the knobs; on the page they take about a half."""


def page(lesson: Lesson, ways: str = "", progress: Callable[[str], None] = lambda text: None) -> str:
    """Run a lesson, and make its page.

    Arguments:
        lesson: which.
        ways: HTML of the links to other pages, where there are others.
        progress: told what is being computed.
    """
    progress(lesson.id)
    default = run(lesson)
    groups = variants(lesson, default, lambda text: progress(f"{lesson.id}: {text}"))
    traces = Traces(default)
    body = _body(default, ways) + _variants(default, groups, traces)
    title = {lang: f"{lesson.id} · {lesson.title[lang]}" for lang in LANGUAGES}
    return player.page_html(title=title, body=dressed(body), traces=traces.kept)


class Traces:
    """The traces that a page carries: those of the default run, then others while there is room."""

    def __init__(self, default: Run) -> None:
        self.kept = [item.trace for item in default.items(Traced)]
        self._numbers = {json.dumps(trace.to_json()): i for i, trace in enumerate(self.kept)}
        self._room = ROOM

    def number(self, trace: player.Trace) -> int | None:
        """The place of a trace on the page; None if there is no more room for it."""
        text = json.dumps(trace.to_json())
        if text not in self._numbers and len(text) <= self._room:
            self._room -= len(text)
            self._numbers[text] = len(self.kept)
            self.kept.append(trace)
        return self._numbers.get(text)


def dressed(body: str) -> str:
    """A body with the lessons' style and script."""
    assets = files("minidl.teaching") / "assets"
    style, script = ((assets / name).read_text(encoding="utf-8") for name in ("lesson.css", "lesson.js"))
    return f"<style>{style}</style>{body}<script>{script}</script>"


def _body(default: Run, ways: str) -> str:
    tasks = {each.id: each for each in exercises(default.lesson)}
    parts, traces = [], 0
    for i, outcome in enumerate(default.outcomes):
        if isinstance(outcome.cell, TextCell):
            parts.append(f'<section class="text" id="{outcome.cell.key}" data-slot="{i}">{_text(outcome)}</section>')
            continue
        parts.append(_code(outcome.cell))
        knobs = [item for item in outcome.items if isinstance(item, Knob)]
        if knobs:
            note = f'<span class="note">{both("knobs.note")}</span>'
            parts.append(f'<div class="knobs">{"".join(knob.html() for knob in knobs)}{note}</div>')
        shown = []
        for k, item in enumerate(outcome.items):
            if isinstance(item, Knob):
                continue
            if isinstance(item, Traced):
                stale = f'<p class="stale" data-of="{i}.{k}" hidden>{both("trace.default")}</p>'
                mounted = f'<div class="player" data-trace="{traces}" data-of="{i}.{k}"></div>'
                shown.append(f'<div class="recording">{item.html()}{stale}{mounted}</div>')
                traces += 1
            else:
                shown.append(f'<div data-slot="{i}.{k}">{item.html()}</div>')
                if isinstance(item, Verdict) and item.id in tasks:
                    shown.append(_answers(tasks[item.id], default.lesson))
        if shown:
            parts.append(f'<div class="output">{"".join(shown)}</div>')
    return f'<article class="lesson">{ways}{"".join(parts)}{ways}</article>'


def _text(outcome: Outcome) -> str:
    return "".join(f'<div lang="{lang}">{markdown.html(outcome.texts[lang])}</div>' for lang in LANGUAGES)


def _code(cell: CodeCell) -> str:
    block = f'<pre class="listing"><code>{markdown.highlighted(cell.source)}</code></pre>'
    for tag in FOLDED:
        if tag in cell.tags:
            return f'<details class="folded"><summary>{both(f"page.{tag}")}</summary>{block}</details>'
    return block


def _answers(task: Exercise, lesson: Lesson) -> str:
    """What a reader may unfold below an exercise: how to have an answer checked, the mistakes, the solution."""
    command = f"minidl lesson check {lesson.id} answers.py"
    mistakes = "".join(
        f'<tr><td><pre class="listing"><code>{markdown.highlighted(_source(wrong.answer))}</code></pre></td>'
        f"<td>{spans(wrong.hint)}{f' <small>{wrong.source}</small>' if wrong.source else ''}</td></tr>"
        for wrong in task.wrong
    )
    solution = f'<pre class="listing"><code>{markdown.highlighted(_source(task.solution))}</code></pre>'
    return (
        f'<p class="how">{both("exercise.how")} <code>{symbols.escape(command)}</code></p>'
        f'<details class="answers"><summary>{both("exercise.mistakes")}</summary>'
        f'<table class="plain">{mistakes}</table></details>'
        f'<details class="answers"><summary>{both("exercise.solution")}</summary>{solution}</details>'
    )


def _source(function: Callable[..., object]) -> str:
    return inspect.cleandoc("\n" + inspect.getsource(function)) + "\n"


def _variants(default: Run, groups: list[Group], traces: Traces) -> str:
    """The pieces of the page that change with a knob, as data for its script."""
    if not groups:
        return ""
    base, recorded = _pieces(default), _recorded(default)
    table = []
    for group in groups:
        runs = list(group.runs.values())
        pieces, others = [_pieces(each) for each in runs], [_recorded(each) for each in runs]
        changing = [name for name in base if any(each[name] != base[name] for each in pieces)]
        numbers = {name: [traces.number(each[name]) for each in others] for name in recorded}
        own = {name: traces.number(trace) for name, trace in recorded.items()}
        table.append(
            {
                "knobs": [knob.name for knob in group.knobs],
                "variants": {",".join(map(str, at)): i for i, at in enumerate(group.runs)},
                "slots": {name: _distinct([each[name] for each in pieces]) for name in changing},
                "traces": {name: [own[name], found] for name, found in numbers.items() if set(found) != {own[name]}},
            }
        )
    data = json.dumps({"groups": table}, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/json" id="variants">{data}</script>'


def _distinct(pieces: list[str]) -> list[Any]:
    """Each different piece once, and which of them each variant has."""
    different = list(dict.fromkeys(pieces))
    return [different, [different.index(piece) for piece in pieces]]


def _pieces(each: Run) -> dict[str, str]:
    """The HTML that a knob may change, by slot."""
    found = {}
    for i, outcome in enumerate(each.outcomes):
        if isinstance(outcome.cell, TextCell):
            found[str(i)] = _text(outcome)
        for k, item in enumerate(outcome.items):
            if not isinstance(item, Knob | Traced):
                found[f"{i}.{k}"] = item.html()
    return found


def _recorded(each: Run) -> dict[str, player.Trace]:
    """The traces by slot."""
    return {
        f"{i}.{k}": item.trace
        for i, outcome in enumerate(each.outcomes)
        for k, item in enumerate(outcome.items)
        if isinstance(item, Traced)
    }
