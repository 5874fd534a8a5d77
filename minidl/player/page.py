"""The page: one HTML file with everything in it, which needs no network and asks for nothing."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from minidl.player.trace import Trace
from minidl.player.view import view

LANGUAGES = ("zh", "en")
MAX_BYTES = 2_000_000
"""A page that is larger is refused: it would be slow to open, and no lesson needs it."""

SCRIPTS = (
    "numbers.js", "formula.js", "table.js", "layout.js", "graph.js", "picture.js", "card.js", "player.js", "page.js",
)  # fmt: skip
"""The script, in the order in which its parts are put together."""

_ADDRESS = re.compile(
    r"""(?:\b(?:src|href|srcset|action|poster|data)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?)(?!data:|\#)"""
    r"""\s*((?:[a-z][a-z0-9+.-]*:)?//[^\s"'>)]+)""",
    re.IGNORECASE,
)


def _asset(name: str) -> bytes:
    return (files("minidl.player") / "assets" / name).read_bytes()


@functools.cache
def strings() -> dict[str, dict[str, str]]:
    """What the player says, by language and key."""
    return tomllib.loads((files("minidl.player") / "strings.toml").read_text(encoding="utf-8"))


@functools.cache
def _template() -> dict[str, str]:
    """The parts of every page that do not depend on it."""
    parts = [_asset(name).decode() for name in SCRIPTS]
    return {
        "page": _asset("page.html").decode(),
        "style": _asset("style.css").decode(),
        "script": "(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();",
        "font": base64.b64encode(_asset("minidl-math.woff2")).decode(),
    }


def page_html(title: Mapping[str, str], body: str, traces: Sequence[Trace] = ()) -> str:
    """A page that can be opened from a file, with players for the traces.

    Arguments:
        title: {"zh": …, "en": …}, plain text.
        body: HTML. Of elements with lang="zh" and lang="en" those of the chosen language are shown. Wherever it has
            `<div class="player" data-trace="k"></div>`, trace k can be played.
        traces: what is played.

    Returns:
        The HTML text: styles, script, font and data are inside, nothing is fetched.

    Raises:
        ValueError: a title is missing, a player names a trace that is not there, the body asks for something from
            elsewhere, or the page exceeds 2 MB.
    """
    for language in LANGUAGES:
        if not title.get(language):
            raise ValueError(f"page_html: the title lacks its {language!r} text")
    for wanted in re.findall(r'data-trace="([^"]*)"', body):
        if not (wanted.isdigit() and int(wanted) < len(traces)):
            raise ValueError(
                f"page_html: the body has a player for trace {wanted!r}, but there are {len(traces)} traces"
            )
    foreign = _ADDRESS.search(body)
    if foreign:
        raise ValueError(f"page_html: the body asks for {foreign.group(1)}; a page must bring everything with it")
    data = {
        "strings": strings(),
        "title": {key: title[key] for key in LANGUAGES},
        "traces": [_shown(k, t) for k, t in enumerate(traces)],
    }
    filled = _filled(title, body, data)
    size = len(filled.encode())
    if size > MAX_BYTES:
        raise ValueError(
            f"page_html: the page would have {size:,} bytes, more than {MAX_BYTES:,}; record less, or with a smaller "
            f"limit"
        )
    return filled


def _shown(k: int, trace: Trace) -> dict[str, Any]:
    try:
        return view(trace)
    except (ArithmeticError, LookupError, TypeError, StopIteration) as error:
        raise ValueError(
            f"page_html: trace {k} cannot be shown: its values, settings and formulas do not fit together "
            f"({type(error).__name__}: {error})"
        ) from error


def _filled(title: Mapping[str, str], body: str, data: Any) -> str:
    template = _template()
    values = {
        "lang": LANGUAGES[0],
        "title": html.escape(f"{title['zh']} · {title['en']}"),
        "title_zh": html.escape(title["zh"]),
        "title_en": html.escape(title["en"]),
        "body": body,
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        **{key: template[key] for key in ("style", "script", "font")},
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found.group(1)], template["page"])
