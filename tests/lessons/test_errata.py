"""Every row of the errata is there as data, in two languages, and points at things that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from minidl.teaching import errata
from minidl.teaching.errata import Erratum, formulas, load_documents, load_errata, pieces, read_errata
from minidl.teaching.errors import LessonError

ROOT = Path(__file__).parents[2]
CURRICULUM = ["L01", "L02", "L03", "L04", "L06", "L07", "L09", "L10", "L13", "L15", "L16", "L17", "L18", "L21", "L22"]
"""The lessons a row may point at."""


def spelled(document: str, letter: str, names: str) -> set[str]:
    """The ids of a document: "1-3 2a" are letter1, letter2, letter3 and letter2a."""
    ids = set()
    for name in names.split():
        first, _, last = name.partition("-")
        ids |= {f"{document}-{letter}{k}" for k in range(int(first), int(last) + 1)} if last else {
            f"{document}-{letter}{name}"
        }  # fmt: skip
    return ids


EXPECTED = (
    spelled("000", "T", "1-12") | spelled("000", "C", "1 1a 1b 1c 1d 1e 1f 1g 1h 1i")
    | spelled("001", "T", "1-25") | spelled("001", "F", "1-13 1a 1b 4a 5a 5b")
    | spelled("001", "C", "1-10 1a 1b 1c 2a 2b 4a") | spelled("001", "B", "1-12")
    | spelled("002", "T", "1-12") | spelled("002", "F", "1-5") | spelled("002", "C", "1 1a 1b 1c 1d 1e 1f")
    | spelled("003", "T", "1-27") | spelled("003", "C", "1-5 5a 5b") | spelled("003", "B", "1-6")
    | spelled("004", "T", "1-19") | spelled("004", "F", "1-5") | spelled("004", "C", "1 1a 1b 1c 1d 1e")
)  # fmt: skip
"""Every claim, formula, program and reference that was checked."""


def rows() -> list[Any]:
    return [pytest.param(row, id=row.id) for row in load_errata()]


def test_every_row_is_there_and_no_other() -> None:
    found = {row.id for row in load_errata()}
    assert found == EXPECTED
    assert len(found) == len(load_errata()) == 187


def test_documents_and_their_sections() -> None:
    """Five documents; every section has a row, and rows come in the order of the sections."""
    assert [document.id for document in load_documents()] == ["000", "001", "002", "003", "004"]
    order = [(document.id, section.number) for document in load_documents() for section in document.sections]
    places = [order.index((row.document, row.section)) for row in load_errata()]
    assert places == sorted(places)
    assert set(places) == set(range(len(order)))


def resolve(pointer: str) -> None:
    """Find what a pointer of a row means, or raise."""
    if re.fullmatch(r"L\d\d", pointer):
        assert pointer in CURRICULUM, f"{pointer} is not among the lessons"
    elif "/" in pointer:
        path, _, test = pointer.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, f"{path} has no {test}"
    else:
        parts = pointer.split(".")
        found, used = importlib.import_module(parts[0]), 1
        while used < len(parts) and importlib.util.find_spec(".".join(parts[: used + 1])) is not None:
            used += 1
            found = importlib.import_module(".".join(parts[:used]))
            if not hasattr(found, "__path__"):
                break
        for part in parts[used:]:
            found = getattr(found, part)


@pytest.mark.parametrize("row", rows())
def test_every_pointer_resolves(row: Erratum) -> None:
    for pointer in row.see:
        resolve(pointer)


@pytest.mark.parametrize(
    "pointer", ["L08", "lessons/articles/999.py", "tests/lessons/test_errata.py::test_x", "minidl.nn.NoLayer"]
)
def test_a_pointer_to_nothing_is_found(pointer: str) -> None:
    with pytest.raises((AssertionError, FileNotFoundError, AttributeError)):
        resolve(pointer)


def test_every_script_is_pointed_at_and_every_correction_says_something() -> None:
    """A row that is not right points at more than a bare sentence: a lesson, a script or a name of the engine."""
    named = {pointer for row in load_errata() for pointer in row.see}
    folders = [ROOT / "lessons" / name for name in ("articles", "examples")]
    scripts = {str(path.relative_to(ROOT)) for folder in folders for path in folder.glob("*.py")}
    assert scripts - {"lessons/articles/material.py"} <= named
    short = [row.id for row in load_errata() if row.verdict != "right" and min(len(row.zh), len(row.en) // 2) < 6]
    assert not short


@pytest.mark.parametrize("row", rows())
def test_formulas_render(row: Erratum) -> None:
    mathml = importlib.import_module("minidl.player.mathml")
    for latex in {latex for text in (row.quote, row.zh, row.en) for latex in formulas(text)}:
        assert mathml.mathml(latex).startswith("<math")


# ── what is wrong with a row is said in one sentence ──────────────────────────────────────────────

GOOD = {
    "id": "004-F3", "section": "3.3", "lines": "85", "quote": "$h$", "verdict": "wrong",
    "zh": "门 $r$", "en": "gate $r$",
}  # fmt: skip


def written(tmp_path: Path, change: dict[str, str | None], times: int = 1, see: str = '["L16"]') -> Path:
    """An errata file with one document and one row that differs from a good one."""
    fields = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    row = "\n".join(["[[erratum]]", *[f"{name} = '{value}'" for name, value in fields.items()], f"see = {see}"])
    document = '[[document]]\nid = "004"\nzh = "门"\nen = "gates"\nsections = [["3.3", "公式", "formulas"]]\n'
    path = tmp_path / "errata.toml"
    path.write_text(document + f"{row}\n" * times, encoding="utf-8")
    return path


def test_a_good_row_is_read(tmp_path: Path) -> None:
    documents, (row,) = read_errata(written(tmp_path, {}))
    assert (row.document, row.kind, row.lessons) == ("004", "formula", ("L16",))
    assert documents[0].sections[0].en == "formulas"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "4-F3"}, "an id is document, kind and number"),
        ({"lines": "l. 85"}, "lines are numbers"),
        ({"section": "9"}, "has no section '9'"),
        ({"verdict": "bad"}, "unknown verdict 'bad'"),
        ({"en": None}, "the field en is missing"),
        ({"zh": "gate $r$"}, "no Chinese"),
        ({"en": "gate $u$"}, "same formulas"),
        ({"en": "gate $r$ and $"}, "does not close"),
        ({"quote": "$\\frac{1}{N$"}, "braces do not match"),
        ({"note": "x"}, "unknown field 'note'"),
    ],
)
def test_a_fault_is_one_sentence_with_the_row(tmp_path: Path, change: dict[str, str | None], sentence: str) -> None:
    with pytest.raises(LessonError, match=re.escape(sentence)) as raised:
        read_errata(written(tmp_path, change))
    assert (change.get("id") or "004-F3") in str(raised.value)


def test_other_faults(tmp_path: Path) -> None:
    with pytest.raises(LessonError, match="there twice"):
        read_errata(written(tmp_path, {}, times=2))
    with pytest.raises(LessonError, match="neither a lesson"):
        read_errata(written(tmp_path, {}, see='["the GRU lesson"]'))
    with pytest.raises(LessonError, match="does not exist"):
        read_errata(tmp_path / "nothing.toml")
    (tmp_path / "flat.toml").write_text("erratum = 3\n")
    with pytest.raises(LessonError, match="must be tables"):
        read_errata(tmp_path / "flat.toml")
    (tmp_path / "broken.toml").write_text("[[erratum]\n")
    with pytest.raises(LessonError, match="is not TOML"):
        read_errata(tmp_path / "broken.toml")


def test_code_is_not_a_formula() -> None:
    assert formulas("`$HOME` and $x$") == ["x"]
    assert "".join(content for _, content in pieces("a $x$ `b`")) == "a x b"
    assert errata.KINDS["B"] == "reference"
