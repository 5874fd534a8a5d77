"""Figures of matplotlib as drawings."""

from __future__ import annotations

import io
import re
from typing import Any

from minidl.teaching.drawing.canvas import Drawing


def from_matplotlib(figure: Any) -> Drawing:
    """A matplotlib figure as SVG, its text kept as text; it should carry symbols and numbers only."""
    import matplotlib  # an optional library of the extra `lessons`

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "minidl"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'\s(xmlns(:\w+)?|width|height)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    words = " ".join(
        text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text")) if text.get_text()
    )
    return Drawing(
        svg.replace("<svg", '<svg class="drawing" role="img"', 1).replace("xlink:href", "href"), f"  {words}"
    )
