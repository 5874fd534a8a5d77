"""A trace without bookkeeping: reshapes that nobody wrote are left out, so that W @ h is one step and not three.

A vector that is multiplied becomes a column before and a vector again after. Both are operations of the engine, and
stand in the trace; but the numbers and their order stay the same, and in the code there is nothing of it. Here such an
operation is merged with the one whose result it takes over, or passed by; `attrs["as"]` and `attrs["out"]` keep the
shapes with which the remaining operations ran.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from minidl.player.trace import Event, Trace

WRITTEN = re.compile(r"reshape|view|flatten|squeeze|stack|unfold", re.IGNORECASE)
"""Words by which a line of code, or a module's name, asks for a reshape itself."""


def tidied(trace: Trace) -> Trace:
    """The trace without reshapes that are not in the code; the trace itself where there are none."""
    nodes = trace.nodes
    after, before = _bookkeeping(nodes, trace.events)
    if not after and not before:
        return trace
    stands_for = {**after, **before}

    def root(node: int) -> int:
        while node in stands_for:
            node = stands_for[node]
        return node

    kept = [node["id"] for node in nodes if node["id"] not in stands_for]
    number = {old: new for new, old in enumerate(kept)}
    new_id = {node["id"]: number[root(node["id"])] for node in nodes}
    taken_over = {producer: nodes[q] for q, producer in after.items()}
    sums = {e["node"]: e["contributions"][0]["accumulated"] for e in trace.events if e["kind"] == "grad"
            and e["node"] in before and e["contributions"][0]}  # fmt: skip
    events = [
        _renumbered(event, nodes, new_id, taken_over, sums)
        for event in trace.events
        if event.get("id") not in stands_for and not (event["kind"] == "grad" and event["node"] in stands_for)
    ]
    return Trace(trace.limit, events, trace.formulas, trace.sources)


def _bookkeeping(nodes: list[Event], events: list[Event]) -> tuple[dict[int, int], dict[int, int]]:
    """The reshapes to leave out: those merged with what they reshape, and those passed by; each with its input."""
    uses = Counter(k for node in nodes for k in node["inputs"])
    walked = Counter(event["node"] for event in events if event["kind"] == "grad")
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for node in nodes:
        if node["op"] != "Reshape" or node["source"] is None or _written(node):
            continue
        (source,) = node["inputs"]
        producer = nodes[source]
        single = producer["call"] is not None and producer["op"] != "Reshape" and not _has_twin(nodes, source)
        if single and uses[source] == 1 and not producer["name"]:
            after[node["id"]] = source
        elif not node["name"] and uses[node["id"]] == 1 and walked[node["id"]] <= 1:
            before[node["id"]] = source
    return after, before


def _written(node: Event) -> bool:
    return bool(WRITTEN.search(node["source"]["code"]) or any(WRITTEN.search(part) for part in node["scope"]))


def _has_twin(nodes: list[Event], node: int) -> bool:
    """Whether the operation that made a value made others too."""
    call = nodes[node]["call"]
    return any(0 <= k < len(nodes) and nodes[k]["call"] == call for k in (node - 1, node + 1))


def _renumbered(event: Event, nodes: list[Event], new_id: dict[int, int], taken_over: dict[int, Event],
                sums: dict[int, Any]) -> Event:  # fmt: skip
    kind = event["kind"]
    if kind == "node":
        changed = {**event, "id": new_id[event["id"]], "inputs": [new_id[k] for k in event["inputs"]]}
        if event["call"] is not None:
            shapes = [nodes[k]["value"]["shape"] for k in event["inputs"]]
            changed["attrs"] = {**event["attrs"], "as": shapes, "out": event["value"]["shape"]}
        follower = taken_over.get(event["id"])
        if follower is not None:
            changed |= {"name": follower["name"] or event["name"], "value": follower["value"]}
        return changed
    if kind == "grad":
        sent = [
            part and {**part, "to": new_id[part["to"]], "accumulated": sums.get(part["to"], part["accumulated"])}
            for part in event["contributions"]
        ]
        return {**event, "node": new_id[event["node"]], "contributions": sent}
    if kind == "update":
        return {**event, "node": new_id[event["node"]]}
    if kind == "landscape":
        return {**event, "parameters": [new_id[k] for k in event["parameters"]]}
    return event
