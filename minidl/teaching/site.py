"""The whole offline site: a page a lesson, and an index by lesson and by document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minidl import player
from minidl.io.atomic import write_atomically
from minidl.teaching import documents_page, library
from minidl.teaching.library import Lesson
from minidl.teaching.markdown import inline
from minidl.teaching.page import dressed, page
from minidl.teaching.percent import LANGUAGES
from minidl.teaching.strings import both, label, spans

DOCUMENTS = ("000", "001", "002", "003", "004")


def build(out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Write the site into a folder; it is made if need be, files of other names in it stay.

    Returns:
        The files that were written, the index first.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = library.lessons()
    written = [out / "index.html"]
    for i, lesson in enumerate(found):
        before = found[i - 1] if i else None
        after = found[i + 1] if i + 1 < len(found) else None
        text = page(lesson, _ways(before, after), progress)
        written.append(out / lesson.page)
        write_atomically(written[-1], text.encode())
    written.append(out / "documents.html")
    write_atomically(written[-1], documents_page.documents_html(found).encode())
    write_atomically(written[0], index(found).encode())
    return written


def index(found: list[Lesson]) -> str:
    """The first page: every lesson with its aim, and a path through them for each document."""
    title = {language: label("page.title", language) for language in LANGUAGES}
    parts = [f"<h1>{spans(title)}</h1>", f"<p>{both('page.about')}</p>", f"<h2>{both('page.index')}</h2>"]
    entries = "".join(
        f'<li><a href="{lesson.page}"><b>{lesson.id}</b> {spans(lesson.title)}</a>'
        f'<div class="aim">{_aim(lesson)}</div></li>'
        for lesson in found
    )
    parts.append(f'<ul class="index">{entries}</ul><h2>{both("page.paths")}</h2>')
    for document in DOCUMENTS:
        steps = " → ".join(
            f'<a href="{lesson.page}">{lesson.id} {spans(lesson.title)}</a> <small>{lesson.documents[document]}</small>'
            for lesson in path(document, found)
        )
        parts.append(f'<p><b><a href="documents.html#d{document}">{document}</a></b>: {steps or "–"}</p>')
    parts.append(f'<p><a href="documents.html">{spans(documents_page.TITLE)}</a></p>')
    body = f'<article class="lesson">{"".join(parts)}</article>'
    return player.page_html(title=title, body=dressed(body), traces=[])


def _aim(lesson: Lesson) -> str:
    return "".join(f'<span lang="{language}">{inline(lesson.aim[language])}</span>' for language in LANGUAGES)


def path(document: str, found: list[Lesson] | None = None) -> list[Lesson]:
    """The lessons that belong to a document, in order."""
    return [lesson for lesson in found or library.lessons() if document in lesson.documents]


def _ways(before: Lesson | None, after: Lesson | None) -> str:
    def link(lesson: Lesson | None, left: str, right: str) -> str:
        return (
            f'<a href="{lesson.page}">{left}{lesson.id} {spans(lesson.title)}{right}</a>' if lesson else "<span></span>"
        )

    middle = f'<a href="index.html">{both("page.index")}</a>'
    return f'<nav class="ways">{link(before, "← ", "")}{middle}{link(after, "", " →")}</nav>'
