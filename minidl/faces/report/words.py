"""What a page says, in both languages at once; which is seen is for the page to switch."""

from __future__ import annotations

import functools
import html
import math
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "zh")


@functools.cache
def strings() -> dict[str, dict[str, str]]:
    """Every sentence, by key and language."""
    return tomllib.loads((files("minidl.faces.report") / "strings.toml").read_text(encoding="utf-8"))


def say(key: str, language: str, **values: object) -> str:
    """A sentence as plain text; a value that is a mapping has a text for each language."""
    chosen = {name: x[language] if isinstance(x, Mapping) else x for name, x in values.items()}
    return strings()[key][language].format(**chosen)


def both(key: str, **values: object) -> str:
    """A sentence as HTML, once a language."""
    return "".join(
        f'<span lang="{language}">{html.escape(say(key, language, **values))}</span>' for language in LANGUAGES
    )


def paragraph(key: str, css: str = "", **values: object) -> str:
    """The same as a paragraph."""
    kind = f' class="{css}"' if css else ""
    return f"<p{kind}>{both(key, **values)}</p>"


def of_thousand(share: float) -> str:
    """A share as a number out of 1,000.

    >>> of_thousand(0.0104), of_thousand(0.0004), of_thousand(0.0)
    ('10', '0.4', '0')
    """
    return f"{1000 * share:.1g}" if 0 < share < 0.001 else f"{1000 * share:,.0f}"


def percent(share: float, digits: int = 2) -> str:
    """A share as a number in percent, without the sign; a dash where there is none."""
    return "–" if not math.isfinite(share) else f"{100 * share:.{digits}f}"
