"""The live page in a real browser, before a camera that shows a drawn person: enrolled, recognized, forgotten."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from live_cases import SOURCE, Running, film, recognizer, running

from minidl.faces import detect
from minidl.faces.generated import generated_faces
from minidl.faces.generated.scenes import generated_scenes
from minidl.faces.images import encode_png
from minidl.faces.live import Desk

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install minidl[browser])"
)
pytest.importorskip("starlette", reason="starlette is not installed (pip install minidl[live])")
pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install minidl[live])")
pytest.importorskip("cv2", reason="OpenCV is not installed (pip install minidl[faces])")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not opened")

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
PATIENCE = 40_000


@pytest.fixture(scope="module")
def scenes() -> Any:
    """Rooms with one person each, the first and the second with different people."""
    return generated_scenes(count=6, faces=(1, 1), size=(480, 640), seed=3, difficulty="easy", people=6)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, scenes: Any) -> Iterator[Any]:
    """Its camera shows the first room."""
    camera = film(tmp_path_factory.mktemp("camera") / "room.y4m", [scenes.images[0]] * 3)
    with playwright.sync_playwright() as started:
        arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={camera}"]
        opened = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def live() -> Iterator[Running]:
    with running(Desk(recognizer(), SOURCE)) as found:
        yield found


class Page:
    """The page in a window, with all that went wrong in it and everybody it asked."""

    def __init__(self, browser: Any, live: Running, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda r: self.asked.add(r.url.split("/")[2] if "//" in r.url else r.url.split(":")[0]))
        self.page.goto(live.server.address)
        self.page.wait_for_selector("#about-rates:not(:empty)")
        self.host = live.host

    def choose(self, selector: str, *files: bytes) -> None:
        pictures = [{"name": f"{k}.png", "mimeType": "image/png", "buffer": file} for k, file in enumerate(files)]
        self.page.set_input_files(selector, pictures)

    def drop(self, selector: str, file: bytes) -> None:
        """As if a file had been dragged there from a folder."""
        make = """(text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File([bytes], 'face.png', { type: 'image/png' }));
            return held;
        }"""
        held = self.page.evaluate_handle(make, base64.b64encode(file).decode())
        self.page.dispatch_event(selector, "drop", {"dataTransfer": held})

    def close(self) -> None:
        self.context.close()
        assert not self.wrong
        assert self.asked <= {self.host, "data", "blob"}, "somebody else was asked"


@pytest.fixture
def opened(browser: Any, live: Running) -> Iterator[Any]:
    pages: list[Page] = []

    def open_(**context: Any) -> Page:
        pages.append(Page(browser, live, **context))
        return pages[-1]

    yield open_
    for page in pages:
        page.close()


def test_enrolled_and_recognized_before_the_camera(opened: Any, scenes: Any, live: Running) -> None:
    page = opened().page
    assert page.is_visible("#no-people")
    page.click("#camera")
    page.wait_for_selector(".card .who.unknown")
    page.fill("#name", "Ann <b>安</b>")
    page.click("#take")
    page.wait_for_selector("#people li")
    assert page.inner_text("#people b") == "Ann <b>安</b>", "a name is text, whatever it looks like"
    page.wait_for_selector(".card .who.known")
    assert page.inner_text(".card .who") == "Ann <b>安</b>"
    assert "threshold" in page.inner_text(".card .numbers")
    assert page.query_selector(".card .gauge .mark") is not None
    painted = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x)"
    assert page.eval_on_selector("#boxes", painted), "a box is drawn over the camera"
    page.click(".card button")
    page.wait_for_selector(".card.why img >> nth=1")
    page.click("#stop")
    page.wait_for_selector("#camera", state="visible")
    page.click("#people button")
    page.wait_for_selector("#people li", state="detached")
    assert live.ask(path="people").json == []


def test_a_dropped_photograph_is_recognized_and_a_stranger_is_not(opened: Any, scenes: Any) -> None:
    one, same, other = (encode_png(scenes.images[k]) for k in (0, 1, 3))
    assert [scenes.faces[k][0].person for k in (0, 1, 3)] == [0, 0, 3]
    page = opened()
    page.page.fill("#name", "Ann")
    page.choose("#pictures", one, same)
    page.page.wait_for_selector("#people li")
    assert "2" in page.page.inner_text("#people small")
    page.drop("#stage", one)
    page.page.wait_for_selector(".card .who.known")
    assert page.page.inner_text(".card .who") == "Ann"
    page.drop("#stage", other)
    page.page.wait_for_selector(".card .who.unknown")
    assert page.page.inner_text(".card .who") == "unknown"
    assert "most like Ann, but not enough" in page.page.inner_text(".card")


def test_aligned_faces_dropped_on_the_form_enrol(opened: Any, live: Running) -> None:
    drawn = generated_faces(people=1, per_person=1, seed=4, difficulty="easy")
    page = opened()
    page.page.fill("#name", "Bob")
    page.drop("#enrol", encode_png(drawn.images[0]))
    page.page.wait_for_selector("#people li")
    assert live.ask(path="people").json == [{"name": "Bob", "templates": 1}]


def test_what_cannot_be_used_is_said_and_nothing_breaks(opened: Any, scenes: Any) -> None:
    page = opened()
    page.choose("#choose", b"this is no picture")
    page.page.wait_for_selector("#message.bad")
    assert "not an image" in page.page.inner_text("#message")
    page.drop("#enrol", encode_png(scenes.images[0]))
    page.page.wait_for_selector("#enrolled.bad")
    assert "name" in page.page.inner_text("#enrolled")
    page.wrong = [text for text in page.wrong if "422" not in text]  # the browser notes every refusal


def test_narrow_dark_and_chinese(opened: Any) -> None:
    page = opened(viewport={"width": 390, "height": 800}, color_scheme="dark", locale="zh-CN").page
    assert page.inner_text("h1") == "这是谁？"
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    for section in ("#see", "#found", "#known", "#about"):
        box = page.query_selector(section).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.click("#switch-theme")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != dark
    page.click("#switch-language")
    assert page.inner_text("h1") == "Who is it?"


def test_the_room_shows_a_face_that_is_found(scenes: Any) -> None:
    """What the tests above rest on."""
    for k in (0, 1, 3):
        assert len(detect(scenes.images[k])) == 1, k
