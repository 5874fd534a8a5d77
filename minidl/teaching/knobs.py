"""`knob`: a number the reader may change."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from minidl.teaching import symbols
from minidl.teaching.errors import LessonError
from minidl.teaching.stage import current
from minidl.teaching.values import number

Value = TypeVar("Value", int, float, str)


@dataclass(frozen=True)
class Knob:
    """A number or a word the reader may change.

    Fields:
        name: what `--set` calls it.
        symbol: how the page writes it, in LaTeX.
        value: the value in this run.
        default: the value when nobody changes it.
        choices: what the page offers, in order; the default is one of them.
    """

    name: str
    symbol: str
    value: Any
    default: Any
    choices: tuple[Any, ...]

    def text(self, language: str) -> str:
        """The value, and how to change it."""
        return f"{symbols.plain(self.symbol)} = {number(self.value)}   (--set {self.name}=…)"

    def html(self) -> str:
        """A slider for numbers, a menu for words; the page's script connects it with what depends on it."""
        place = self.choices.index(self.value)
        label = symbols.html(self.symbol) if not isinstance(self.default, str) else symbols.escape(self.name)
        if isinstance(self.default, str):
            options = "".join(
                f'<option value="{i}"{" selected" if i == place else ""}>{symbols.escape(choice)}</option>'
                for i, choice in enumerate(self.choices)
            )
            return f'<label class="knob">{label}<select data-knob="{self.name}">{options}</select></label>'
        values = "|".join(number(choice) for choice in self.choices)
        return (
            f'<label class="knob">{label}<input type="range" data-knob="{self.name}" data-values="{values}" min="0" '
            f'max="{len(self.choices) - 1}" step="1" value="{place}" aria-label="{symbols.plain(self.symbol)}" '
            f'aria-valuetext="{number(self.value)}"><output>{number(self.value)}</output></label>'
        )


def knob(
    name: str,
    default: Value,
    low: float | None = None,
    high: float | None = None,
    *,
    step: float | None = None,
    choices: list[Value] | None = None,
    symbol: str | None = None,
) -> Value:
    r"""A value the reader may change: by a slider on the page, by `--set name=value` in a terminal.

    The page is computed once for every value it offers, so a handful is right: six a knob, and if two knobs stand in
    one cell every pair of their values is computed.

    Arguments:
        name: a Python name.
        default: an integer, a float or a text.
        low, high, step: the values from low to high in equal steps; by default six of them for a float, all integers.
        choices: the values themselves, instead of a range.
        symbol: how the page writes it, in LaTeX; by default the name.

    Returns:
        The value in this run.

    Raises:
        LessonError: the range makes no sense, or the reader's value is not of the default's kind.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise LessonError(f"knob: {name!r} is not a Python name")
    offered: tuple[Any, ...] = _choices(name, default, low, high, step, choices)
    stage = current()
    value = default
    if name in stage.settings:
        value = _converted(name, stage.settings[name], default)
        if value not in offered:
            offered = (*offered, value) if isinstance(default, str) else tuple(sorted((*offered, value)))
    found = Knob(name, name if symbol is None else symbol, value, default, offered)
    stage.knobs[name] = found
    stage.add(found)
    return value


def _choices(
    name: str, default: Any, low: float | None, high: float | None, step: float | None, choices: list[Any] | None
) -> tuple[Any, ...]:
    if choices is None:
        if isinstance(default, str) or low is None or high is None or not low < high:
            raise LessonError(f"knob {name!r}: give low < high, or choices; got low={low}, high={high}")
        kind = type(default)
        step = step or (1 if kind is int else (high - low) / 5)
        count = math.floor((high - low) / step + 1e-9)
        choices = [kind(round(low + i * step, 10)) for i in range(count + 1)]
    if default not in choices:
        choices = [*choices, default] if isinstance(default, str) else sorted([*choices, default])
    return tuple(choices)


def _converted(name: str, text: str, default: Any) -> Any:
    try:
        value = type(default)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        kind = {"int": "an integer", "float": "a number"}[type(default).__name__]
        raise LessonError(f"knob {name!r} wants {kind}, got {text!r}") from None
