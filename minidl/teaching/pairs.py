"""What must hold between a text and its translation, and what no text may contain."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from minidl.teaching import library, percent
from minidl.teaching.errors import LessonError
from minidl.teaching.percent import LANGUAGES, Script, TextCell
from minidl.teaching.placeholders import FORMULA, PLACEHOLDER

CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
EXERCISE = re.compile(r"\bE\d\d\.\d\b")
ROW = re.compile(r"\b00\d-[A-Z]\d+[a-z]?\b")
QUOTED = re.compile(r"^>.*$|「[^」]*」|“[^”]*”|\"[^\"\n]*\"", re.M)
DECIMAL = re.compile(r"(?<![\w.§])\d+\.\d+(?![\w.])")
SECTION = re.compile(r"§§?\s*\d[\d.–\-]*|arXiv:\S+|\bdoi\s\S+|\b[vV]ersion \S+")
TEXT_IN_FORMULA = re.compile(r"\\text\{[^{}]*\}")


def problems(script: Script, name: str) -> list[str]:
    """Everything that is wrong with the texts of a lesson, each in one sentence."""
    found = []
    for cell in script.texts:
        place = f"{name}:{cell.line}: text {cell.key!r}"
        if cell.reviewed != cell.fingerprint:
            found.append(f"{place}: the Chinese changed since the English was written: review it, then bless it")
        for what, parts in _parts(cell).items():
            missing, extra = parts["zh"] - parts["en"], parts["en"] - parts["zh"]
            if missing or extra:
                found.append(
                    f"{place}: {what} differ: only in Chinese {sorted(missing.elements())}, "
                    f"only in English {sorted(extra.elements())}"
                )
        for language in LANGUAGES:
            found += [f"{place} ({language}): {problem}" for problem in _typed(cell.texts[language])]
    return found


def _parts(cell: TextCell) -> dict[str, dict[str, Counter[str]]]:
    """The things that must be the same in both languages, counted."""
    found: dict[str, dict[str, Counter[str]]] = {}
    for language in LANGUAGES:
        text = cell.texts[language]
        without_numbers = PLACEHOLDER.sub("", text)
        parts = {
            "formulas": [TEXT_IN_FORMULA.sub(r"\\text{}", " ".join(m[0].split())) for m in FORMULA.finditer(text)],
            "placeholders": [m[0] for m in PLACEHOLDER.finditer(text)],
            "pieces of code": CODE.findall(without_numbers),
            "links": LINK.findall(text),
            "exercises": EXERCISE.findall(text),
            "rows of the errata": ROW.findall(text),
        }
        for what, values in parts.items():
            found.setdefault(what, {})[language] = Counter(values)
    return found


def _typed(text: str) -> list[str]:
    """Decimals that somebody typed instead of computing, and formulas that Markdown would not find."""
    bare = text
    for pattern in (PLACEHOLDER, FORMULA, CODE, QUOTED, EXERCISE, SECTION, LINK):
        bare = pattern.sub(" ", bare)
    found = [f"the number {m[0]} is typed; compute it: {{{{expression:.4f}}}}" for m in DECIMAL.finditer(bare)]
    if "$" in bare:
        found.append("a stray $: write \\$ for the sign, and close every formula")
    for match in re.finditer(r"\$\$", text):
        line = text[text.rfind("\n", 0, match.start()) + 1 :].split("\n", 1)[0]
        if not line.lstrip("> ").startswith("$$") and not line.rstrip().endswith("$$"):
            found.append("a displayed formula, $$…$$, is a paragraph of its own")
    return found


def bless(lesson: library.Lesson, key: str | None = None) -> list[str]:
    """Write into the English cells that they were compared with the Chinese as it now is.

    Arguments:
        lesson: which.
        key: of one text; None blesses all.

    Returns:
        The keys of the texts whose mark changed.

    Raises:
        LessonError: there is no such text, or the file is read-only.
    """
    cells = [cell for cell in lesson.script.texts if key is None or cell.key == key]
    if not cells:
        keys = ", ".join(cell.key for cell in lesson.script.texts)
        raise LessonError(f"{lesson.path.name} has no text {key!r}: there are {keys}")
    changed = [cell for cell in cells if cell.reviewed != cell.fingerprint]
    lines = lesson.path.read_text(encoding="utf-8").splitlines(keepends=True)
    for cell in changed:
        at = next(
            i
            for i, line in enumerate(lines)
            if line.startswith("# %%") and f'key="{cell.key}"' in line and 'lang="en"' in line
        )
        without = re.sub(r'\s*\bzh="[^"]*"', "", lines[at].rstrip("\n"))
        lines[at] = f'{without} zh="{cell.fingerprint}"\n'
    _write(lesson.path, "".join(lines))
    return [cell.key for cell in changed]


def _write(path: Path, text: str) -> None:
    percent.parse(text, path.name)  # never leave a file behind that cannot be read
    path.write_text(text, encoding="utf-8")
