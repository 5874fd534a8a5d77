"""Where the helpers of a lesson put what they have to show: a terminal, a notebook, a page being built."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

from minidl.kernels import use_kernels
from minidl.teaching.errors import LessonError
from minidl.teaching.strings import system_language


class Item(Protocol):
    """Something a helper shows: as lines of a terminal in one language, and as HTML that holds both."""

    def text(self, language: str) -> str:
        """Lines for a terminal."""
        ...

    def html(self) -> str:
        """HTML with what depends on the language marked lang="zh" and lang="en"."""
        ...


@dataclass
class Stage:
    """A terminal. The other stages override `add`.

    Fields:
        language: "zh" or "en".
        settings: values for knobs, by name, instead of their defaults.
        knobs: the knobs that were asked for, in order, with the value each took.
    """

    language: str = field(default_factory=system_language)
    settings: dict[str, str] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Show an item."""
        try:
            print(item.text(self.language), flush=True)
        except BrokenPipeError:  # `python L01_graph.py | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None


class Notebook(Stage):
    """A notebook: items are displayed as HTML, with the words of one language; a recording brings its player."""

    def add(self, item: Item) -> None:
        """Display an item under the cell."""
        from IPython.display import HTML, display  # present wherever a notebook runs

        style = (files("minidl.teaching") / "assets" / "lesson.css").read_text(encoding="utf-8")
        other = "en" if self.language == "zh" else "zh"
        framed = item.framed() if hasattr(item, "framed") else item.html()
        display(HTML(f"<style>{style} [lang={other}] {{ display: none }}</style>{framed}"))  # type: ignore[no-untyped-call]


@dataclass
class Collector(Stage):
    """A page being built, or a test: items are kept, in order."""

    items: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Keep an item."""
        self.items.append(item)


_for_good = ExitStack()
_current: ContextVar[Stage | None] = ContextVar("stage", default=None)


def current() -> Stage:
    """The stage in force; at first use in a process of its own, a terminal or a notebook."""
    stage = _current.get()
    if stage is None:
        _for_good.enter_context(
            use_kernels("numpy")
        )  # the process is the lesson's; hand-sized numbers need no compiler
        stage = Notebook() if "ipykernel" in sys.modules else Stage(settings=settings_of(sys.argv[1:]))
        _current.set(stage)
    return stage


@contextmanager
def on(stage: Stage) -> Iterator[Stage]:
    """Helpers inside the block show on this stage, and nothing is compiled there."""
    token = _current.set(stage)
    try:
        with use_kernels("numpy"):
            yield stage
    finally:
        _current.reset(token)


def settings_of(arguments: list[str]) -> dict[str, str]:
    """The knobs of `--set name=value`, of a lesson that runs as a script."""
    found = {}
    for i, word in enumerate(arguments):
        if word == "--set":
            name, equals, value = (arguments[i + 1] if i + 1 < len(arguments) else "").partition("=")
            if not name or not equals:
                raise LessonError("--set wants name=value, for example --set w=3")
            found[name] = value
    return found


def language(name: str) -> None:
    """Choose the language of what the helpers show from here on: "zh" or "en"."""
    if name not in ("zh", "en"):
        raise LessonError(f"language: there are 'zh' and 'en', got {name!r}")
    current().language = name


def fast() -> bool:
    """Whether this is a quick run ($MINIDL_FAST=1): a lesson that trains then takes fewer steps."""
    return os.environ.get("MINIDL_FAST", "") not in ("", "0")
