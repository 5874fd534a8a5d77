"""Curves and points on two axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.teaching import symbols
from minidl.teaching.drawing.canvas import Canvas, Drawing
from minidl.teaching.values import array_of, number

WIDTH, HEIGHT, LEFT, BELOW, ABOVE, RIGHT = 520.0, 300.0, 52.0, 40.0, 26.0, 16.0


@dataclass(frozen=True)
class Axes:
    """Two scales and where they lie on the canvas."""

    canvas: Canvas
    xs: tuple[float, float]
    ys: tuple[float, float]
    log: bool
    log_x: bool = False

    def x(self, value: float) -> float:
        """Pixels of a value on the horizontal axis."""
        if self.log_x:
            value = math.log10(max(value, 10.0 ** self.xs[0]))
        return LEFT + (self.canvas.width - LEFT - RIGHT) * (value - self.xs[0]) / (self.xs[1] - self.xs[0])

    def y(self, value: float) -> float:
        """Pixels of a value on the vertical axis."""
        if self.log:
            value = math.log10(max(value, 10.0 ** self.ys[0]))
        share = (value - self.ys[0]) / (self.ys[1] - self.ys[0])
        return self.canvas.height - BELOW - (self.canvas.height - BELOW - ABOVE) * share


def axes(
    xs: tuple[float, float],
    ys: tuple[float, float],
    x: str,
    y: str,
    log: bool = False,
    square: bool = False,
    log_x: bool = False,
) -> Axes:
    """A canvas with two labelled axes.

    Arguments:
        xs, ys: the ends of the scales; with `log`, ys are powers of ten.
        x, y: the symbols of the axes.
        log: the vertical scale is logarithmic.
        square: one unit is as long on both axes.
        log_x: the horizontal scale is logarithmic, and xs are powers of ten.
    """
    inside = WIDTH - LEFT - RIGHT
    height = inside * (ys[1] - ys[0]) / (xs[1] - xs[0]) + ABOVE + BELOW if square else HEIGHT
    found = Axes(Canvas(WIDTH, height), xs, ys, log, log_x)
    canvas = found.canvas
    for value in _powers_of_two(xs) if log_x else ticks(*xs):
        canvas.line(found.x(value), height - BELOW, found.x(value), ABOVE, "grid")
        canvas.symbol(found.x(value), height - BELOW + 16, _tick(value), css="digits", size=11)
    for value in ticks(*ys):
        at = found.y(10.0**value if log else value)
        canvas.line(LEFT, at, WIDTH - RIGHT, at, "grid")
        if not log or float(value).is_integer():
            canvas.symbol(LEFT - 6, at + 4, f"10^{{{round(value)}}}" if log else _tick(value), "end", "digits", 11)
    canvas.line(LEFT, height - BELOW, WIDTH - RIGHT, height - BELOW)
    canvas.line(LEFT, height - BELOW, LEFT, ABOVE)
    canvas.symbol(WIDTH - RIGHT, height - 6, x, "end")
    canvas.symbol(4, 14, y, "start")
    return found


def curves(
    x: Any,
    ys: Mapping[str, Any],
    *,
    x_name: str = "x",
    y_name: str = "",
    log: bool | str = False,
    limits: tuple[float, float] | None = None,
    mark: float | None = None,
) -> Drawing:
    """Lines over a common axis.

    Arguments:
        x: the places, one axis.
        ys: symbol → the values at these places, or a function of them.
        x_name, y_name: the symbols of the axes.
        log: the logarithmic scales: True or "y" the vertical one, "xy" both.
        limits: the ends of the vertical scale; what lies outside is cut off.
        mark: a vertical line at this place.
    """
    at = array_of(x).astype(float)
    lines = {name: _values(y, at) for name, y in ys.items()}
    if log not in (False, True, "y", "xy"):
        raise ValueError(f'curves: log is True, "y" or "xy", got {log!r}')
    across = _ends(np.log10(at)) if log == "xy" else _ends(at)
    upwards = limits or _limits(list(lines.values()), bool(log))
    found = axes(across, upwards, x_name, y_name, bool(log), log_x=log == "xy")
    canvas = found.canvas
    if mark is not None:
        canvas.line(found.x(mark), ABOVE, found.x(mark), HEIGHT - BELOW, "mark")
    text = []
    for i, (name, values) in enumerate(lines.items()):
        piece: list[tuple[float, float]] = []
        for a, value in zip(at.tolist(), values.tolist(), strict=True):
            if math.isfinite(value):
                piece.append((found.x(a), found.y(value)))
            else:
                _draw(canvas, piece, f"l{i % 6}")
                piece = []
        _draw(canvas, piece, f"l{i % 6}")
        canvas.line(LEFT + 40 + 110 * i, 12, LEFT + 58 + 110 * i, 12, f"l{i % 6}")
        canvas.symbol(LEFT + 63 + 110 * i, 16, name, "start")
        text.append(f"  {symbols.plain(name):>10} {spark(values)}  {_span(values)}")
    text.append(f"  {symbols.plain(x_name):>10} {number(at[0])} … {number(at[-1])}")
    return canvas.drawing("\n".join(text))


def points(
    groups: Mapping[str, Any], *, x_name: str = "x", y_name: str = "y", lines: Mapping[str, Any] | None = None
) -> Drawing:
    """Points in the plane, one unit as long on both axes.

    Arguments:
        groups: symbol → array of points, shape (N, 2); each group has a colour and a form.
        x_name, y_name: the symbols of the axes.
        lines: symbol → two or more points to be joined, shape (N, 2).
    """
    arrays = {name: array_of(value).reshape(-1, 2).astype(float) for name, value in groups.items()}
    joined = {name: array_of(value).reshape(-1, 2).astype(float) for name, value in (lines or {}).items()}
    every = np.concatenate([*arrays.values(), *joined.values()])
    found = axes(_padded(every[:, 0]), _padded(every[:, 1]), x_name, y_name, square=True)
    canvas, text = found.canvas, []
    for i, (name, array) in enumerate(joined.items()):
        canvas.path([(found.x(a), found.y(b)) for a, b in array.tolist()], f"l{(i + len(arrays)) % 6}")
        canvas.symbol(found.x(array[-1, 0]) + 6, found.y(array[-1, 1]) - 6, name, "start")
    for i, (name, array) in enumerate(arrays.items()):
        for a, b in array.tolist():
            (canvas.circle if i % 2 == 0 else _square(canvas))(found.x(a), found.y(b), 5, f"c{i % 6}")
        canvas.symbol(LEFT + 50 + 90 * i, 16, name, "start")
        (canvas.circle if i % 2 == 0 else _square(canvas))(LEFT + 40 + 90 * i, 11, 5, f"c{i % 6}")
        shown = ", ".join(f"({number(a, '.2f')}, {number(b, '.2f')})" for a, b in array[:8].tolist())
        text.append(f"  {symbols.plain(name):>10} {shown}{' …' if len(array) > 8 else ''}")
    return canvas.drawing("\n".join(text))


def _draw(canvas: Canvas, points: list[tuple[float, float]], css: str) -> None:
    """A line through points, cut off at the upper and lower edge of the frame."""
    top, bottom = ABOVE, canvas.height - BELOW
    piece: list[tuple[float, float]] = []
    for k, (x, y) in enumerate(points):
        if k:
            x0, y0 = points[k - 1]
            inside, was_inside = top <= y <= bottom, top <= y0 <= bottom
            crossed = [
                (x0 + (edge - y0) / (y - y0) * (x - x0), edge) for edge in (top, bottom) if (y0 < edge) != (y < edge)
            ]
            crossed.sort(key=lambda at: abs(at[1] - y0))
            if inside != was_inside or (not inside and len(crossed) == 2):
                piece += crossed
            if piece and not inside:
                canvas.path(piece, css)
                piece = []
        if top <= y <= bottom:
            piece.append((x, y))
    if piece:
        canvas.path(piece, css)


def _square(canvas: Canvas) -> Callable[[float, float, float, str], None]:
    return lambda x, y, r, css: canvas.rect(x - r, y - r, 2 * r, 2 * r, css)


def spark(values: Array, width: int = 32) -> str:
    """A curve in one line of characters."""
    marks = "▁▂▃▄▅▆▇█"
    picked = values[np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)]
    finite = picked[np.isfinite(picked)]
    if not finite.size:
        return "·" * len(picked)
    low, high = float(finite.min()), float(finite.max())
    return "".join(
        marks[round(7 * (v - low) / (high - low or 1))] if math.isfinite(v) else "·" for v in picked.tolist()
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between low and high, about as many as wanted."""
    step = 10.0 ** math.floor(math.log10((high - low) / wanted))
    step *= min((1, 2, 5, 10), key=lambda factor: abs((high - low) / (factor * step) - wanted))
    return [round(step * i, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers_of_two(xs: tuple[float, float]) -> list[float]:
    """Ticks of a logarithmic horizontal scale: about six powers of two between powers of ten."""
    low, high = (math.log2(10.0**end) for end in xs)
    every = max(1, round((high - low) / 6))
    return [2.0**k for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, every)]


def _values(y: Any, at: Array) -> Array:
    return array_of(y(at) if callable(y) else y).astype(float)


def _ends(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _padded(values: Array) -> tuple[float, float]:
    low, high = _ends(values)
    return low - 0.08 * (high - low), high + 0.08 * (high - low)


def _limits(lines: list[Array], log: bool) -> tuple[float, float]:
    every = np.concatenate([values[np.isfinite(values)] for values in lines])
    if log:
        every = np.log10(every[every > 0])
        return math.floor(every.min()), max(math.ceil(every.max()), math.floor(every.min()) + 1)
    low, high = _ends(every)
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _span(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return f"{number(finite[0])} → {number(finite[-1])}" if finite.size else "inf"


def _tick(value: float) -> str:
    return number(value, ".6g")
