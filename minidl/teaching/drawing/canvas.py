"""SVG by hand: rectangles, lines and symbols, in colours that the page's light and dark themes define."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from minidl.teaching import symbols

TEXT = re.compile(r"\\(?:text|mathrm)\s*\{([^{}]*)\}")
SCRIPT = re.compile(r"[_^](?:\{([^{}]*)\}|(\\?\w))")


@dataclass(frozen=True)
class Drawing:
    """A drawing.

    Fields:
        svg: the element <svg>, with its words for screen readers in it.
        text: the same in characters, for a terminal.
    """

    svg: str
    text: str


@dataclass
class Canvas:
    """Collects the parts of an SVG; units are pixels at full width, y grows downwards."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, w: float, h: float, css: str, style: str = "") -> None:
        """A rectangle of a class of colour."""
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" class="{css}"{_style(style)}/>'
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, css: str = "axis", style: str = "") -> None:
        """A straight line."""
        self.parts.append(
            f'<line x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}" class="{css}"{_style(style)}/>'
        )

    def path(self, points: list[tuple[float, float]], css: str, style: str = "") -> None:
        """A line through points."""
        steps = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self.parts.append(f'<polyline points="{steps}" class="{css}"{_style(style)}/>')

    def circle(self, x: float, y: float, r: float, css: str, style: str = "") -> None:
        """A filled circle."""
        self.parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" class="{css}"{_style(style)}/>')

    def symbol(
        self, x: float, y: float, name: str, anchor: str = "middle", css: str = "symbol", size: float = 13
    ) -> None:
        """A symbol in LaTeX, as far as letters, Greek, accents, subscripts and superscripts go."""
        self.parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" class="{css}" font-size="{_n(size)}">'
            f"{_with_scripts(name, size)}</text>"
        )

    def raw(self, svg: str) -> None:
        """A piece of SVG as it is."""
        self.parts.append(svg)

    def drawing(self, text: str) -> Drawing:
        """The finished drawing; its text is also what a screen reader says."""
        return Drawing(
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" style="max-width:{_n(self.width)}px" '
            f'class="drawing" role="img" aria-label="{html.escape(" ".join(text.split()), quote=True)}">'
            f"{''.join(self.parts)}</svg>",
            text,
        )


def beside(*drawings: Drawing) -> Drawing:
    """Drawings in one row, or below each other where the page is narrow."""
    inside = "".join(f"<div>{each.svg}</div>" for each in drawings)
    return Drawing(f'<div class="beside">{inside}</div>', "\n\n".join(each.text for each in drawings))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _style(style: str) -> str:
    return f' style="{style}"' if style else ""


def _with_scripts(name: str, size: float) -> str:
    """Subscripts and superscripts as shifted, smaller pieces."""
    name = TEXT.sub(r"\1", name)
    done, at, back = [], 0, 0.0
    for match in SCRIPT.finditer(name):
        done.append(_piece(name[at : match.start()], back))
        shift = size * (0.25 if match[0][0] == "_" else -0.4)
        script = html.escape(symbols.plain(match[1] or match[2]))
        done.append(f'<tspan dy="{_n(shift + back)}" font-size="{_n(size * 0.75)}">{script}</tspan>')
        at, back = match.end(), -shift
    done.append(_piece(name[at:], back))
    return "".join(done)


def _piece(text: str, back: float) -> str:
    text = html.escape(symbols.plain(text))
    return f'<tspan dy="{_n(back)}">{text}</tspan>' if text and back else text
