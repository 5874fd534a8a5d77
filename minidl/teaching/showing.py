"""`show`: a value under its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minidl.teaching import symbols
from minidl.teaching.stage import current
from minidl.teaching.values import aligned, array_of, cells, number


@dataclass(frozen=True)
class Shown:
    """A value, copied when it was shown."""

    value: Any
    name: str
    digits: int

    def text(self, language: str) -> str:
        """One line for a number, aligned lines for an array."""
        if isinstance(self.value, str):
            return f"{self.name}: {self.value}" if self.name else self.value
        if self.value.ndim == 0:
            return f"{symbols.plain(self.name)} = {aligned(self.value, self.digits, '').strip()}"
        shape = "×".join(number(n) for n in self.value.shape)
        return f"{symbols.plain(self.name)} ({shape})\n{aligned(self.value, self.digits)}"

    def html(self) -> str:
        """The name as a formula, the numbers as a table."""
        if isinstance(self.value, str):
            return f'<div class="shown">{symbols.html(self.name)}<pre>{symbols.escape(self.value)}</pre></div>'
        return f'<div class="shown">{symbols.html(self.name)}<span>=</span>{cells(self.value, self.digits)}</div>'


def show(x: Any, name: str = "", digits: int = 4) -> None:
    r"""Show a value under its name.

    Arguments:
        x: a tensor, an array, a list, a number or a text.
        name: a symbol in LaTeX: "W_z", r"\tilde h_t"; words belong in the text cells.
        digits: how many digits after the point.

    >>> import minidl as dl
    >>> from minidl.teaching.stage import Stage, on
    >>> with on(Stage("en")):
    ...     show(dl.tensor([0.5, -1.0]), "h")
    h (2)
      0.5000      −1
    """
    current().add(Shown(x if isinstance(x, str) else array_of(x).copy(), name, digits))
