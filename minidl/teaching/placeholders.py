"""Numbers in prose: `{{expression:format}}` is computed in the lesson's own name space, so none is ever typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from minidl.teaching.errors import LessonError
from minidl.teaching.values import formatted

PLACEHOLDER = re.compile(r"\{\{((?:[^{}]|\{[^{}]*\})+)\}\}")
EXPONENT = re.compile(r"(?<=\d)e(-?\d+)")
FORMULA = re.compile(r"(?<!\\)\$\$.+?(?<!\\)\$\$|(?<!\\)\$.+?(?<!\\)\$", re.S)


def fill(text: str, names: Mapping[str, Any], where: str = "text") -> str:
    """The text with every placeholder computed.

    Arguments:
        text: Markdown with placeholders; inside a formula a minus is "-", elsewhere "−".
        names: the lesson's name space at that point.
        where: what an error message calls the text.

    Raises:
        LessonError: an expression cannot be computed; the message quotes it.

    >>> fill("$L = {{loss:.1f}}$ at {{(1, -2)}}", {"loss": 0.25})
    '$L = 0.2$ at (1, −2)'
    """
    inside = [match.span() for match in FORMULA.finditer(text)]

    def value(match: re.Match[str]) -> str:
        try:
            expression, spec = split(match[1])
            found = formatted(eval(compile(expression, where, "eval"), dict(names)), spec)
        except Exception as error:
            raise LessonError(f"{where}: cannot compute {match[0]}: {type(error).__name__}: {error}") from error
        in_formula = any(start < match.start() < stop for start, stop in inside)
        return EXPONENT.sub(r"\\times 10^{\1}", found.replace("−", "-")) if in_formula else found

    return PLACEHOLDER.sub(value, text)


def split(source: str) -> tuple[ast.Expression, str]:
    """The expression and the format of a placeholder, as Python's f-strings divide them."""
    tree = ast.parse(f"f'''{{{source.strip()}}}'''", mode="eval")
    place = tree.body.values[0] if isinstance(tree.body, ast.JoinedStr) and len(tree.body.values) == 1 else None
    if not isinstance(place, ast.FormattedValue):
        raise LessonError(f"not an expression: {source!r}")
    spec = place.format_spec
    literal = (
        "".join(str(part.value) for part in spec.values if isinstance(part, ast.Constant))
        if isinstance(spec, ast.JoinedStr)
        else ""
    )
    return ast.Expression(place.value), literal
