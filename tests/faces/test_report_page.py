"""The report in a real browser: whole at every width, in both languages and colours, on paper, and without a script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_cases import measured

from minidl.faces.report import write_report

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install minidl[browser])"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not opened")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
SECTIONS = ("words", "models", "curves", "thresholds", "damage", "people", "pairs", "explained", "method", "privacy")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "报告.html"
    write_report(path, [measured(), measured("lbp")])
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """Opens the page; afterwards nothing may have gone wrong in it and nothing may have been asked for."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def open_(width: int = 1280, hash_: str = "", **how: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **how)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: wrong.append(r.url[:80]) if not r.url.startswith(("file:", "data:")) else None)
        page.goto(file.as_uri() + hash_)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_section_is_seen_whole(opened: Any, width: int, language: str) -> None:
    page = opened(width, f"#{language}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = page.eval_on_selector_all("main section", "all => all.map((s) => s.id)")
    assert tuple(found) == SECTIONS
    for section in SECTIONS:
        box = page.query_selector(f"#{section}").bounding_box()
        assert box["height"] > 60, section
        assert box["x"] >= 0, section
        assert box["x"] + box["width"] <= width, section
    drawn = page.eval_on_selector_all("main svg", "all => all.map((s) => s.getBoundingClientRect().height)")
    assert len(drawn) == 7
    assert min(drawn) > 150
    sizes = page.eval_on_selector_all("main img", "all => all.map((i) => i.complete && i.naturalWidth)")
    assert len(sizes) > 30
    assert all(sizes)
    assert not page.eval_on_selector_all(
        "main svg text",
        """all => all.filter((t) => { const a = t.getBoundingClientRect(), b = t.closest('svg').getBoundingClientRect();
        return a.width && (a.left < b.left - 1 || a.right > b.right + 1); }).map((t) => t.textContent)""",
    ), "labels are cut off"


def test_languages_and_colours_can_be_switched_and_are_in_the_address(opened: Any) -> None:
    page = opened(hash_="#en")
    assert page.inner_text("#words h2") == "In words"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#switch-language")
    page.click("#switch-theme")
    assert page.inner_text("#words h2") == "说成白话"
    assert page.title().startswith("eigen")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate("location.hash") == "#zh,dark"
    page.reload()
    assert (
        page.evaluate("document.documentElement.lang + getComputedStyle(document.documentElement).colorScheme")
        == "zhdark"
    )


def test_it_is_whole_without_a_script_and_follows_the_system(opened: Any) -> None:
    page = opened(java_script_enabled=False, color_scheme="dark")
    assert page.is_visible("#privacy h2 span[lang=en]")
    assert not page.is_visible("#privacy h2 span[lang=zh]")
    assert not page.is_visible("#switch-theme")


def test_on_paper_it_is_light(opened: Any) -> None:
    page = opened(hash_="#en,dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.is_visible(".top")
    assert len(page.pdf()) > 50_000
