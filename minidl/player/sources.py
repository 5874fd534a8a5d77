"""The code a trace was recorded from: which line ran, its text, and the listing around the lines that ran."""

from __future__ import annotations

import linecache
import re
from pathlib import PurePath
from types import FrameType
from typing import Any

AROUND = 3
"""Lines shown before and after a line that ran."""

_ASSIGNED = re.compile(r"^\s*([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*(?::[^=]*)?=(?!=)")


class Sources:
    """Files by number, with the lines that ran. Only a file's own name is kept, never the folders it lies in."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._lines: dict[int, set[int]] = {}
        self._text: dict[int, list[str]] = {}

    def at(self, frame: FrameType | None) -> dict[str, Any] | None:
        """The line a frame stands on."""
        if frame is None:
            return None
        path, line = frame.f_code.co_filename, frame.f_lineno
        if path not in self._files:
            number = self._files[path] = len(self._files)
            self._lines[number] = set()
            self._text[number] = [text.rstrip("\n") for text in linecache.getlines(path, frame.f_globals)]
        number = self._files[path]
        self._lines[number].add(line)
        text = self._text[number]
        return {"file": number, "line": line, "code": text[line - 1] if 0 < line <= len(text) else ""}

    def listing(self) -> list[dict[str, Any]]:
        """Each file's name and the stretches of code in which something ran."""
        return [
            {"file": _short(path), "stretches": _stretches(self._text[number], self._lines[number])}
            for path, number in self._files.items()
        ]

    @staticmethod
    def names_from_code(events: list[dict[str, Any]]) -> dict[int, str]:
        """Names of nodes by the assignments they end: `y = w * x + b` names the sum y."""
        named: dict[int, str] = {}
        nodes = [e for e in events if e["kind"] == "node" and e["call"] is not None]
        for k, event in enumerate(nodes):
            following = nodes[k + 1] if k + 1 < len(nodes) else None
            if following is not None and _same_run(event, following):
                continue
            found = _ASSIGNED.match(event["source"]["code"]) if event["source"] else None
            if not found:
                continue
            names = [name.strip() for name in found.group(1).split(",")]
            if len(names) == 1 and event["output"] == 0:
                named[event["id"]] = names[0]
            elif len(names) == event["output"] + 1 and event["call"] is not None:
                for j, name in enumerate(names):
                    if k - len(names) + 1 + j >= 0:
                        named[nodes[k - len(names) + 1 + j]["id"]] = name
        return {key: name for key, name in named.items() if name != "_"}


def _same_run(event: dict[str, Any], following: dict[str, Any]) -> bool:
    """Whether two operations in a row belong to one execution of one line."""
    return event["source"] == following["source"] and event["scope"] == following["scope"]


def _short(path: str) -> str:
    return "…" if path.startswith("<") else PurePath(path).name


def _stretches(text: list[str], ran: set[int]) -> list[dict[str, Any]]:
    """The lines round those that ran, cut where a notebook cell or a gap begins; prose in comments is left out."""
    wanted: set[int] = set()
    for line in ran:
        for step in (-1, 1):
            at = line
            for _ in range(AROUND + 1):
                if not 0 < at <= len(text) or (text[at - 1].startswith("# %%") and at != line):
                    break
                wanted.add(at)
                at += step
    kept = sorted(k for k in wanted if k in ran or not text[k - 1].startswith("#"))
    stretches: list[dict[str, Any]] = []
    for k in kept:
        if stretches and stretches[-1]["first"] + len(stretches[-1]["lines"]) == k:
            stretches[-1]["lines"].append(text[k - 1])
        else:
            stretches.append({"first": k, "lines": [text[k - 1]]})
    return stretches
