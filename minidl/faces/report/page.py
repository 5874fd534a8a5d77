"""The report: one HTML file with everything in it, which needs no network and asks for nothing."""

from __future__ import annotations

import datetime
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Final

from minidl import __version__
from minidl.faces.comparison import Comparison
from minidl.faces.errors import BadDataset
from minidl.faces.report import sections, summary
from minidl.faces.report.findings import Findings
from minidl.faces.report.words import LANGUAGES, both, paragraph, say
from minidl.io import write_atomically

MOST_BYTES: Final = 3_000_000
"""A larger page is refused."""


def report_html(
    findings: Sequence[Findings],
    comparison: Comparison | None = None,
    *,
    photographs: bool = True,
    date: datetime.date | None = None,
) -> str:
    """The page, from what was measured.

    Arguments:
        findings: of each model; sections about one model are about the first.
        comparison: the same models over several splits, if there was one; names must agree.
        photographs: whether the page may contain pictures of the data.
        date: of the measurement; today by default.

    Returns:
        HTML, in English and Chinese.

    Raises:
        BadDataset: there is nothing to report, or the page would exceed 3 MB.

    >>> from minidl.faces import FaceRecognizer, datasets
    >>> from minidl.faces.report import measure
    >>> data = datasets.load("generated").subset(slice(0, 60))
    >>> recognizer = FaceRecognizer("eigen").fit(data.images[::2], data.labels[::2])
    >>> page = report_html([measure(recognizer, data.subset(slice(1, 60, 2)), details=False)], photographs=False)
    >>> page.startswith("<!doctype html>"), "<img" in page
    (True, False)
    """
    if not findings:
        raise BadDataset("a report needs at least one model that was measured")
    first = findings[0]
    name = ", ".join(found.name for found in findings)
    title = "title" if len(findings) == 1 else "title_many"
    facts = {"date": (date or datetime.date.today()).isoformat(), "version": __version__, "images": first.images,
             "people": first.people}  # fmt: skip
    parts = [
        f"<h1>{both(title, name=name)}</h1>",
        paragraph("subtitle", "quiet", **facts),
        paragraph("photographs_here", "note") if photographs else paragraph("photographs_left_out", "quiet"),
        summary.in_words(first, several=len(findings) > 1),
        summary.models(findings, comparison),
        sections.curves(findings),
        summary.thresholds(first),
        sections.damages(findings, photographs),
        sections.people(first),
        *([sections.pairs(first), sections.explained(first)] if photographs else []),
        sections.method(first),
        sections.privacy(),
    ]
    titles = {language: say(title, language, name=name) for language in LANGUAGES}
    values = {
        "title": html.escape(titles["en"]),
        "body": "\n".join(part for part in parts if part),
        "footer": both("made", version=__version__),
        "titles": json.dumps(titles, ensure_ascii=False).replace("<", "\\u003c"),
        "style": _asset("report.css"),
        "script": _asset("report.js"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found.group(1)], _asset("report.html"))
    if (size := len(page.encode())) > MOST_BYTES:
        raise BadDataset(
            f"the page would have {size / 1e6:.1f} MB, and the limit is {MOST_BYTES / 1e6:.0f} MB: leave the "
            "photographs out"
        )
    return page


def write_report(
    path: str | PathLike[str],
    findings: Sequence[Findings],
    comparison: Comparison | None = None,
    *,
    photographs: bool = True,
) -> None:
    """Write the page, replacing what was there in one move; see `report_html`.

    Raises:
        BadDataset: as `report_html`.
        OSError: the file cannot be written.
    """
    write_atomically(Path(path), report_html(findings, comparison, photographs=photographs).encode())


def _asset(name: str) -> str:
    return (files("minidl.faces.report") / "assets" / name).read_text(encoding="utf-8")
