"""A lesson in the terminal: its text, its numbers, and the player wherever something was recorded."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from minidl import player
from minidl.teaching import symbols
from minidl.teaching.library import Lesson
from minidl.teaching.markdown import joined
from minidl.teaching.page import FOLDED
from minidl.teaching.percent import CodeCell, TextCell
from minidl.teaching.placeholders import FORMULA
from minidl.teaching.running import steps
from minidl.teaching.stage import Item, Stage
from minidl.teaching.strings import label
from minidl.teaching.tracing import Traced


@dataclass
class Terminal(Stage):
    """Shows items as lines; a recording is played, where somebody is there to step through it."""

    interactive: bool = True

    def add(self, item: Item) -> None:
        """Show an item."""
        print(item.text(self.language))
        if isinstance(item, Traced) and self.interactive:
            player.play(item.trace, lang=self.language)


def play(lesson: Lesson, language: str, settings: dict[str, str] | None = None, *, interactive: bool = True) -> None:
    """Go through a lesson in the terminal.

    Arguments:
        lesson: which.
        language: "zh" or "en".
        settings: values for its knobs.
        interactive: open the player at every recording; it reads its commands from standard input.
    """
    stage = Terminal(language=language, settings=dict(settings or {}), interactive=interactive)
    print(f"{lesson.id} · {lesson.title[language]}\n")
    for outcome in steps(lesson, stage, {}, before=_code):
        if isinstance(outcome.cell, TextCell):
            _prose(readable(outcome.texts[language]))
    print(f"\n{label('play.end', language, lesson=lesson.id)}")


def _prose(text: str) -> None:
    """Markdown for a terminal, by rich where it is installed."""
    try:
        from rich.console import Console
        from rich.markdown import Markdown
    except ImportError:
        print(f"\n{text}")
        return
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    with console.capture() as drawn:  # rich itself would end the program with code 1 where a pipe is closed
        console.print(Markdown(text))
    print(drawn.get(), end="")


def _code(cell: CodeCell) -> None:
    if not set(FOLDED) & set(cell.tags):
        print("\n" + "".join(f"  | {line}\n" for line in cell.source.splitlines()))


def readable(text: str) -> str:
    """Markdown as a terminal can show it: formulas in plain characters, tables as lists.

    >>> readable("From $W_h$ on.")
    'From W_h on.'
    """
    text = FORMULA.sub(_formula, joined(text))
    lines = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            if set("".join(cells)) <= set("-|: "):
                continue
            line = f"- **{cells[0]}** {' → '.join(cells[1:])}"
        lines.append(line)
    return "\n".join(lines)


def _formula(match: re.Match[str]) -> str:
    latex = match[0].strip("$")
    if not match[0].startswith("$$"):
        return symbols.plain(latex)
    rows = re.sub(r"\\(?:begin|end)\{[^}]*\}", "", latex).replace("&", "").split("\\\\")
    return "```\n" + "\n".join(symbols.plain(row.strip()) for row in rows) + "\n```"
