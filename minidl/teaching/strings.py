"""Labels in two languages, from `lessons/strings.toml`: prose in code would know only one."""

from __future__ import annotations

import functools
import html
import os
import tomllib

from minidl.teaching import library
from minidl.teaching.errors import LessonError
from minidl.teaching.percent import LANGUAGES


@functools.cache
def table() -> dict[str, dict[str, str]]:
    """Every label: key → {"zh": …, "en": …}."""
    return tomllib.loads((library.folder() / "strings.toml").read_text(encoding="utf-8"))


def label(key: str, language: str, **values: object) -> str:
    """One label as plain text, its {places} filled."""
    try:
        return table()[key][language].format(**values)
    except KeyError:
        raise LessonError(f"strings.toml has no label {key!r} in {language!r}") from None


def both(key: str, **values: object) -> str:
    """One label as HTML that holds both languages; the page shows one of them."""
    return spans({language: label(key, language, **values) for language in LANGUAGES})


def spans(texts: dict[str, str]) -> str:
    """A text in two languages as HTML spans."""
    return "".join(f'<span lang="{language}">{html.escape(texts[language])}</span>' for language in LANGUAGES)


def system_language() -> str:
    """The reader's language: $MINIDL_LANG, otherwise what $LANG says, otherwise English."""
    chosen = os.environ.get("MINIDL_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or "en"
    return "zh" if chosen.lower().startswith("zh") else "en"
