"""The code a trace was recorded from: which line ran, its text, and the listing around the lines that ran."""

from __future__ import annotations

import linecache
import re
from pathlib import PurePath
from types import FrameType
from typing import Any, NamedTuple

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
            {"file": _short(path), "stretches": _dedented(_stretches(self._text[number], self._lines[number]))}
            for path, number in self._files.items()
        ]


class Run(NamedTuple):
    """Where an operation was called from: the frame, its line, the instruction, and the parts named by the caller."""

    frame: int
    line: int
    instruction: int
    parts: tuple[str, ...]

    def continued_by(self, following: Run | None) -> bool:
        """Whether the next operation belongs to the same execution of the same line."""
        same = following is not None and following[:2] == self[:2] and following.parts == self.parts
        return same and following is not None and following.instruction >= self.instruction


def names_from_code(nodes: list[dict[str, Any]], runs: dict[int, Run]) -> dict[int, str]:
    """Names of results by the assignments they end: `y = w * x + b` names the sum y, `h, c = cell(x)` both outputs."""
    named: dict[int, str] = {}
    results = [node for node in nodes if node["id"] in runs]
    for k, node in enumerate(results):
        following = results[k + 1] if k + 1 < len(results) else None
        if following is not None and runs[node["id"]].continued_by(runs[following["id"]]):
            continue
        found = _ASSIGNED.match(node["source"]["code"]) if node["source"] else None
        names = [name.strip() for name in found.group(1).split(",")] if found else []
        if len(names) == 1 and node["output"] == 0:
            named[node["id"]] = names[0]
        elif len(names) > 1 and node["output"] == len(names) - 1:
            named |= {results[k - len(names) + 1 + j]["id"]: name for j, name in enumerate(names)}
    return {key: name for key, name in named.items() if name != "_"}


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
    return [_trimmed(stretch) for stretch in stretches if any(line.strip() for line in stretch["lines"])]


def _dedented(stretches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stretches without the indentation that all their lines share."""
    lines = [line for stretch in stretches for line in stretch["lines"] if line.strip()]
    common = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return [{**stretch, "lines": [line[common:] for line in stretch["lines"]]} for stretch in stretches]


def _trimmed(stretch: dict[str, Any]) -> dict[str, Any]:
    """The stretch without empty lines at its ends."""
    first, lines = stretch["first"], list(stretch["lines"])
    while not lines[0].strip():
        first, lines = first + 1, lines[1:]
    while not lines[-1].strip():
        lines.pop()
    return {"first": first, "lines": lines}
