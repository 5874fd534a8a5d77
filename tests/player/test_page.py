"""The page brings everything with it, is small, and refuses what it cannot show."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traces

import minidl as dl
from minidl import player
from minidl.ops.registry import REGISTRY
from minidl.player.page import SCRIPTS, strings
from minidl.player.steps import KINDS_OF_STEPS, LEVELS

pytest.importorskip("latex2mathml")

TITLE = {"zh": "从数到计算图", "en": "Numbers become a graph"}
BODY = '<h1 lang="zh">一</h1><h1 lang="en">One</h1><div class="player" data-trace="0"></div>'
ASSETS = Path(player.__file__).parent / "assets"


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="player-data">(.*?)</script>', page, re.S)
    assert found
    loaded: dict[str, Any] = json.loads(found.group(1))
    return loaded


@pytest.mark.parametrize("name", traces.ALL)
def test_nothing_in_a_page_points_elsewhere(name: str) -> None:
    page = player.page_html(TITLE, BODY, [traces.ALL[name]()])
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>)\\]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}, "name spaces, no more"
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert not re.search(r"\{\{\w+\}\}", page), "every place of the template is filled"
    assert len(page.encode()) < 600_000


def test_the_data_of_a_page_is_the_trace() -> None:
    data = _data(player.page_html(TITLE, BODY, [traces.square()]))
    (trace,) = data["traces"]
    assert [node["name"] for node in trace["nodes"] if node["name"]] == ["w", "x", "b", "y", "L"]
    kinds = [step["k"] for step in trace["steps"]]
    assert kinds == ["start", "check", *["forward"] * 4, *["backward"] * 4, "update", "update", "note"]
    product = trace["steps"][2]
    assert product["eq"] == [[0, ["*", ["n", -2.0, "x0", 0], ["n", 3.0, "x1", 0]], -6.0]]
    assert "<math" in trace["formulas"]["Mul"]["forward"]


def test_the_curve_of_the_losses() -> None:
    (trace,) = _data(player.page_html(TITLE, BODY, [traces.descent()]))["traces"]
    values = [value for _, value in trace["losses"]]
    assert len(values) == 4
    assert values[0] == 5.0
    assert values[-1] < values[0]
    assert len(trace["landscapes"][0]["z"]) == 21 * 21


def test_attention_shows_its_weights() -> None:
    (trace,) = _data(player.page_html(TITLE, BODY, [traces.attended()]))["traces"]
    (weights,) = next(step["weights"] for step in trace["steps"] if "weights" in step)
    np.testing.assert_allclose(weights["d"][:3], [0.4011, 0.1978, 0.4011], atol=5e-5)


@pytest.mark.parametrize(
    ("title", "body", "sentence"),
    [
        ({"zh": "一"}, BODY, "the title lacks its 'en' text"),
        (TITLE, '<div class="player" data-trace="1"></div>', "a player for trace '1', but there are 1 traces"),
        (TITLE, '<div class="player" data-trace="x"></div>', "a player for trace 'x'"),
        (TITLE, '<img src="https://example.org/a.png">', "asks for https://example.org/a.png"),
        (TITLE, "<style>@import '//example.org/a.css'</style>", "asks for //example.org/a.css"),
        (TITLE, "<p style='background: url(http://example.org/b)'>", "asks for http://example.org/b"),
    ],
)
def test_what_cannot_be_shown_is_refused(title: dict[str, str], body: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        player.page_html(title, body, [traces.square()])


def test_a_page_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=r"more than 2,000,000; record less"):
        player.page_html(TITLE, f"<p>{'x' * 2_000_000}</p>", [])


def test_titles_and_data_are_escaped() -> None:
    trace = traces.square()
    sneaky = player.Trace(trace.limit, [dict(e) for e in trace.events], trace.formulas, trace.sources)
    sneaky.nodes[0]["name"] = "</script><script>alert(1)</script>"
    page = player.page_html({"zh": "<b>一</b>", "en": "a & b"}, BODY, [sneaky])
    assert "<script>alert" not in page
    assert "<title>&lt;b&gt;一&lt;/b&gt; · a &amp; b</title>" in page
    assert _data(page)["traces"][0]["nodes"][0]["name"].startswith("</script>")


def test_a_trace_that_does_not_fit_together_is_refused_in_a_sentence() -> None:
    data = json.loads(json.dumps(traces.square().to_json()))
    for event in data["events"]:
        if event["kind"] == "update":
            event["options"] = {}
    with pytest.raises(ValueError, match=r"^page_html: trace 0 cannot be shown: .*KeyError"):
        player.page_html(TITLE, BODY, [player.Trace.from_json(data)])


def test_pages_without_players_work() -> None:
    assert _data(player.page_html(TITLE, "<p>text</p>"))["traces"] == []


def test_both_languages_say_the_same_things() -> None:
    """No key is missing in either language, both use the same places, and whatever the scripts say exists."""
    zh, en = strings()["zh"], strings()["en"]
    assert set(zh) == set(en)
    for key in zh:
        assert sorted(re.findall(r"\{\w+\}", zh[key])) == sorted(re.findall(r"\{\w+\}", en[key])), key
        assert zh[key].strip()
        assert en[key].strip()
    script = "".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    used = set(re.findall(r"say\('([a-z_]+)'", script)) | set(
        re.findall(r"data-says=\"([a-z_]+)\"", (ASSETS / "page.html").read_text())
    )
    used |= {f"level_{level}" for level in (*LEVELS, "pass")} | {"too_large", "no_rule"} | set(KINDS_OF_STEPS)
    assert used <= set(zh), used - set(zh)
    terminal = (ASSETS.parent / "terminal.py").read_text(encoding="utf-8")
    used |= {f"legend_{state}" for state in ("done", "current", "todo", "gradient")}
    unused = {k for k in zh if k not in used and f"'{k}'" not in script and f'"{k}"' not in terminal}
    assert not unused, f"nobody says {sorted(unused)}"


def test_the_font_has_the_letters_and_its_licence() -> None:
    fonttools = pytest.importorskip("fontTools.ttLib")
    pytest.importorskip("brotli")
    font = fonttools.TTFont(ASSETS / "minidl-math.woff2")
    letters = font.getBestCmap()
    assert "MATH" in font
    for sign in "xW∑∂√⊙⊘αβθσ𝑥𝛼𝐖ℎ⊤⌊‖∇⋯≥…":
        assert ord(sign) in letters, sign
    formulas = {f for o in REGISTRY.values() for f in (o.formula, o.adjoint) if f}
    words = {letter for f in formulas for letter in "".join(ElementTree.fromstring(player.mathml(f)).itertext())}
    assert not {w for w in words if ord(w) not in letters and not "\u4e00" <= w <= "\u9fff"}
    names = {record.toUnicode() for record in font["name"].names if record.nameID in (1, 4, 6)}
    assert not any("STIX" in name for name in names), "the reserved name is not used"
    assert "SIL OPEN FONT LICENSE" in (ASSETS / "OFL.txt").read_text(encoding="utf-8")


def test_a_large_network_still_fits() -> None:
    """A convolutional network on 32×32 images, forward, backward and update, stays under half a page."""
    dl.manual_seed(0)
    net = dl.nn.Sequential(
        dl.nn.Conv2d(1, 8, 3), dl.nn.ReLU(), dl.nn.MaxPool2d(2), dl.nn.Conv2d(8, 16, 3), dl.nn.ReLU(),
        dl.nn.MaxPool2d(2), dl.nn.Flatten(), dl.nn.Linear(16 * 36, 10),
    )  # fmt: skip
    optimizer = dl.optim.Adam(net.parameters())
    with player.record(limit=1024) as tape:
        dl.nn.functional.cross_entropy(net(dl.ones(1, 1, 32, 32)), dl.tensor([3])).backward()
        optimizer.step()
    assert len(player.page_html(TITLE, BODY, [tape.trace()]).encode()) < 1_000_000
