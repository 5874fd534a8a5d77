"""Bars: a few numbers beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl.teaching import symbols
from minidl.teaching.drawing.canvas import Canvas, Drawing
from minidl.teaching.values import array_of, number

ROW, RIGHT, BAR, LETTER = 22.0, 72.0, 300.0, 7.0


def bars(
    values: Mapping[str, Any],
    low: float | None = None,
    high: float | None = None,
    labels: list[str] | None = None,
    digits: int = 4,
) -> Drawing:
    """Horizontal bars in groups.

    Arguments:
        values: symbol → number or array of one axis; each group has a colour.
        low, high: the ends of the scale; by default 0 and the largest number, or its negative where one is negative.
        labels: symbols for the elements of every group, instead of their index.
        digits: how many digits after the point; none where all the numbers are integers.
    """
    groups = {name: array_of(value).reshape(-1).astype(float).tolist() for name, value in values.items()}
    every = [abs(v) for group in groups.values() for v in group if abs(v) < float("inf")] or [1.0]
    whole = all(float(v).is_integer() for group in groups.values() for v in group)
    spec = ".0f" if whole else f".{digits}f"
    high = high if high is not None else max(max(every), 1e-12)
    low = low if low is not None else (-high if any(v < 0 for group in groups.values() for v in group) else 0.0)
    names = {name: _names(name, len(group), labels, len(groups)) for name, group in groups.items()}
    count = sum(len(group) for group in groups.values())
    left = 16 + LETTER * max((len(symbols.plain(each)) for group in names.values() for each in group), default=0)
    canvas = Canvas(left + BAR + RIGHT, 12 + ROW * count + 8 * (len(groups) - 1))
    zero = left + BAR * (min(max(0.0, low), high) - low) / (high - low)
    y, lines = 6.0, []
    for g, (name, group) in enumerate(groups.items()):
        for i, value in enumerate(group):
            shown = names[name][i]
            end = left + BAR * (min(max(value, low), high) - low) / (high - low)
            canvas.rect(min(zero, end), y + 3, max(abs(end - zero), 1), ROW - 6, f"c{g % 6}")
            canvas.symbol(left - 8, y + ROW - 7, shown, "end")
            canvas.symbol(left + BAR + 8, y + ROW - 7, number(value, spec), "start", "digits")
            filled = "█" * round(30 * abs(end - zero) / BAR)
            lines.append(f"  {symbols.plain(shown):>10} {number(value, spec):>9} {filled}")
            y += ROW
        y += 8
    canvas.line(zero, 2, zero, canvas.height - 2)
    return canvas.drawing("\n".join(lines))


def _names(name: str, count: int, labels: list[str] | None, groups: int) -> list[str]:
    """What stands before the bars of a group: its symbol, with an index where there are several."""
    if labels and groups == 1:
        return labels
    return [name] if count == 1 else [f"{name}[{labels[i] if labels else i}]" for i in range(count)]
