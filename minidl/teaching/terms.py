"""The glossary `lessons/TERMS.toml`: one word for one thing, and the words not to use, with the reason."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass

from minidl.teaching import library
from minidl.teaching.pairs import CODE, QUOTED
from minidl.teaching.percent import LANGUAGES, Script
from minidl.teaching.placeholders import FORMULA


@dataclass(frozen=True)
class Term:
    """One thing and its names.

    Fields:
        en, zh: the words we use.
        forbidden: word → why not, in either language.
    """

    en: str
    zh: str
    forbidden: dict[str, str]


@functools.cache
def terms() -> tuple[Term, ...]:
    """The glossary."""
    table = tomllib.loads((library.folder() / "TERMS.toml").read_text(encoding="utf-8"))
    return tuple(Term(row["en"], row["zh"], dict(row.get("forbidden", {}))) for row in table["term"])


def problems(script: Script, name: str) -> list[str]:
    """Forbidden words in the texts of a lesson, outside quotations, formulas and code."""
    found = []
    for cell in script.texts:
        for language in LANGUAGES:
            bare = cell.texts[language]
            for pattern in (QUOTED, CODE, FORMULA):
                bare = pattern.sub(" ", bare)
            for term in terms():
                for word, reason in term.forbidden.items():
                    if word.lower() in bare.lower():
                        right = term.zh if language == "zh" else term.en
                        found.append(
                            f"{name}:{cell.line}: text {cell.key!r} says {word!r}, our word is {right!r}: {reason}"
                        )
    return found
