"""The five documents, section by section: what each says, whether it is right, what is, and where to see it."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from minidl.player import mathml, page_html
from minidl.teaching import library, markdown
from minidl.teaching.errata import (
    LANGUAGES,
    VERDICTS,
    Document,
    Erratum,
    Section,
    load_documents,
    load_errata,
    pieces,
)
from minidl.teaching.library import Lesson

TITLE = {"zh": "五篇文档，逐节核对", "en": "The five documents, section by section"}

WORDS = {
    "right": ("✓", "正确", "right"),
    "imprecise": ("≈", "不够准确", "imprecise"),
    "incomplete": ("…", "不完整", "incomplete"),
    "wrong": ("✗", "错误", "wrong"),
    "unsupported": ("?", "没有依据", "unsupported"),
    "unverifiable": ("¿", "无法核实", "not verifiable"),
    "fails": ("!", "不能运行", "does not run"),
    "misleads": ("↷", "能运行，但误导", "runs, but misleads"),
    "opinion": ("○", "看法", "an opinion"),
}
"""Of every verdict its sign, so that colour is never alone, and its name in both languages."""

WIDE = 40
"""A formula of more letters may need to be scrolled on a narrow page."""

_SAYS = {
    "document": ("文档", "the document"),
    "about": (
        "这里核对了五篇文档中的 {rows} 处说法、公式、程序和文献。灰线旁是原文，其下是我们的结论；"
        "能看到它动起来的课程、能运行的程序和引擎里的名字列在最后。",
        "{rows} claims, formulas, programs and references of the five documents were checked. Beside the grey line "
        "stands what the document says, below it what is right; then the lesson that shows it move, the program that "
        "runs, the name in the engine.",
    ),
    "lessons": ("全部课程", "all lessons"),
    "show": ("显示", "show"),
    "total": ("合计", "total"),
    "checked": ("核对 {rows} 处", "{rows} places checked"),
    "line": ("第 {lines} 行", "line {lines}"),
    "says": ("原文", "the document says"),
    "programs": ("改正后的程序", "The corrected programs"),
    "lesson": ("课程", "lesson"),
    "program": ("程序", "program"),
    "test": ("检验", "held by"),
    "engine": ("引擎", "in the engine"),
    "file": ("文件", "file"),
}


def documents_html(lessons: Sequence[Lesson] | None = None) -> str:
    """The whole page, as it stands beside the lessons' pages and their index.

    Arguments:
        lessons: as in `documents_body`.
    """
    back = f'<p><a href="index.html">← {_say("lessons")}</a></p>'
    return page_html(title=TITLE, body=documents_body(lessons) + back)


def documents_body(lessons: Sequence[Lesson] | None = None) -> str:
    """The body of the page, for `player.page_html(title=TITLE, body=…)`.

    Arguments:
        lessons: those with a page to link to, by default all that there are.

    Returns:
        HTML with both languages. Document 004 is `#d004`, a row `#004-F3`, a program `#004-C1.py`.
    """
    pages = {lesson.id: lesson for lesson in (library.lessons() if lessons is None else lessons)}
    rows, documents = load_errata(), load_documents()
    links = "".join(f'<a href="#d{document.id}">{document.id} {_titled(document)}</a>' for document in documents)
    parts = [
        f"<h1>{_spans(*TITLE.values())}</h1>",
        f"<p>{_say('about', rows=len(rows))}</p>",
        _counts(rows, documents),
        _filter(rows),
        f'<nav class="goto">{links}</nav>',
        *[_document(document, [row for row in rows if row.document == document.id], pages) for document in documents],
    ]
    assets = files("minidl.teaching") / "assets"
    style, script = ((assets / f"documents.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return f'<style>{style}</style><article class="documents">{"".join(parts)}</article><script>{script}</script>'


# ── the whole ─────────────────────────────────────────────────────────────────────────────────────


def _counts(rows: Sequence[Erratum], documents: Sequence[Document]) -> str:
    """How many rows of each verdict every document has."""
    found = Counter((row.verdict, row.document) for row in rows)
    head = "".join(f'<th scope="col"><a href="#d{document.id}">{document.id}</a></th>' for document in documents)
    lines = "".join(
        f'<tr><th scope="row">{_verdict(verdict)}</th>'
        + "".join(f"<td>{found[verdict, document.id] or '·'}</td>" for document in documents)
        + f"<td>{sum(count for (name, _), count in found.items() if name == verdict)}</td></tr>"
        for verdict in VERDICTS
    )
    totals = "".join(f"<td>{sum(row.document == document.id for row in rows)}</td>" for document in documents)
    return (
        f'<table class="counts"><thead><tr><th>{_say("document")}</th>{head}<th scope="col">{_say("total")}</th></tr>'
        f'</thead><tbody>{lines}</tbody><tfoot><tr><th scope="row">{_say("total")}</th>{totals}'
        f"<td>{len(rows)}</td></tr></tfoot></table>"
    )


def _filter(rows: Sequence[Erratum]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" id="show-{verdict}" checked>{_verdict(verdict)}</label>'
        for verdict in VERDICTS
        if any(row.verdict == verdict for row in rows)
    )
    return f'<fieldset class="filter"><legend>{_say("show")}</legend>{boxes}</fieldset>'


def _document(document: Document, rows: Sequence[Erratum], pages: dict[str, Lesson]) -> str:
    found = Counter(row.verdict for row in rows)
    summary = " ".join(
        f'<span class="v-{verdict}"><span class="verdict">{_sign(verdict)}{found[verdict]}</span></span>'
        for verdict in VERDICTS
        if found[verdict]
    )
    sections = "".join(_section(section, rows, pages) for section in document.sections)
    return (
        f'<section aria-labelledby="d{document.id}"><h2 id="d{document.id}"><span class="number">{document.id}</span>'
        f'{_titled(document)}</h2><p class="of">{_say("checked", rows=len(rows))} {summary}</p>{sections}'
        f"{_programs(rows)}</section>"
    )


def _section(section: Section, rows: Sequence[Erratum], pages: dict[str, Lesson]) -> str:
    """A section with its rows; nothing where it has none."""
    own = [row for row in rows if row.section == section.number]
    if not own:
        return ""
    # the heading as it stands in the document, in its own language whichever is chosen
    original = f'<small lang="en"><span lang="zh-CN">{html.escape(section.zh)}</span></small>'
    heading = f'<span class="number">{section.number}</span>{_spans(section.zh, section.en)}{original}'
    return f'<div class="part"><h3>{heading}</h3>{"".join(_row(row, pages) for row in own)}</div>'


def _programs(rows: Sequence[Erratum]) -> str:
    """The source of every corrected program of a document, folded."""
    names = sorted({pointer for row in rows for pointer in row.see if _is_program(pointer)})
    own = [name for name in names if Path(name).name.startswith(rows[0].document) or "/examples/" in name]
    if any("/articles/" in name for name in own):
        own.append("lessons/articles/material.py")  # what the programs import
    folded = "".join(
        f'<details class="program" id="{Path(name).name}"><summary><code>{name}</code></summary><pre><code>'
        f"{markdown.highlighted(_source(name))}</code></pre></details>"
        for name in own
    )
    return f"<h3>{_say('programs')}</h3>{folded}" if folded else ""


def _source(name: str) -> str:
    """The text of a file of the lessons: lessons/articles/004-C1.py."""
    return library.folder().joinpath(*Path(name).parts[1:]).read_text(encoding="utf-8")


# ── one row ───────────────────────────────────────────────────────────────────────────────────────


def _row(row: Erratum, pages: dict[str, Lesson]) -> str:
    quote = _marked(row.quote) if row.kind != "code" else f'<span class="source">{html.escape(row.quote)}</span>'
    correction = "".join(
        f'<p class="correction" lang="{language}">{_marked(getattr(row, language))}</p>' for language in LANGUAGES
    )
    named_by = [lesson.id for lesson in pages.values() if row.id in lesson.errata and lesson.id not in row.see]
    see = "".join(f"<li>{_pointer(pointer, pages)}</li>" for pointer in [*named_by, *row.see])
    return (
        f'<div class="erratum v-{row.verdict}" id="{row.id}" data-verdict="{row.verdict}">'
        f'<header>{_verdict(row.verdict)}<span class="lines">{_say("line", lines=row.lines)}</span>'
        f'<a class="id" href="#{row.id}">{row.id}</a></header>'
        f'<blockquote><span class="who">{_say("says")}</span><span lang="zh-CN">{quote}</span></blockquote>'
        f'{correction}<ul class="see">{see}</ul></div>'
    )


def _pointer(pointer: str, pages: dict[str, Lesson]) -> str:
    """Where to look, as a link where the page it means is at hand."""
    if pointer in pages:
        lesson = pages[pointer]
        title = _spans(lesson.title["zh"], lesson.title["en"])
        return f'{_kind("lesson")} <a href="{lesson.page}">{pointer} {title}</a>'
    if _is_program(pointer):
        name = Path(pointer).name
        return f'{_kind("program")} <a href="#{name}">{name}</a>'
    if "::" in pointer:
        return f"{_kind('test')} <code>{html.escape(pointer.rpartition('/')[2])}</code>"
    kind = "file" if "/" in pointer else "engine" if "." in pointer else "lesson"
    return f"{_kind(kind)} <code>{html.escape(pointer)}</code>"


def _is_program(pointer: str) -> bool:
    return pointer.startswith(("lessons/articles/", "lessons/examples/"))


def _marked(text: str) -> str:
    """A text with its formulas as MathML and its code as code."""
    return "".join(_piece(kind, content) for kind, content in pieces(text))


def _piece(kind: str, content: str) -> str:
    if kind == "code":
        return f"<code>{html.escape(content)}</code>"
    if kind == "text":
        return html.escape(content)
    formula = mathml(content)
    return f'<span class="wide" tabindex="0">{formula}</span>' if len(content) > WIDE else formula


def _sign(verdict: str) -> str:
    return f'<span class="mark" aria-hidden="true">{WORDS[verdict][0]}</span>'


def _verdict(verdict: str) -> str:
    """Its sign, colour and name."""
    words = f'<span class="word">{_spans(*WORDS[verdict][1:])}</span>'
    return f'<span class="v-{verdict}"><span class="verdict">{_sign(verdict)}{words}</span></span>'


def _kind(key: str) -> str:
    return f'<span class="what">{_say(key)}</span>'


def _titled(document: Document) -> str:
    return _spans(document.zh, document.en)


def _say(key: str, **values: object) -> str:
    zh, en = _SAYS[key]
    return _spans(zh.format(**values), en.format(**values))


def _spans(zh: str, en: str) -> str:
    return f'<span lang="zh">{html.escape(zh)}</span><span lang="en">{html.escape(en)}</span>'
