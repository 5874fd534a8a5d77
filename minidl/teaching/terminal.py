"""A lesson in the terminal: its text, its numbers, and the player wherever something was recorded."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from minidl import player
from minidl.teaching.library import Lesson
from minidl.teaching.percent import TextCell
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
    for outcome in steps(lesson, stage, {}):
        if isinstance(outcome.cell, TextCell):
            _prose(outcome.texts[language])
        elif "setup" not in outcome.cell.tags:
            print(f"\n{_indented(outcome.cell.source)}")
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
    console.print(Markdown(text))


def _indented(source: str) -> str:
    return "".join(f"  | {line}\n" for line in source.splitlines())
