"""Every lesson as a notebook: it runs in a kernel, in the language it was exported in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minidl.teaching import library, notebook
from minidl.teaching.errors import LessonError
from minidl.teaching.library import Lesson

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra `lessons`")
nbclient = pytest.importorskip("nbclient", reason="nbclient (extra `dev`) is not installed")
pytest.importorskip("ipykernel", reason="ipykernel (extra `dev`) is not installed")

LESSONS = library.lessons()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_runs_in_a_kernel(lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_FAST", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(library.__file__).parents[2]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    language = "zh" if int(lesson.id[1:]) % 2 else "en"
    made = nbformat.reads(notebook.written(lesson, language), as_version=4)
    nbclient.NotebookClient(made, timeout=120, kernel_name="python3").execute()
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert f"# {lesson.title[language]}" in text
    assert "{{" not in text
    shown = "".join(data_of(output) for cell in made.cells if cell.cell_type == "code" for output in cell.outputs)
    assert "<svg" in shown
    assert 'class="verdict' in shown
    assert "<iframe srcdoc=" in shown, "a recording brings its player"


def data_of(output: Any) -> str:
    return output.get("data", {}).get("text/html", "")


def test_there_are_two_languages() -> None:
    with pytest.raises(LessonError, match="there are zh, en, got 'fr'"):
        notebook.notebook(LESSONS[0], "fr")
