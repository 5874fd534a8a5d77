"""The percent script of a lesson: header, text cells in two languages, code cells.

    # /// lesson            a TOML header: title, aim, documents, errata
    # title.zh = "…"
    # ///
    # %% [markdown] key="rule" lang="zh"
    # 中文
    # %% [markdown] key="rule" lang="en" zh="1a2b3c4d"
    # English
    # %% tags=["exercise"]
    code

An English cell carries a hash of the Chinese cell it was translated from, so that the two cannot drift in silence.
"""

from __future__ import annotations

import ast
import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from minidl.teaching.errors import LessonError

LANGUAGES = ("zh", "en")
MARK = re.compile(r"# %%(?: \[(?P<kind>\w+)\])?(?P<attributes>.*)")
ATTRIBUTE = re.compile(r'\s*(\w+)=("[^"]*"|\[[^\]]*\])')


@dataclass(frozen=True)
class TextCell:
    """One text in its two languages.

    Fields:
        key: its name inside the lesson.
        texts: the Markdown source for "zh" and for "en".
        reviewed: the hash of the Chinese text that the English was last compared with.
        line: the first line in the file, counted from 1.
    """

    key: str
    texts: dict[str, str]
    reviewed: str
    line: int

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the Chinese text."""
        return hashlib.sha256(self.texts["zh"].encode()).hexdigest()[:8]


@dataclass(frozen=True)
class CodeCell:
    """One piece of program.

    Fields:
        source: the code.
        tags: "setup" and "figure" are folded on the page, "exercise" holds something for the reader to fill in.
        line: the first line of the code in the file, counted from 1.
    """

    source: str
    tags: tuple[str, ...]
    line: int


Cell: TypeAlias = TextCell | CodeCell


@dataclass(frozen=True)
class Script:
    """A lesson as it is written: the header's table and the cells in order."""

    header: dict[str, Any]
    cells: tuple[Cell, ...]

    @property
    def texts(self) -> list[TextCell]:
        """The text cells in order."""
        return [cell for cell in self.cells if isinstance(cell, TextCell)]

    @property
    def code(self) -> list[CodeCell]:
        """The code cells in order."""
        return [cell for cell in self.cells if isinstance(cell, CodeCell)]


def read(path: Path) -> Script:
    """Read the percent script of a lesson.

    Raises:
        LessonError: the file is not UTF-8, or its header, a mark or a pair is not what it should be; the message
            names file and line.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise LessonError(f"{path.name}: a lesson is UTF-8 text, byte {error.start} is not") from None


def parse(source: str, name: str = "lesson") -> Script:
    """Read a percent script from its text; `name` is what messages call it."""
    lines = source.splitlines()
    header, at = _header(lines, name)
    marks = [i for i in range(at, len(lines)) if lines[i].startswith("# %%")]
    cells: list[Cell] = []
    waiting: tuple[str, str, int] | None = None
    for start, stop in zip(marks, [*marks[1:], len(lines)], strict=True):
        kind, attributes = _mark(lines[start], f"{name}:{start + 1}")
        body = lines[start + 1 : stop]
        while body and not body[-1].strip():
            body.pop()
        if waiting is not None and (kind != "markdown" or attributes.get("lang") != "en"):
            raise LessonError(f"{name}:{start + 1}: the text {waiting[0]!r} has no English cell right after it")
        if kind == "markdown":
            text, key = _uncommented(body, name, start + 2), str(attributes.get("key", ""))
            if attributes.get("lang") == "zh":
                waiting = (key, text, start + 1)
            elif attributes.get("lang") != "en" or waiting is None or waiting[0] != key or not key:
                raise LessonError(
                    f'{name}:{start + 1}: a text is a cell with key and lang="zh", then one with the same key, '
                    f'lang="en" and zh="…"; got {lines[start]!r}'
                )
            else:
                reviewed = str(attributes.get("zh", ""))
                cells.append(TextCell(key, {"zh": waiting[1], "en": text}, reviewed, waiting[2]))
                waiting = None
        else:
            skipped = next((i for i, line in enumerate(body) if line.strip()), len(body))
            if body[skipped:]:
                tags = tuple(attributes.get("tags", ()))
                cells.append(CodeCell("\n".join(body[skipped:]) + "\n", tags, start + 2 + skipped))
    if waiting is not None:
        raise LessonError(f"{name}:{waiting[2]}: the text {waiting[0]!r} has no English cell")
    keys = [cell.key for cell in cells if isinstance(cell, TextCell)]
    for key in keys:
        if keys.count(key) > 1:
            raise LessonError(f"{name}: two texts have the key {key!r}")
    return Script(header, tuple(cells))


def _header(lines: list[str], name: str) -> tuple[dict[str, Any], int]:
    try:
        start, stop = lines.index("# /// lesson"), lines.index("# ///")
    except ValueError:
        raise LessonError(f"{name}: a lesson begins with a header between '# /// lesson' and '# ///'") from None
    text = "\n".join(line[2:] for line in lines[start + 1 : stop])
    try:
        return tomllib.loads(text), stop + 1
    except tomllib.TOMLDecodeError as error:
        raise LessonError(f"{name}: the header is not TOML: {error}") from None


def _mark(line: str, place: str) -> tuple[str, dict[str, Any]]:
    match = MARK.fullmatch(line)
    rest = match["attributes"] if match else line
    attributes = {key: ast.literal_eval(value) for key, value in ATTRIBUTE.findall(rest)}
    if match is None or ATTRIBUTE.sub("", rest).strip():
        raise LessonError(f"{place}: cannot read the mark {line!r}")
    return match["kind"] or "code", attributes


def _uncommented(body: list[str], name: str, line: int) -> str:
    for i, text in enumerate(body):
        if text != "#" and not text.startswith("# "):
            raise LessonError(f"{name}:{line + i}: every line of a text begins with '# ', got {text!r}")
    return "\n".join(text[2:] for text in body).strip("\n")
