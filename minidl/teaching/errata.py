"""What the five documents say, and what is right: `lessons/errata.toml` as data, checked as it is read.

>>> row = next(row for row in load_errata() if row.id == "004-F3")
>>> row.kind, row.verdict, row.lessons
('formula', 'wrong', ('L16',))
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.teaching import library
from minidl.teaching.errors import LessonError

LANGUAGES = ("zh", "en")
KINDS = {"T": "text", "F": "formula", "C": "code", "B": "reference"}
"""The letter of an id, and what it says the row is about."""
VERDICTS = (
    "right", "imprecise", "incomplete", "wrong", "unsupported", "unverifiable", "fails", "misleads", "opinion",
)  # fmt: skip
"""What a row may say: "fails" is a program that does not run, "misleads" one that runs and does something else."""

_ID = re.compile(r"(\d{3})-([TFCB])(\d+)([a-z]?)")
_LESSON = re.compile(r"L\d\d")
_FILE = re.compile(r"(?:lessons|tests|benchmarks|minidl)/[\w./-]+\.(?:py|md|toml)(?:::test_\w+)?")
_NAME = re.compile(r"minidl(?:\.\w+)+")
_LINES = re.compile(r"\d+(?:–\d+)?(?:, \d+(?:–\d+)?)*")
_CHINESE = re.compile(r"[一-鿿]")
_PIECES = re.compile(r"\$([^$]*)\$|`([^`]*)`")


@dataclass(frozen=True)
class Section:
    """A section of a document: its number there, its heading as it stands there, and in English."""

    number: str
    zh: str
    en: str


@dataclass(frozen=True)
class Document:
    """One of the five documents.

    Attributes:
        id: "000" … "004".
        zh, en: what it is about, in our words.
        sections: those in which something was checked, in the order of the document.
    """

    id: str
    zh: str
    en: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Erratum:
    """One claim, formula, program or reference of a document, and what is right.

    Attributes:
        id: document, kind and number: "004-F3".
        section: the number of its section there.
        lines: the lines of the document, counted from 1: "83", "35–37", "46, 156".
        quote: the document's own words, shortened.
        verdict: one of `VERDICTS`.
        zh, en: the correction, or why there is none, in both languages with the same formulas.
        see: lessons (L16), files, tests (file::test) and names of the engine (minidl.nn.GRU).
    """

    id: str
    section: str
    lines: str
    quote: str
    verdict: str
    zh: str
    en: str
    see: tuple[str, ...]

    @property
    def document(self) -> str:
        """The id of its document."""
        return self.id[:3]

    @property
    def kind(self) -> str:
        """What it is about: "text", "formula", "code" or "reference"."""
        return KINDS[self.id[4]]

    @property
    def lessons(self) -> tuple[str, ...]:
        """The lessons among `see`."""
        return tuple(pointer for pointer in self.see if _LESSON.fullmatch(pointer))


def formulas(text: str) -> list[str]:
    """The LaTeX between $ and $, in order; a $ inside ` and ` is code.

    >>> formulas("the state $h_t$, `a $b$` and $x$")
    ['h_t', 'x']
    """
    return [found[1] for found in _PIECES.finditer(text) if found[1] is not None]


def pieces(text: str) -> list[tuple[str, str]]:
    """A text cut into ("text" | "formula" | "code", content).

    >>> pieces("take $x$ and `y`")
    [('text', 'take '), ('formula', 'x'), ('text', ' and '), ('code', 'y')]
    """
    cut, last = [], 0
    for found in _PIECES.finditer(text):
        cut.append(("text", text[last : found.start()]))
        cut.append(("formula", found[1]) if found[1] is not None else ("code", found[2]))
        last = found.end()
    return [piece for piece in [*cut, ("text", text[last:])] if piece[1]]


@functools.cache
def load_errata() -> tuple[Erratum, ...]:
    """Every row of `lessons/errata.toml`: document by document, section by section, in the order of the file.

    Raises:
        LessonError: the file is missing or a row is not as it should be; the sentence names the row.
    """
    return read_errata(_file())[1]


@functools.cache
def load_documents() -> tuple[Document, ...]:
    """The five documents with their sections.

    Raises:
        LessonError: as `load_errata`.
    """
    return read_errata(_file())[0]


def read_errata(path: Path) -> tuple[tuple[Document, ...], tuple[Erratum, ...]]:
    """Read and check one file.

    Arguments:
        path: a TOML file with [[document]] and [[erratum]] tables.

    Returns:
        Its documents, and its rows sorted by document and section.

    Raises:
        LessonError: what is wrong first, in one sentence with the row's id.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LessonError(f"{path} does not exist: the installation lacks its errata") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LessonError(f"{path.name} is not TOML: {error}") from None
    unknown = set(content) - {"document", "erratum"}
    if unknown:
        raise LessonError(f"{path.name}: unknown table {sorted(unknown)[0]!r}, expected document and erratum")
    for name, tables in content.items():
        if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
            raise LessonError(f"{path.name}: {name} must be tables, each under [[{name}]]")
    documents = tuple([_document(table) for table in content.get("document", [])])
    rows = [_erratum(table) for table in content.get("erratum", [])]
    for what, ids in (("document", [d.id for d in documents]), ("erratum", [row.id for row in rows])):
        twice = [name for name, count in Counter(ids).items() if count > 1]
        if twice:
            raise LessonError(f"{path.name}: {what} {twice[0]} is there twice")
    places = {(d.id, s.number): place for place, (d, s) in enumerate((d, s) for d in documents for s in d.sections)}
    for row in rows:
        if (row.document, row.section) not in places:
            raise LessonError(f"{row.id}: document {row.document} has no section {row.section!r} in {path.name}")
    return documents, tuple(sorted(rows, key=lambda row: places[row.document, row.section]))


def _file() -> Path:
    return library.folder() / "errata.toml"


def _fields(what: str, table: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The table, if it has exactly these fields, none of them empty."""
    for name in names:
        if not table.get(name):
            raise LessonError(f"{what}: the field {name} is missing or empty")
    extra = set(table) - set(names)
    if extra:
        raise LessonError(f"{what}: unknown field {sorted(extra)[0]!r}, expected {', '.join(names)}")
    for name in names:
        if not isinstance(table[name], list if name in ("see", "sections") else str):
            raise LessonError(f"{what}: the field {name} has the type {type(table[name]).__name__}")
    return {name: value.strip() if isinstance(value, str) else value for name, value in table.items()}


def _document(table: Any) -> Document:
    fields = _fields(f"document {table.get('id', '?')}", table, ("id", "zh", "en", "sections"))
    for section in fields["sections"]:
        if not (isinstance(section, list) and len(section) == 3 and all(isinstance(text, str) for text in section)):
            raise LessonError(f"document {fields['id']}: a section is [number, heading, heading in English]: {section}")
    sections = tuple([Section(*section) for section in fields.pop("sections")])
    return Document(**fields, sections=sections)


def _erratum(table: Any) -> Erratum:
    what = f"erratum {table.get('id', '?')}"
    fields = _fields(what, table, ("id", "section", "lines", "quote", "verdict", "zh", "en", "see"))
    row = Erratum(**{**fields, "see": tuple(fields["see"])})
    if not _ID.fullmatch(row.id):
        raise LessonError(f"{what}: an id is document, kind and number, such as 004-F3 or 001-C2a")
    if not _LINES.fullmatch(row.lines):
        raise LessonError(f"{row.id}: lines are numbers such as 83, 35–37 or 46, 156, got {row.lines!r}")
    if row.verdict not in VERDICTS:
        raise LessonError(f"{row.id}: unknown verdict {row.verdict!r}, choose one of {', '.join(VERDICTS)}")
    for name in ("quote", *LANGUAGES):
        _check_marks(row.id, name, getattr(row, name))
    if not _CHINESE.search(row.zh):
        raise LessonError(f"{row.id}: zh holds no Chinese: {row.zh!r}")
    zh, en = (Counter(formulas(text)) for text in (row.zh, row.en))
    if zh != en:
        differing = sorted((zh - en) + (en - zh))[0]
        raise LessonError(f"{row.id}: zh and en must hold the same formulas, but ${differing}$ is in one of them only")
    for pointer in row.see:
        if not isinstance(pointer, str) or not any(form.fullmatch(pointer) for form in (_LESSON, _FILE, _NAME)):
            raise LessonError(
                f"{row.id}: {pointer!r} is neither a lesson (L16) nor a file (lessons/articles/004-C1.py), "
                "a test (tests/…py::test_…) or a name (minidl.nn.GRU)"
            )
    return row


def _check_marks(row: str, field: str, text: str) -> None:
    for mark in "$`":
        rest = "".join(content for kind, content in pieces(text) if kind == "text")
        if mark in rest:
            raise LessonError(f"{row}: {field} opens a {mark} that it does not close: {text!r}")
    for formula in formulas(text):
        if not formula.strip() or formula.count("{") != formula.count("}"):
            raise LessonError(f"{row}: {field} holds the formula ${formula}$, whose braces do not match")
