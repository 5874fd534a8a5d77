"""What a trace must look like: checked field by field, with one sentence for the first fault found.

A trace is {"format": "minidl.trace", "version": 1, "limit", "events", "formulas", "sources"}; `EVENTS` lists the
kinds of events and their fields. A number after `node`, `to`, `inputs` is the id of a node event further up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

FORMAT = "minidl.trace"
VERSION = 1
Check: TypeAlias = Callable[[Any, str, "Seen"], None]


class Seen:
    """What has been read so far: how many nodes, which formulas, how many files, and the limit."""

    def __init__(self, limit: int, formulas: dict[str, Any], files: int) -> None:
        self.nodes, self.limit, self.formulas, self.files = 0, limit, formulas, files


def _refuse(where: str, sentence: str) -> None:
    raise ValueError(f"trace: {where} {sentence}")


def _named(value: Any) -> str:
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return words.get(type(value), f"the number {value}" if isinstance(value, int | float) else type(value).__name__)


def _of(kind: type | tuple[type, ...], words: str) -> Check:
    def check(value: Any, where: str, seen: Seen) -> None:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            _refuse(where, f"should be {words}, but is {_named(value)}")

    return check


def _maybe(check: Check) -> Check:
    return lambda value, where, seen: None if value is None else check(value, where, seen)


def _each(check: Check, words: str) -> Check:
    def every(value: Any, where: str, seen: Seen) -> None:
        _of(list, f"a list of {words}")(value, where, seen)
        for k, item in enumerate(value):
            check(item, f"{where}[{k}]", seen)

    return every


TEXT, WHOLE = _of(str, "a text"), _of(int, "a whole number")
TRUTH, OBJECT = _of(bool, "true or false"), _of(dict, "an object")
_WORDS = ("nan", "inf", "-inf")


def _number(value: Any, where: str, seen: Seen) -> None:
    fits = isinstance(value, int | float) and not (isinstance(value, float) and not math.isfinite(value))
    if not fits and value not in _WORDS and not (isinstance(value, str) and value.endswith("j)")):
        _refuse(where, f"should be a number, 'nan', 'inf' or '-inf', but is {value!r}")


def _node(value: Any, where: str, seen: Seen) -> None:
    WHOLE(value, where, seen)
    if not 0 <= value < seen.nodes:
        _refuse(where, f"names node {value}, but only {seen.nodes} nodes come before it")


def _snapshot(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"shape": _each(WHOLE, "sizes"), "dtype": TEXT})
    try:
        of_numbers = np.dtype(value["dtype"]).kind in "biufc"
    except (TypeError, ValueError, SyntaxError):
        of_numbers = False
    if not of_numbers:
        _refuse(f"{where}.dtype", f"is {value['dtype']!r}, which is no dtype of numbers")
    if any(n < 0 for n in value["shape"]):
        _refuse(f"{where}.shape", f"is {value['shape']}, but no size is negative")
    size = math.prod(value["shape"])
    if "data" in value:
        _each(_number, "numbers")(value["data"], f"{where}.data", seen)
        if len(value["data"]) != size:
            _refuse(f"{where}.data", f"has {len(value['data'])} numbers, but the shape {value['shape']} holds {size}")
        if size > seen.limit:
            _refuse(f"{where}.data", f"holds {size} numbers whole, more than the limit of {seen.limit}")
        return
    _fields(value, where, seen, {"stats": OBJECT, "corner": _each(_each(_number, "numbers"), "rows"),
                                 "histogram": OBJECT})  # fmt: skip
    for key in ("min", "max", "mean", "std", "norm"):
        _fields(value["stats"], f"{where}.stats", seen, {key: _number})
    _fields(value["histogram"], f"{where}.histogram", seen,
            {"edges": _each(_number, "numbers"), "counts": _each(WHOLE, "counts")})  # fmt: skip


def _source(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"file": WHOLE, "line": WHOLE, "code": TEXT})
    if not 0 <= value["file"] < seen.files:
        _refuse(f"{where}.file", f"is {value['file']}, but the trace has {seen.files} files")


def _formula(value: Any, where: str, seen: Seen) -> None:
    TEXT(value, where, seen)
    if value not in seen.formulas:
        _refuse(where, f"is {value!r}, which is not among the formulas")


def _contribution(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"to": _node, "value": _snapshot, "accumulated": _snapshot})


def _state(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    for key, item in value.items():
        (_snapshot if isinstance(item, dict) else _number)(item, f"{where}.{key}", seen)


def _words_in_two_languages(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"zh": TEXT, "en": TEXT})


_COMPARISON = {"name": TEXT, "analytic": _snapshot, "numeric": _snapshot, "error": _number, "passed": TRUTH}


def _comparison(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, _COMPARISON)


_PLACE: dict[str, Check] = {"scope": _each(TEXT, "names"), "source": _maybe(_source)}
EVENTS: dict[str, dict[str, Check]] = {
    "node": _PLACE | {
        "id": WHOLE, "op": TEXT, "inputs": _each(_node, "nodes"), "attrs": OBJECT, "value": _snapshot, "device": TEXT,
        "name": TEXT, "formula": _maybe(_formula), "call": _maybe(WHOLE), "output": WHOLE, "requires_grad": TRUTH,
    },
    "grad": _PLACE | {
        "node": _node, "upstream": _each(_snapshot, "snapshots"),
        "contributions": _each(_maybe(_contribution), "contributions"),
    },
    "update": _PLACE | {
        "node": _node, "rule": TEXT, "before": _snapshot, "gradient": _snapshot, "after": _snapshot,
        "state_before": _state, "state_after": _state, "options": OBJECT, "formula": _formula,
    },
    "draw": _PLACE | {"purpose": TEXT, "value": _snapshot},
    "check": _PLACE | {"name": TEXT, "eps": _number, "inputs": _each(_comparison, "inputs"), "passed": TRUTH},
    "note": _PLACE | {"key": TEXT, "text": _words_in_two_languages, "passed": _maybe(TRUTH)},
    "landscape": _PLACE | {
        "parameters": _each(_node, "nodes"), "grids": _each(_each(_number, "numbers"), "grids"),
        "heights": _each(_number, "numbers"),
    },
}  # fmt: skip
"""The kinds of events and what each field holds."""


def _fields(value: dict[str, Any], where: str, seen: Seen, checks: dict[str, Check]) -> None:
    for key, check in checks.items():
        if key not in value:
            _refuse(where, f"has no {key!r}")
        check(value[key], f"{where}.{key}", seen)


def _stretch(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"first": WHOLE, "lines": _each(TEXT, "lines")})


def _file(value: Any, where: str, seen: Seen) -> None:
    OBJECT(value, where, seen)
    _fields(value, where, seen, {"file": TEXT, "stretches": _each(_stretch, "stretches")})


def validate(data: Any) -> None:
    """Check that data is a trace.

    Raises:
        ValueError: it is not; the sentence names the place and what is wrong there.
    """
    nothing = Seen(0, {}, 0)
    OBJECT(data, "the file", nothing)
    if data.get("format") != FORMAT:
        _refuse("the file", f"says its format is {data.get('format')!r}, not {FORMAT!r}")
    if data.get("version") != VERSION:
        _refuse("the file", f"is of version {data.get('version')!r}; this reader knows version {VERSION}")
    _fields(data, "the file", nothing, {"limit": WHOLE, "events": _of(list, "a list of events"), "formulas": OBJECT,
                                        "sources": _each(_file, "files")})  # fmt: skip
    for key, formula in data["formulas"].items():
        OBJECT(formula, f"formulas.{key}", nothing)
        _fields(formula, f"formulas.{key}", nothing, {"forward": TEXT, "adjoint": TEXT})
    seen = Seen(data["limit"], data["formulas"], len(data["sources"]))
    for k, event in enumerate(data["events"]):
        where = f"events[{k}]"
        OBJECT(event, where, seen)
        kind = event.get("kind")
        if not isinstance(kind, str) or kind not in EVENTS:
            _refuse(where, f"is of kind {kind!r}; there are {', '.join(EVENTS)}")
        _fields(event, where, seen, EVENTS[kind])
        if kind == "node":
            if event["id"] != seen.nodes:
                _refuse(
                    f"{where}.id", f"is {event['id']}; the nodes are numbered in order, so it should be {seen.nodes}"
                )
            seen.nodes += 1
        elif kind == "grad":
            _refuse_other_length(data["events"], event, where)


def _refuse_other_length(events: list[Any], event: dict[str, Any], where: str) -> None:
    """A gradient sends one contribution, or nothing, to each input of its node."""
    node = next(e for e in events if e["kind"] == "node" and e["id"] == event["node"])
    if len(event["contributions"]) != len(node["inputs"]):
        _refuse(
            f"{where}.contributions",
            f"has {len(event['contributions'])} entries, but node {node['id']} has {len(node['inputs'])} inputs",
        )
