"""Curves as SVG, in colours that the page's light and dark themes define."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from minidl.backend import Array

WIDTH, HEIGHT = 520.0, 340.0
LEFT, RIGHT, ABOVE, BELOW = 72.0, 26.0, 30.0, 48.0
MOST_POINTS: Final = 240
"""Of a longer curve only so many points are drawn; a step of less than two pixels cannot be seen."""


@dataclass(frozen=True)
class Scale:
    """From values to shares of an axis.

    Attributes:
        low, high: the ends.
        log: equal factors are equally long.
        named: values that are labelled; by default round ones.
    """

    low: float
    high: float
    log: bool = False
    named: tuple[float, ...] = ()

    def __call__(self, value: float) -> float:
        """0 at `low`, 1 at `high`; beyond them, the end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Where lines of the grid stand: powers of ten, or about five round numbers."""
        if self.named:
            return list(self.named)
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**k for k in range(first, last + 1)]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def percent(value: float) -> str:
    """A share as a label of an axis.

    >>> [percent(x) for x in (0.0001, 0.01, 0.5, 1.0)]
    ['0.01 %', '1 %', '50 %', '100 %']
    """
    return f"{100 * value:.6g} %"


def plain(value: float) -> str:
    """A number as a label of an axis."""
    return f"{value:.6g}"


@dataclass
class Plot:
    """Collects the parts of a drawing with two axes.

    Attributes:
        x, y: the scales.
        title: for those who cannot see it.
        x_percent, y_percent: whether labels are shares in percent.
    """

    x: Scale
    y: Scale
    title: str
    x_percent: bool = True
    y_percent: bool = True
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for value in self.x.ticks():
            at = self.across(value)
            label = percent(value) if self.x_percent else plain(value)
            self.parts.append(f'<line class="grid" x1="{_n(at)}" x2="{_n(at)}" y1="{ABOVE}" y2="{HEIGHT - BELOW}"/>')
            self.text(at, HEIGHT - BELOW + 18, label, "middle")
        for value in self.y.ticks():
            at = self.up(value)
            label = percent(value) if self.y_percent else plain(value)
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_n(at)}" y2="{_n(at)}"/>')
            self.text(LEFT - 7, at + 4, label, "end")
        self.parts.append(
            f'<path class="axis" d="M{LEFT} {ABOVE}V{HEIGHT - BELOW}H{WIDTH - RIGHT}"/>',
        )

    def across(self, value: float) -> float:
        """Pixels from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * self.x(value)

    def up(self, value: float) -> float:
        """Pixels from above."""
        return HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * self.y(value)

    def line(self, x: Array, y: Array, css: str, steps: bool = False) -> None:
        """A curve through points; with `steps`, each value holds until the next point."""
        keep = np.isfinite(x) & np.isfinite(y)
        x, y = np.asarray(x)[keep], np.asarray(y)[keep]
        if len(x) > MOST_POINTS:
            some = _some([self.x(float(value)) for value in x], [self.y(float(value)) for value in y])
            x, y = x[some], y[some]
        path, before = [], None
        for a, b in zip(x.tolist(), y.tolist(), strict=True):
            px, py = self.across(a), self.up(b)
            if before is None:
                path.append(f"M{_n(px)} {_n(py)}")
            elif steps:
                path.append(f"H{_n(px)}V{_n(py)}")
            else:
                path.append(f"L{_n(px)} {_n(py)}")
            before = px
        self.parts.append(f'<path class="curve {css}" d="{"".join(path)}"/>')

    def upright(self, value: float, label: str, css: str = "mark") -> None:
        """A line from bottom to top at a value of the x axis, named at its top."""
        at = self.across(value)
        self.parts.append(f'<line class="{css}" x1="{_n(at)}" x2="{_n(at)}" y1="{ABOVE}" y2="{HEIGHT - BELOW}"/>')
        left = at > (LEFT + WIDTH - RIGHT) / 2
        self.text(at + (-6 if left else 6), ABOVE - 11, label, "end" if left else "start", css)

    def dot(self, x: float, y: float, css: str) -> None:
        """A ring at a point."""
        self.parts.append(f'<circle class="{css}" cx="{_n(self.across(x))}" cy="{_n(self.up(y))}" r="5"/>')

    def bar(self, low: float, high: float, y: float, css: str) -> None:
        """A bar from the x axis up to `y`."""
        left, right, top = self.across(low), self.across(high), self.up(y)
        self.parts.append(
            f'<rect class="{css}" x="{_n(left + 1)}" y="{_n(top)}" width="{_n(max(0.0, right - left - 2))}" '
            f'height="{_n(HEIGHT - BELOW - top)}"/>'
        )

    def text(self, x: float, y: float, words: str, anchor: str, css: str = "", language: str = "") -> None:
        """A label; x and y are pixels. Of labels in a language, those of the page's are seen."""
        kind = f"{anchor} {css}".strip() + (f'" lang="{language}' if language else "")
        self.parts.append(f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}">{html.escape(words)}</text>')

    def name_axes(self, x: str | Mapping[str, str], y: str | Mapping[str, str]) -> None:
        """What the axes mean: a symbol, or a text by language."""
        for names, across, up, anchor in ((x, WIDTH - RIGHT, HEIGHT - 8, "end"), (y, LEFT, ABOVE - 11, "start")):
            for language, words in names.items() if isinstance(names, Mapping) else [("", names)]:
                self.text(across, up, words, anchor, "name", language)

    def svg(self) -> str:
        """The element."""
        return (
            f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{html.escape(self.title)}">'
            + "".join(self.parts)
            + "</svg>"
        )


def _some(x: Sequence[float], y: Sequence[float]) -> Array:
    """Indices of points at about equal distances along a curve, in shares of the axes; its ends are among them."""
    steps = np.abs(np.diff(np.asarray(x))) + np.abs(np.diff(np.asarray(y)))
    along = np.r_[0.0, np.cumsum(steps)]
    return np.unique(
        np.r_[0, np.searchsorted(along, np.linspace(0, along[-1], MOST_POINTS)).clip(0, len(x) - 1), len(x) - 1]
    )


def _n(value: float) -> str:
    """A coordinate with as many digits as can be seen."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
