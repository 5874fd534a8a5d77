"""The page of the documents: every row in its section, in both languages, offline, and looked at by a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minidl.teaching import documents_page, library, site
from minidl.teaching.documents_page import WORDS, documents_body, documents_html
from minidl.teaching.errata import VERDICTS, load_documents, load_errata

pytest.importorskip("latex2mathml", reason="pages need the extra `lessons`")
pytest.importorskip("pygments", reason="pages need the extra `lessons`")

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def html() -> str:
    return documents_html()


def test_every_row_once_in_the_order_of_the_sections(html: str) -> None:
    assert re.findall(r'<div class="erratum [^"]*" id="([^"]+)"', html) == [row.id for row in load_errata()]
    for document in load_documents():
        assert f'id="d{document.id}"' in html


def test_one_file_that_asks_for_nothing(html: str) -> None:
    assert len(html.encode()) < 2_000_000
    addresses = set(re.findall(r"\w+://[^\s\"'<>\\)]+", html))
    assert {each for each in addresses if not each.startswith("http://www.w3.org/")} == set()


def test_no_mark_of_the_text_is_left(html: str) -> None:
    """Formulas are MathML and code is code: no dollar and no backtick outside the programs' sources."""
    shown = re.sub(r"<(pre|style|script|math)\b.*?</\1>", "", documents_body(), flags=re.S)
    assert "$" not in shown
    assert "`" not in shown
    assert html.count("<math") > 300


def test_colour_is_never_alone() -> None:
    """Every verdict has a sign of its own and a word in both languages."""
    assert set(WORDS) == set(VERDICTS)
    for column in zip(*WORDS.values(), strict=True):
        assert len(set(column)) == len(VERDICTS)


def test_lessons_are_links_where_they_have_a_page() -> None:
    (lesson,) = [lesson for lesson in library.lessons() if lesson.id == "L16"]
    body = documents_body([lesson])
    links = set(re.findall(r'href="([^"#]+\.html)', body))
    assert links == {lesson.page}
    assert "L06" in body


def test_links_within_the_page_lead_somewhere(html: str) -> None:
    places = set(re.findall(r'\bid="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= places
    assert "004-C1.py" in places
    assert "material.py" in places


def test_lessons_name_rows_that_exist() -> None:
    """What a lesson says it corrects is a row, and the row links back to it."""
    body = documents_body()
    rows = dict(re.findall(r'<div class="erratum [^"]*" id="([^"]+)"(.*?)</ul></div>', body, re.S))
    for lesson in library.lessons():
        unknown = [name for name in lesson.errata if name not in rows]
        assert not unknown, f"{lesson.id} names {unknown}, which are no rows of the errata"
        for name in lesson.errata:
            assert f'href="{lesson.page}"' in rows[name], f"{name} does not link to {lesson.id}"


def test_the_site_has_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the lessons and linked from the index, document by document."""
    monkeypatch.setattr(library, "lessons", list)
    written = site.build(tmp_path)
    assert [path.name for path in written] == ["index.html", "documents.html"]
    assert 'href="documents.html#d004"' in written[0].read_text(encoding="utf-8")
    assert 'href="index.html"' in written[1].read_text(encoding="utf-8")


# ── in a browser ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, html: str) -> str:
    path = tmp_path_factory.mktemp("site") / "documents.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="playwright (extra `browser`) is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with driver.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()


@pytest.mark.parametrize(("language", "width"), [("zh-CN", 1200), ("en-US", 390)])
def test_a_reader_looks_filters_and_switches(browser: Any, address: str, language: str, width: int) -> None:
    """No console error, no request, nothing wider than the window; rows filter, and the language stays."""
    context = browser.new_context(viewport={"width": width, "height": 900}, locale=language)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}#004-F3", wait_until="load")

    page.wait_for_selector("[id='004-F3'].here")
    assert page.evaluate("document.getElementById('004-F3').getBoundingClientRect().top") < 200
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    short = language[:2]
    assert page.evaluate("document.documentElement.lang") == short
    shown = page.locator("[id='004-F3'] .correction:visible")
    assert shown.count() == 1
    assert shown.get_attribute("lang") == short

    rights = sum(row.verdict == "right" for row in load_errata())
    page.uncheck("#show-right")
    assert page.locator(".erratum:visible").count() == len(load_errata()) - rights

    other = "en" if short == "zh" else "zh"
    page.click("#switch-language")
    page.click("nav.goto a[href='#d003']")
    assert page.evaluate("document.documentElement.lang") == other, "a link within the page changed the language"
    page.evaluate("document.querySelector(\"a[href='#003-C2.py']\").click()")
    assert page.evaluate("document.getElementById('003-C2.py').open")

    assert said == []
    assert [url for url in asked if url.split("#")[0] != address] == []
    context.close()


def test_it_says_how_many(html: str) -> None:
    """The table at the top adds up to all rows."""
    table = re.search(r'<table class="counts">.*?</table>', html, re.S)
    assert table is not None
    totals = [int(cell) for cell in re.findall(r"<td>(\d+)</td>", table[0].split("<tfoot>")[1])]
    assert sum(totals[:-1]) == totals[-1] == len(load_errata())
    assert documents_page.TITLE["en"] in html
