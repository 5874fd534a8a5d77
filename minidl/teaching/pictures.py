"""`picture`: a drawing, with words for those who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minidl.teaching import drawing
from minidl.teaching.drawing import Drawing
from minidl.teaching.stage import current
from minidl.teaching.values import array_of


@dataclass(frozen=True)
class Picture:
    """A drawing on a stage."""

    drawing: Drawing

    def text(self, language: str) -> str:
        """The drawing in characters."""
        return self.drawing.text

    def html(self) -> str:
        """The drawing as SVG."""
        return f"<figure>{self.drawing.svg}</figure>"


def picture(obj: Any) -> None:
    """Show a drawing.

    Arguments:
        obj: a drawing of `minidl.teaching` (`bars`, `curves`, `heat`, `image`, `contour`, `points`, `graph`), a
            matplotlib figure, or an array: of one axis as bars, of two as a heat map.
    """
    current().add(Picture(_drawn(obj)))


def _drawn(obj: Any) -> Drawing:
    if isinstance(obj, Drawing):
        return obj
    if hasattr(obj, "savefig"):
        return drawing.from_matplotlib(obj)
    array = array_of(obj)
    return drawing.bars({"x": array}) if array.ndim == 1 else drawing.heat(array)
