"""The recorded graph: values as boxes, operations on their way, time from left to right."""

from __future__ import annotations

from typing import Any

from minidl.player import Trace
from minidl.teaching import symbols
from minidl.teaching.drawing.canvas import Canvas, Drawing
from minidl.teaching.values import number

SIGNS = {"Add": "+", "Sub": "−", "Mul": "×", "Div": "÷", "Neg": "−", "PowNumber": "xⁿ", "Pow": "xⁿ", "MatMul": "·",
         "Sigmoid": "σ", "Sum": "Σ", "Tanh": "tanh", "Exp": "exp", "Log": "log", "Cat": "[ , ]"}  # fmt: skip
BOX, TALL, APART, BETWEEN = 84.0, 40.0, 34.0, 16.0


def graph(recorded: Any, *, values: bool = True) -> Drawing:
    """The graph that a `trace` block recorded: leaves on the left, each result to the right of what it was made from.

    Arguments:
        recorded: what `trace` gave, or a trace of the player.
        values: write numbers of up to two elements into the boxes; larger values show their shape.
    """
    trace: Trace = getattr(recorded, "trace", recorded)
    nodes = {node["id"]: node for node in trace.nodes}
    columns = _columns(nodes)
    rows = _rows(nodes, columns)
    wide = max(columns.values(), default=0) + 1
    tall = max(rows.values(), default=0.0) + 1
    bends = {(k, key): _round(k, key, columns, rows) for key, node in nodes.items() for k in node["inputs"]}
    above, below = (24 * any(side == bend for bend in bends.values()) for side in (-1, 1))
    canvas = Canvas(12 + wide * (BOX + APART) - APART, 12 + tall * (TALL + BETWEEN) - BETWEEN + above + below)
    at = {key: (6 + columns[key] * (BOX + APART), 6 + above + rows[key] * (TALL + BETWEEN)) for key in nodes}
    for key, node in nodes.items():
        for i, k in enumerate(node["inputs"]):
            shift = 7 * (2 * i - len(node["inputs"]) + 1) if node["inputs"].count(k) > 1 else 0
            x0, y0, x1, y1 = at[k][0] + BOX, at[k][1] + TALL / 2 + shift, at[key][0], at[key][1] + TALL / 2 + shift
            bend = max(20.0, (x1 - x0) / 2)
            way = bends[k, key] * 1.5 * TALL
            curve = f"{x0 + bend:.0f} {y0 + way:.0f} {x1 - bend:.0f} {y1 + way:.0f} {x1:.0f} {y1:.0f}"
            canvas.raw(f'<path d="M{x0:.0f} {y0:.0f}C{curve}m-7 -4l7 4l-7 4" class="edge"/>')
    lines = []
    for key, node in nodes.items():
        x, y = at[key]
        canvas.rect(x, y, BOX, TALL, "node", "stroke-width:2.5" if node["requires_grad"] and not node["inputs"] else "")
        sign = SIGNS.get(node["op"], node["op"]) if node["inputs"] else ""
        title = " ".join(part for part in (node["name"], f"({sign})" if sign and node["name"] else sign) if part)
        shown = _value(node["value"]) if values else ""
        canvas.symbol(x + BOX / 2, y + (16 if shown else 25), title or shown, size=14 if len(title) < 11 else 10)
        if shown and title:
            canvas.symbol(x + BOX / 2, y + 32, shown, css="digits", size=12)
        source = f" = {sign}({', '.join(_called(nodes[k]) for k in node['inputs'])})" if sign else ""
        lines.append(f"  {_called(node)}{source} → {_value(node['value'])}")
    return canvas.drawing("\n".join(lines))


def _round(start: int, end: int, columns: dict[int, int], rows: dict[int, float]) -> int:
    """Whether an edge has to bend round a box on its straight way: 1 below, -1 above, 0 not at all."""
    steps = columns[end] - columns[start]
    for key, column in columns.items():
        if columns[start] < column < columns[end]:
            passes = rows[start] + (rows[end] - rows[start]) * (column - columns[start]) / steps
            if abs(passes - rows[key]) < 0.6:
                return 1 if passes >= rows[key] else -1
    return 0


def _columns(nodes: dict[int, Any]) -> dict[int, int]:
    """Results one column after their last input; leaves one column before the first that uses them."""
    found: dict[int, int] = {}
    for key, node in nodes.items():
        found[key] = 1 + max((found[k] for k in node["inputs"]), default=-1)
    for key, node in nodes.items():
        users = [found[other] for other, each in nodes.items() if key in each["inputs"]]
        if not node["inputs"] and users:
            found[key] = min(users) - 1
    return found


def _rows(nodes: dict[int, Any], columns: dict[int, int]) -> dict[int, float]:
    """Each node near the middle of its neighbours, nobody on top of another."""
    members: dict[int, list[int]] = {}
    for key, column in columns.items():
        members.setdefault(column, []).append(key)
    rows = {key: float(i) for keys in members.values() for i, key in enumerate(keys)}
    neighbours = {key: list(node["inputs"]) for key, node in nodes.items()}
    for key, node in nodes.items():
        for k in node["inputs"]:
            neighbours[k] = [*neighbours[k], key]
    for sweep in range(8):
        for column in sorted(members, reverse=sweep % 2 == 1):
            wanted = {
                key: sum(rows[k] for k in neighbours[key]) / len(neighbours[key]) if neighbours[key] else rows[key]
                for key in members[column]
            }
            low = -1.0
            for key in sorted(members[column], key=lambda each: (wanted[each], each)):
                low = rows[key] = max(wanted[key], low + 1)
    least = min(rows.values(), default=0.0)
    return {key: row - least for key, row in rows.items()}


def _called(node: Any) -> str:
    return symbols.plain(node["name"]) or (_value(node["value"]) if not node["inputs"] else f"#{node['id']}")


def _value(value: Any) -> str:
    data = value.get("data")
    if data is not None and len(data) <= 2 and not any(isinstance(v, str) for v in data):
        return ", ".join(number(round(v, 4) if isinstance(v, float) else v) for v in data)
    return "×".join(str(n) for n in value["shape"])
