"""Lessons as notebooks: one file a language, the numbers in the text filled in, the code ready to run."""

from __future__ import annotations

import importlib
from typing import Any

from minidl.teaching.errors import LessonError
from minidl.teaching.library import Lesson
from minidl.teaching.percent import LANGUAGES, TextCell
from minidl.teaching.running import run

FIRST = '''import os

os.environ["MINIDL_LANG"] = "{language}"'''


def notebook(lesson: Lesson, language: str) -> Any:
    """A lesson in one language as a notebook of nbformat.

    Raises:
        LessonError: nbformat is not installed, or there is no such language.
    """
    if language not in LANGUAGES:
        raise LessonError(f"export: there are {', '.join(LANGUAGES)}, got {language!r}")
    v4 = _nbformat().v4
    cells = [v4.new_code_cell(FIRST.format(language=language), id="language", metadata={"tags": ["setup"]})]
    for i, outcome in enumerate(run(lesson, language=language).outcomes):
        if isinstance(outcome.cell, TextCell):
            cells.append(v4.new_markdown_cell(outcome.texts[language], id=f"text-{i}"))
        else:
            tags = {"tags": list(outcome.cell.tags)} if outcome.cell.tags else {}
            cells.append(v4.new_code_cell(outcome.cell.source.rstrip("\n"), id=f"code-{i}", metadata=tags))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return v4.new_notebook(cells=cells, metadata={**kernel, "language_info": {"name": "python"}})


def written(lesson: Lesson, language: str) -> str:
    """The notebook as the text of an .ipynb file."""
    made = notebook(lesson, language)
    _nbformat().validate(made)
    text: str = _nbformat().writes(made)
    return text


def _nbformat() -> Any:
    try:
        return importlib.import_module("nbformat")
    except ImportError:
        raise LessonError("notebooks need nbformat, which is not installed: pip install 'minidl[lessons]'") from None
