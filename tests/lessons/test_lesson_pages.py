"""The page of every lesson: one file that asks for nothing, and works in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from minidl.io.atomic import write_atomically
from minidl.teaching import library, site
from minidl.teaching.library import Lesson
from minidl.teaching.page import page

pytest.importorskip("markdown_it", reason="pages need the extra `lessons`")
pytest.importorskip("latex2mathml", reason="pages need the extra `lessons`")

CHROMIUM = Path("/usr/bin/chromium")
LESSONS = library.lessons()
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)

_pages: dict[str, str] = {}


@pytest.fixture
def made(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lesson's page with the ends of its knobs only, made once a run, whoever of the workers needs it first."""
    monkeypatch.setenv("MINIDL_FAST", "1")
    if lesson.id not in _pages:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
        shared = tmp_path_factory.getbasetemp().parent / f"page-{run}-{lesson.id}.html"
        if run is not None and shared.exists():
            _pages[lesson.id] = shared.read_text(encoding="utf-8")
        else:
            _pages[lesson.id] = page(lesson)
            if run is not None:
                write_atomically(shared, _pages[lesson.id].encode())
    return _pages[lesson.id]


class Words(HTMLParser):
    """The prose of a page: text outside code, formulas, styles and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("script", "style", "code", "math", "svg", "pre"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.found.append(data)


@every_lesson
def test_one_file_that_asks_for_nothing(lesson: Lesson, made: str) -> None:
    assert len(made.encode()) <= 2_000_000
    addresses = set(re.findall(r"\w+://[^\s\"'<>\\)]+", made))
    assert {each for each in addresses if not each.startswith("http://www.w3.org/")} == set()
    assert not re.search(r"<(?:script|img|link|iframe)[^>]*\s(?:src|href)=[\"'](?!data:|#)", made)


@every_lesson
def test_markdown_and_placeholders_came_out(lesson: Lesson, made: str) -> None:
    reader = Words()
    reader.feed(made)
    prose = " ".join(reader.found)
    for left in ("{{", "}}", "**", "$", "`", "|--"):
        assert left not in prose, f"{lesson.id}: {left!r} is left in {prose[max(0, prose.find(left) - 60) :][:120]!r}"
    assert not re.search(r"(?<![\d\s])\*(?![\d\s])", prose), "an emphasis that Markdown did not find"


@every_lesson
def test_a_player_for_every_recording_and_both_languages(lesson: Lesson, made: str) -> None:
    assert 'class="player" data-trace="0"' in made
    for language in ("zh", "en"):
        assert lesson.title[language] in made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser of the system's."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright (extra `browser`) is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with driver.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, made: str, tmp_path: Path) -> Iterator[Any]:
    """The page in a phone-sized window, which fails the test at any error or request."""
    file = tmp_path / "lesson.html"
    file.write_text(made, encoding="utf-8")
    view = browser.new_page(viewport={"width": 390, "height": 800}, locale="zh-CN")
    troubles: list[str] = []
    view.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: troubles.append(str(error)))
    view.on(
        "request",
        lambda request: troubles.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    view.goto(file.as_uri())
    yield view
    view.close()
    assert troubles == []


@every_lesson
def test_in_a_browser(lesson: Lesson, opened: Any) -> None:
    """It fits a phone, shows one language at a time, and the players play."""
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out of a phone's width"
    heading = opened.locator("article h1")
    assert next(each for each in heading.all() if each.is_visible()).inner_text() == lesson.title["zh"]
    opened.click("#switch-language")
    assert next(each for each in heading.all() if each.is_visible()).inner_text() == lesson.title["en"]
    assert opened.locator(".player").first.inner_text().strip(), "the player was mounted"
    assert opened.locator("article [lang=en] math").first.is_visible()


@every_lesson
def test_knobs_move_what_depends_on_them_and_move_it_back(lesson: Lesson, opened: Any) -> None:
    controls = opened.locator("[data-knob]")
    read = "[...document.querySelectorAll('[data-slot]')].map(each => each.innerHTML)"
    before = opened.evaluate(read)
    for i in range(controls.count()):
        control = controls.nth(i)
        name, home = control.get_attribute("data-knob"), control.input_value()
        turn = """(control, place) => { control.value = place; control.dispatchEvent(new Event("input")); }"""
        last = control.evaluate("each => each.max || each.options.length - 1")
        control.evaluate(turn, "0" if home != "0" else str(last))
        assert opened.evaluate(read) != before, f"nothing follows the knob {name}"
        control.evaluate(turn, home)
        assert opened.evaluate(read) == before, f"the knob {name} does not lead back"


@pytest.mark.parametrize("lesson", [library.lesson("L01")], ids=["L01"])
def test_the_player_follows_the_knobs(lesson: Lesson, opened: Any) -> None:
    """At the step where the reader is, the formula has the other numbers in it."""
    player = opened.locator(".player").first
    player.locator("input[type=number]").fill("4")
    player.locator("input[type=number]").press("Enter")
    assert "36" in player.inner_text()  # (3·(−2) + 1 − 1)²
    turn = """place => {
        const w = document.querySelector('[data-knob="w"]');
        w.value = place;
        w.dispatchEvent(new Event("input"));
    }"""
    opened.evaluate(turn, "4")
    assert "144" in player.inner_text()  # (3·4 + 1 − 1)²
    assert player.locator("input[type=number]").input_value() == "4"
    assert not opened.locator(".stale").first.is_visible()
    opened.evaluate(turn, "1")
    assert "36" in player.inner_text()


def test_the_index_leads_to_every_lesson_by_number_and_by_document() -> None:
    index = site.index(LESSONS)
    for lesson in LESSONS:
        assert index.count(f'href="{lesson.page}"') == 1 + len(lesson.documents)
    assert not re.search(r"https?://(?!www\.w3\.org)", index)
