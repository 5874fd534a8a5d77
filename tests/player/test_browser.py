"""The page in a real browser: every step forwards and backwards, keys, languages, predictions, no request, no error."""

from __future__ import annotations

import html
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import traces

from minidl import player
from minidl.player.steps import steps_of
from minidl.player.tidy import tidied

pytest.importorskip("latex2mathml")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install minidl[browser])"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not opened")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
TITLE = {"zh": "试", "en": "Trial"}
BODY = '<h1 lang="zh">标题</h1><h1 lang="en">Heading</h1><div class="player" data-trace="0"></div>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


class Opened:
    """A page that was opened from a file, with everything that went wrong in it and everything it asked for."""

    def __init__(self, browser: Any, path: Path, hash_: str = "", width: int = 1280, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on(
            "request", lambda r: self.asked.append(r.url) if not r.url.startswith(("file:", "data:")) else None
        )
        self.page.goto(path.as_uri() + hash_)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def hash(self) -> str:
        return str(self.page.evaluate("location.hash"))

    @property
    def text(self) -> str:
        return str(self.page.inner_text(".play"))

    def said(self, selector: str) -> list[str]:
        """The texts of some elements, mathematical letters as plain ones, without spaces."""
        return [
            re.sub(r"\s", "", unicodedata.normalize("NFKC", t)) for t in self.page.locator(selector).all_inner_texts()
        ]

    def all(self, selector: str, attribute: str) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            selector, f"all => all.map((e) => e.getAttribute('{attribute}'))"
        )
        return found

    def close(self) -> None:
        self.context.close()
        assert not self.wrong
        assert not self.asked


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    pages: list[Opened] = []

    def open_(name: str = "square", hash_: str = "", body: str = BODY, count: int = 1, **how: Any) -> Opened:
        path = tmp_path / f"{name}.html"
        path.write_text(player.page_html(TITLE, body, [traces.ALL[name]()] * count), encoding="utf-8")
        pages.append(Opened(browser, path, hash_, **how))
        return pages[-1]

    yield open_
    for page in pages:
        page.close()


WALK = """([key, count]) => {
  const seen = [];
  for (let k = 0; k <= count; k++) {
    const current = document.querySelectorAll('.node.current').length;
    seen.push([location.hash, document.querySelector('.card').innerHTML, current]);
    document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  }
  return seen;
}"""


@pytest.mark.parametrize("name", traces.ALL)
def test_every_step_forwards_and_backwards(opened: Any, name: str) -> None:
    page, steps = opened(name, "#0,en"), steps_of(tidied(traces.ALL[name]()))
    last = len(steps) - 1
    forwards = page.page.evaluate(WALK, ["ArrowRight", last])
    assert [hash_ for hash_, _, _ in forwards] == [f"#{k},en" for k in range(last + 1)]
    assert [current > 0 for _, _, current in forwards] == [bool(step.outputs) for step in steps]
    assert page.hash == f"#{last},en", "the end is the end"
    assert page.page.evaluate(WALK, ["ArrowLeft", last]) == forwards[::-1], "a step looks the same from both sides"
    assert page.hash == "#0,en"


def test_real_keys_and_clicks_on_every_step(opened: Any) -> None:
    page = opened(hash_="#0,en")
    for k in range(1, 13):
        page.press("ArrowRight")
        assert page.hash == f"#{k},en"
    for k in range(11, -1, -1):
        page.page.get_by_role("button", name="Back one step").click()
        assert page.hash == f"#{k},en"


def test_the_buttons_do_what_the_keys_do(opened: Any) -> None:
    page = opened(hash_="#0,en")
    for title, step in (
        ("Forward one step", 1),
        ("Forward one step", 2),
        ("Back one step", 1),
        ("To the end", 12),
        ("To the start", 0),
    ):
        page.page.get_by_role("button", name=title, exact=True).click()
        assert page.hash == f"#{step},en"
    page.page.get_by_role("button", name="To backward").click()
    assert page.hash == "#6,en"
    page.page.get_by_role("button", name="To forward").click()
    assert page.hash == "#0,en"
    page.page.get_by_label("One press plays").select_option("layer")
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert page.hash.startswith("#9,"), "the backward part in one press"


def test_what_a_step_shows(opened: Any) -> None:
    page = opened(hash_="#2,en")
    assert page.page.inner_text(".code .lit code").strip() == "y = w * x + b"
    assert page.said(".play .equation") == ["v2=(−2)·3=−6"]
    assert page.all(".node.current", "data-node") == ["2"]
    assert page.page.locator(".node.graded").count() == 0
    assert page.page.locator(".symbols math").count() == 1
    page.press("b", "ArrowRight", "ArrowRight", "ArrowRight")
    assert page.hash == "#9,en"
    assert page.page.locator(".code .lit.back").count() == 1
    assert [e.split("=", 1)[1] for e in page.said(".sent .equation")] == ["(−12)·3=−36", "(−12)·(−2)=24"]
    assert set(page.all(".edge-back", "data-from")) == {"0", "1"}
    assert page.page.locator(".node.graded").count() == 7
    page.press("ArrowRight")
    assert "SGD" in page.text
    assert "Gradient check L" in page.page.inner_text(".checks")


def test_state_is_in_the_address(opened: Any) -> None:
    page = opened(hash_="#7,zh,dark")
    assert page.page.input_value("input[type=number]") == "7"
    assert "反向" in page.text
    assert page.page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.page.evaluate("location.hash = '#3,en'")
    page.page.wait_for_function("document.documentElement.lang === 'en'")
    assert page.page.input_value("input[type=number]") == "3"
    assert "forward" in page.text
    for nonsense in ("#abc", "#99999,xx", "#-3", "#%E4%B8%80"):
        page.page.evaluate(f"location.hash = '{nonsense}'")
    page.page.wait_for_timeout(50)


def test_language_switch(opened: Any) -> None:
    page = opened(hash_="#2,zh")
    assert page.page.locator("h1:visible").all_inner_texts() == ["标题"]
    page.press("l")
    assert page.hash == "#2,en"
    assert page.page.locator("h1:visible").all_inner_texts() == ["Heading"]
    assert page.page.title() == "Trial"
    words = page.text.replace(page.page.inner_text(".code"), "")
    assert not re.search(r"[\u4e00-\u9fff]", words), "no Chinese left in the player"
    page.page.click("#switch-language")
    assert page.hash == "#2,zh"
    assert not re.search(
        r"\b(forward|backward|computed|formula)\b", page.text.replace(page.page.inner_text(".code"), "")
    )


@pytest.mark.parametrize(("locale", "lang"), [("zh-CN", "zh"), ("en-GB", "en"), ("de-DE", "en")])
def test_the_reader_s_language_comes_first(opened: Any, locale: str, lang: str) -> None:
    assert opened(locale=locale).page.evaluate("document.documentElement.lang") == lang


def test_predictions(opened: Any) -> None:
    page = opened(hash_="#2,en")
    page.press("p")
    assert "−6" not in page.text, "the value is hidden in table, formula and graph"
    field = page.page.get_by_label("Predict", exact=True).and_(page.page.locator("input"))
    field.fill("5")
    field.press("Enter")
    assert "try again" in page.text
    field.fill("zwölf")
    field.press("Enter")
    assert "Enter a number" in page.text
    assert page.hash == "#2,en,p0-1", "what is no number does not count"
    field.fill("-5.95")
    field.press("Enter")
    assert "Right!" in page.text
    assert "−6" in page.text
    assert page.hash == "#2,en,p1-1"
    page.press("b")
    assert page.page.locator("form.predict").count() == 1
    page.page.get_by_role("button", name="Show it").click()
    assert page.page.locator("form.predict").count() == 0
    assert page.hash == "#6,en,p1-1", "an answer that was shown is neither"
    again = opened(hash_="#6,en,p1-1")
    again.press("ArrowRight")
    assert again.hash == "#7,en,p1-1"


def test_the_tolerance_is_one_percent(opened: Any) -> None:
    page = opened(hash_="#5,en")
    page.press("p")
    field = page.page.locator("form.predict input")
    for guess, right in (("36.4", False), ("35.6", False), ("36.3", True)):
        field.fill(guess)
        field.press("Enter")
        assert ("Right!" in page.text) is right


def test_an_element_is_chosen(opened: Any) -> None:
    page = opened("attended", "#1,en")
    page.page.get_by_role("button", name="[2,1] 4", exact=True).click()
    assert page.said(".equation")[0].startswith("y2,1=")
    assert page.all("td.chosen", "data-place") == ["5"]
    assert "Weights" in page.text


def test_keys_in_a_field_are_the_field_s(opened: Any) -> None:
    page = opened(hash_="#3,en")
    page.press("g", "7", "Enter")
    assert page.hash == "#7,en"
    page.page.focus("input[type=number]")
    page.press("l", "b", "p")
    assert page.hash == "#7,en"


def test_up_and_down_change_the_stride_inside_the_player_only(opened: Any) -> None:
    page = opened("images", "#0,en")
    page.press("ArrowUp", "ArrowRight")
    assert page.hash == "#1,en", "outside, the arrow keys scroll the page"
    page.page.locator(".where").click()
    page.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight")
    steps = steps_of(tidied(traces.images()))
    at = int(page.hash[1:].split(",")[0])
    assert steps[at].groups[4] != steps[min(at + 1, len(steps) - 1)].groups[4], "a whole epoch"


def test_two_players_keep_their_own_place(opened: Any) -> None:
    body = BODY + '<div class="player" data-trace="1"></div>'
    page = opened(hash_="#1.4,en", body=body, count=2)
    assert [page.page.locator("input[type=number]").nth(k).input_value() for k in (0, 1)] == ["0", "4"]
    page.press("ArrowRight")
    assert page.hash == "#1.5,en"
    page.page.locator(".play").first.locator(".where").click()
    page.press("ArrowRight")
    assert page.hash == "#1,en"
    assert [page.page.locator("input[type=number]").nth(k).input_value() for k in (0, 1)] == ["1", "5"]


def test_a_knob_brings_another_recording(opened: Any) -> None:
    """A lesson asks for another trace by an event; step, stride and score stay."""
    page = opened(hash_="#7,en,p2-1", body=BODY.replace("></div>", " id=knobbed></div>"), count=2)
    page.page.evaluate("document.querySelector('#knobbed').dispatchEvent(new CustomEvent('trace', { detail: 1 }))")
    assert page.hash == "#7,en,p2-1"
    assert page.page.input_value("input[type=number]") == "7"
    page.press("ArrowRight")
    assert page.hash == "#8,en,p2-1"
    assert page.page.locator(".code figure").count() == 1, "the listing is the new recording's alone"


def test_a_page_in_a_frame_without_an_address(browser: Any, tmp_path: Path) -> None:
    """A notebook shows the page in an iframe's srcdoc, which has no address to keep the step in."""
    inside = html.escape(player.page_html(TITLE, BODY, [traces.square()]))
    (tmp_path / "notebook.html").write_text(f'<!doctype html><iframe srcdoc="{inside}" width=900 height=700></iframe>')
    page = Opened(browser, tmp_path / "notebook.html", locale="en-GB")
    frame = page.page.frames[1]
    for k in (1, 2):
        frame.get_by_role("button", name="Forward one step").click()
        assert frame.locator("input[type=number]").input_value() == str(k)
    frame.locator("#switch-language").click()
    assert "前向" in frame.locator(".where").inner_text()
    page.close()


# ── what it looks like ────────────────────────────────────────────────────────────────────────────

INSIDE = """() => {
  const out = [];
  const width = document.documentElement.clientWidth;
  const all = document.documentElement.scrollWidth;
  if (all > width) out.push(`the page is ${all} wide`);
  for (const e of document.querySelectorAll('.play > *, .card > *')) {
    const box = e.getBoundingClientRect();
    if (box.width && (box.left < -1 || box.right > width + 1)) out.push(`${e.className} ${box.left}..${box.right}`);
  }
  return out;
}"""
CROSSED = """() => {
  const faults = [];
  const boxes = [...document.querySelectorAll('.node')].map((g) => {
    const [x, y] = g.getAttribute('transform').match(/-?[\\d.]+/g).map(Number);
    const r = g.querySelector('rect');
    return { id: g.dataset.node, x, y, w: Number(r.getAttribute('width')), h: Number(r.getAttribute('height')) };
  });
  const [x0, y0, w, h] = document.querySelector('.graph .scroll > svg').getAttribute('viewBox').split(' ').map(Number);
  for (const b of boxes) {
    if (b.x < x0 || b.y < y0 || b.x + b.w > x0 + w || b.y + b.h > y0 + h) faults.push(`${b.id} is cut off`);
  }
  for (const a of boxes) for (const b of boxes) {
    const apart = a.x >= b.x + b.w || b.x >= a.x + a.w || a.y >= b.y + b.h || b.y >= a.y + a.h;
    if (a.id < b.id && !apart) faults.push(`${a.id} on ${b.id}`);
  }
  for (const edge of document.querySelectorAll('.graph path[data-from]')) {
    const length = edge.getTotalLength();
    for (let s = 0; s <= length; s += 4) {
      const p = edge.getPointAtLength(s);
      const hit = boxes.find((b) => p.x > b.x + 1 && p.x < b.x + b.w - 1 && p.y > b.y + 1 && p.y < b.y + b.h - 1);
      if (hit) { faults.push(`${edge.dataset.from}→${edge.dataset.to} runs through ${hit.id}`); break; }
    }
  }
  return faults;
}"""


@pytest.mark.parametrize("name", traces.ALL)
def test_edges_bend_round_the_boxes(opened: Any, name: str) -> None:
    page = opened(name, "#3,en")
    assert page.page.locator(".graph path[data-from]").count() >= 2
    for _ in range(4):
        assert page.page.evaluate(CROSSED) == []
        page.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["gated", "images", "large"])
def test_nothing_sticks_out(opened: Any, name: str, width: int) -> None:
    page = opened(name, "#2,zh", width=width)
    for _ in range(4):
        assert page.page.evaluate(INSIDE) == []
        page.press("ArrowRight", "ArrowRight")


CONTRAST = """() => {
  const lum = (c) => {
    const linear = (s) => (s <= .03928 ? s / 12.92 : ((s + .055) / 1.055) ** 2.4);
    const v = c.match(/[\\d.]+/g).slice(0, 3).map((x) => linear(x / 255));
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2];
  };
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (/^rgb\\(/.test(c)) return c;
    }
    return 'rgb(255,255,255)';
  };
  const low = [];
  for (const e of document.querySelectorAll('.where *, .bar *, figcaption, h4, .hint, .check, .code code, footer p')) {
    if (!e.textContent.trim() || e.closest('.unseen') || !e.getClientRects().length || e.disabled) continue;
    const [a, b] = [lum(getComputedStyle(e).color), lum(back(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${e.className || e.tagName} ${ratio.toFixed(2)}`);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(opened: Any, scheme: str) -> None:
    """Contrast of at least 4.5 : 1, in both colour schemes; the switch turns one into the other."""
    page = opened(hash_="#8,en", color_scheme=scheme)
    assert page.page.evaluate(CONTRAST) == []
    before = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.page.click("#switch-theme")
    assert page.hash == f"#8,en,{'dark' if scheme == 'light' else 'light'}"
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.page.wait_for_timeout(300)
    assert page.page.evaluate(CONTRAST) == []


def test_a_screen_reader_hears_where_it_is(opened: Any) -> None:
    page = opened(hash_="#2,en")
    tree = page.page.locator(".play").aria_snapshot()
    assert "status: forward" in tree or "- status:" in tree
    assert "Step 2 of 12" in page.page.locator(".where .unseen").inner_text()
    for button in page.page.locator(".play button").all():
        assert (button.get_attribute("aria-label") or button.inner_text()).strip()
    assert page.page.locator(".play math").count() >= 3, "formulas are formulas, not pictures"
    assert page.page.evaluate("document.fonts.check('16px \"MiniDL Math\"')")
    used = page.page.evaluate("[...document.fonts].filter((f) => f.status === 'loaded').map((f) => f.family)")
    assert any("MiniDL Math" in family for family in used)


def test_the_page_prints(opened: Any) -> None:
    page = opened(hash_="#8,en")
    page.page.emulate_media(media="print")
    assert not page.page.locator(".bar").is_visible()
    assert page.page.locator(".card").is_visible()
    assert page.page.pdf()[:5] == b"%PDF-"
