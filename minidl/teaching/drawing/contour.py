"""Lines of equal height of a function of two numbers, and a path over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.teaching import symbols
from minidl.teaching.drawing.canvas import Drawing
from minidl.teaching.drawing.curves import LEFT, axes
from minidl.teaching.values import array_of, number


def contour(
    f: Callable[[Array, Array], Any],
    xs: tuple[float, float],
    ys: tuple[float, float],
    paths: Mapping[str, Any] | None = None,
    *,
    x_name: str = "x",
    y_name: str = "y",
    levels: int = 12,
    log: bool = False,
) -> Drawing:
    """The landscape of f and how something walks over it.

    Arguments:
        f: of two arrays of one shape (the coordinates), returns the heights.
        xs, ys: the ends of the axes.
        paths: symbol → the points of a path, shape (N, 2); what leaves the frame is cut off.
        x_name, y_name: the symbols of the axes.
        levels: how many lines.
        log: equal ratios from line to line instead of equal steps.
    """
    gx, gy = np.meshgrid(np.linspace(*xs, 61), np.linspace(*ys, 61))
    heights = array_of(f(gx, gy)).astype(float)
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    floor = max(low, high * 1e-5, 1e-12)
    at = np.geomspace(floor, high, levels + 2)[1:-1] if log else np.linspace(low, high, levels + 2)[1:-1]
    found = axes(xs, ys, x_name, y_name)
    canvas = found.canvas
    for level in at.tolist():
        steps = "".join(
            f"M{found.x(a):.1f} {found.y(b):.1f}L{found.x(c):.1f} {found.y(d):.1f}"
            for a, b, c, d in _segments(gx, gy, heights, level)
        )
        canvas.raw(f'<path d="{steps}" class="level"/>')
    text = [f"  {number(low)} … {number(high)}"]
    for i, (name, path) in enumerate((paths or {}).items()):
        points = array_of(path).astype(float)
        inside = np.isfinite(points).all(axis=1)
        inside &= (points[:, 0] >= xs[0]) & (points[:, 0] <= xs[1]) & (points[:, 1] >= ys[0]) & (points[:, 1] <= ys[1])
        leaves = int(np.argmin(inside)) if not inside.all() else len(points)
        kept = points[: max(leaves, 1)]
        canvas.path([(found.x(a), found.y(b)) for a, b in kept.tolist()], f"l{i % 6}")
        for a, b in kept[:60].tolist():
            canvas.circle(found.x(a), found.y(b), 2.5, f"c{i % 6}")
        canvas.line(LEFT + 40 + 120 * i, 12, LEFT + 58 + 120 * i, 12, f"l{i % 6}")
        canvas.symbol(LEFT + 63 + 120 * i, 16, name, "start")
        last = ", ".join(number(v) for v in points[-1].tolist())
        text.append(f"  {symbols.plain(name):>10} {len(points) - 1} → ({last})")
    return canvas.drawing("\n".join(text))


def _segments(gx: Array, gy: Array, heights: Array, level: float) -> list[tuple[float, float, float, float]]:
    """Marching squares: where a line of equal height crosses the sides of every cell of the grid."""
    found = []
    for i in range(heights.shape[0] - 1):
        for j in range(heights.shape[1] - 1):
            corners = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
            crossed = []
            for (a, b), (c, d) in zip(corners, [*corners[1:], corners[0]], strict=True):
                h0, h1 = heights[a, b], heights[c, d]
                if (h0 < level) != (h1 < level):
                    t = (level - h0) / (h1 - h0)
                    crossed.append((gx[a, b] + t * (gx[c, d] - gx[a, b]), gy[a, b] + t * (gy[c, d] - gy[a, b])))
            for k in range(0, len(crossed) - 1, 2):
                found.append((*crossed[k], *crossed[k + 1]))
    return found
