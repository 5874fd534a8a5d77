"""What the page gets of a trace: nodes, steps and plugged formulas, numbers shortened, formulas as MathML."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minidl.player.expression import rounded
from minidl.player.mathml import mathml
from minidl.player.plugging_arrays import winner
from minidl.player.snapshot import Snapshot, number
from minidl.player.steps import Calls, Plugged, Step, level_name, levels_of, steps_of
from minidl.player.tidy import tidied
from minidl.player.trace import Event, Trace

SYMBOLS = {
    "Add": "+", "Sub": "−", "Mul": "×", "Div": "÷", "Neg": "−", "MatMul": "matmul", "Linear": "linear", "Sum": "Σ",
    "Exp": "exp", "Log": "ln", "Sqrt": "√", "Tanh": "tanh", "Sigmoid": "σ", "ReLU": "ReLU", "Softmax": "softmax",
    "PowNumber": "xⁿ", "Pow": "xⁿ", "Conv2d": "conv", "MaxPool2d": "max pool", "AvgPool2d": "avg pool", "AMax": "max",
    "SoftmaxCrossEntropy": "softmax CE", "GetItem": "[ ]", "Reshape": "reshape", "Permute": "transpose", "Cat": "cat",
    "Narrow": "slice", "BroadcastTo": "broadcast", "LogSoftmax": "log softmax", "Standardize": "standardize",
}  # fmt: skip
MARKED = 256
"""Up to so many windows of a pooling are marked in the image."""

LEAVES = ("Leaf", "Parameter", "Constant")


def view(trace: Trace) -> dict[str, Any]:
    """A trace as the page's script reads it."""
    trace = tidied(trace)
    steps = steps_of(trace)
    return {
        "nodes": [_node(node) for node in trace.nodes],
        "steps": [_step_view(trace, step) for step in steps],
        "levels": [level_name(steps, level) for level in levels_of(steps)],
        "levelIndex": levels_of(steps),
        "formulas": {key: _formula(formula) for key, formula in trace.formulas.items()},
        "sources": trace.sources,
        "losses": _losses(trace, steps),
        "landscapes": [_landscape(event) for event in trace.events if event["kind"] == "landscape"],
    }


def symbol(node: Event) -> str:
    """The sign of an operation, as a graph shows it."""
    n = node["attrs"].get("n")
    if node["op"] == "PowNumber" and isinstance(n, int) and n >= 0:
        return "x" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(n))
    if node["op"] == "GetItem" and "index" in node["attrs"]:
        return f"[{node['attrs']['index']}]"
    op: str = node["op"]
    return SYMBOLS.get(op, op)


def short(taken: Snapshot) -> dict[str, Any]:
    """A snapshot with its numbers to seven digits: {"s": shape, "d": data} or {"s", "stats", "corner", "hist"}."""
    if "data" in taken:
        return {"s": taken["shape"], "d": [_shortened(v) for v in taken["data"]], "t": taken["dtype"]}
    return {
        "s": taken["shape"],
        "t": taken["dtype"],
        "stats": {key: _shortened(value) for key, value in taken["stats"].items()},
        "corner": [[_shortened(v) for v in row] for row in taken["corner"]],
        "hist": {"e": [_shortened(e) for e in taken["histogram"]["edges"]], "c": taken["histogram"]["counts"]},
    }


def _shortened(value: Any) -> Any:
    return rounded(value) if isinstance(value, float) else value


def _node(node: Event) -> dict[str, Any]:
    found = {
        "op": node["op"],
        "sym": symbol(node),
        "name": node["name"],
        "in": node["inputs"],
        "v": short(node["value"]),
        "scope": node["scope"],
        "out": node["output"],
    }
    if node["op"] in LEAVES:
        found["leaf"] = node["op"]
    if node["requires_grad"]:
        found["g"] = 1
    return found


def _formula(formula: dict[str, str]) -> dict[str, str]:
    return {
        side: "".join(mathml(part, display=True) for part in parts_of(latex))
        for side, latex in formula.items()
        if latex
    }


def parts_of(latex: str) -> list[str]:
    r"""The equations of a formula, cut at \quad outside of braces, so that a narrow page can wrap them.

    >>> parts_of(r"y = a + b,\quad z = \text{a\quad b}")
    ['y = a + b', 'z = \\text{a\\quad b}']
    """
    parts, depth, start = [], 0, 0
    for found in re.finditer(r"\\(?:quad|begin|end|left|right)\b|[{}]", latex):
        sign = found.group()
        if sign == r"\quad" and not depth:
            parts.append(latex[start : found.start()].strip().rstrip(","))
            start = found.end()
        depth += sign in ("{", r"\begin", r"\left")
        depth -= sign in ("}", r"\end", r"\right")
    return [part for part in [*parts, latex[start:].strip()] if part]


def _equations(plugged: tuple[Plugged, ...]) -> list[Any]:
    return [[p.place, p.expression.to_json(), rounded(p.recorded)] for p in plugged]


def _step_view(trace: Trace, step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"k": step.kind, "groups": list(step.groups)}
    if step.event < 0:
        return found
    event = trace.events[step.event]
    found["scope"] = event["scope"]
    if event["source"]:
        found["at"] = [event["source"]["file"], event["source"]["line"]]
    if step.kind in ("forward", "backward", "update"):
        found |= {"out": list(step.outputs), "in": list(step.inputs)}
    if step.kind == "forward":
        found |= {"f": event["formula"], "eq": _equations(step.plugged), "attrs": _settings(event)}
        if event["op"] == "MaxPool2d":
            found["winners"] = winners_of(trace, event)
        weights = attention_matrix(trace, event)
        if weights is not None:
            found["weights"] = weights
    elif step.kind == "backward":
        node = trace.nodes[event["node"]]
        found |= {
            "f": node["formula"],
            "attrs": _settings(node),
            "winners": winners_of(trace, node) if node["op"] == "MaxPool2d" else None,
            "up": [short(gy) for gy in event["upstream"]],
            "sent": [
                None
                if part is None
                else {"to": part["to"], "v": short(part["value"]), "acc": short(part["accumulated"]),
                      "eq": _equations(formulas or ())}
                for part, formulas in zip(event["contributions"], step.sent, strict=True)
            ],
        }  # fmt: skip
    elif step.kind == "update":
        found |= {
            "f": event["formula"],
            "rule": event["rule"],
            "options": event["options"],
            "before": short(event["before"]),
            "gradient": short(event["gradient"]),
            "after": short(event["after"]),
            "old": _states(event["state_before"]),
            "new": _states(event["state_after"]),
            "lines": [
                [
                    place,
                    [
                        [
                            None if line.letter == "p" else mathml(line.letter),
                            line.expression.to_json(),
                            rounded(line.recorded),
                        ]
                        for line in lines
                    ],
                ]
                for place, lines in step.lines
            ],
        }
    elif step.kind == "draw":
        found |= {"purpose": event["purpose"], "v": short(event["value"])}
    elif step.kind == "check":
        found |= {
            "name": event["name"],
            "eps": event["eps"],
            "passed": event["passed"],
            "rows": [
                {"name": row["name"], "a": short(row["analytic"]), "n": short(row["numeric"]), "error": row["error"],
                 "passed": row["passed"]}
                for row in event["inputs"]
            ],
        }  # fmt: skip
    else:
        found |= {"key": event["key"], "text": event["text"], "passed": event["passed"]}
    return found


def _states(state: dict[str, Any]) -> dict[str, Any]:
    return {key: short(value) if isinstance(value, dict) else value for key, value in state.items()}


def _settings(node: Event) -> dict[str, Any]:
    """The settings a picture needs; the long lists stay in the trace."""
    return {key: value for key, value in node["attrs"].items() if not isinstance(value, list) or len(value) <= 16}


def winners_of(trace: Trace, event: Event) -> list[int] | None:
    """The places in the image that the windows of a max-pooling chose, None where there are too many to mark."""
    call = Calls(trace).call(event["id"])
    x, y = call.inputs[0], call.outputs[0]
    if x is None or y is None or y.size > MARKED:
        return None
    places = []
    for index in np.ndindex(*y.shape):
        h, w = winner(call, index)
        places.append(int(np.ravel_multi_index((*index[:2], h, w), x.shape)))
    return places


def attention_matrix(trace: Trace, event: Event) -> list[dict[str, Any]] | None:
    """The weights of a fused attention, which are neither its input nor its output: one matrix a head, up to eight."""
    if event["op"] != "Attention":
        return None
    call = Calls(trace).call(event["id"])
    values = call.inputs
    rules = event["attrs"]["rules"]
    if any(v is None for v in values) or rules.get("allowed") is not None or rules.get("p"):
        return None
    q, k = values[0], values[1]
    assert q is not None
    assert k is not None
    scores = q @ np.swapaxes(k, -1, -2) * rules["scale"]
    scores = scores if len(values) < 4 else scores + values[3]
    if rules.get("causal"):
        scores = np.where(np.tril(np.ones(scores.shape[-2:], dtype=bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    heads = weights.reshape(-1, *weights.shape[-2:])[:8]
    return [{"s": list(head.shape), "d": [rounded(float(v)) for v in head.reshape(-1)]} for head in heads]


def _losses(trace: Trace, steps: list[Step]) -> list[list[float | str]]:
    """Where backward walks began: [step, value] of each, a curve where there are several."""
    found: list[list[float | str]] = []
    expected: set[int] = set()
    for k, step in enumerate(steps):
        if step.kind != "backward":
            expected = set() if step.kind == "update" else expected
            continue
        event = trace.events[step.event]
        if event["node"] not in expected:
            value = trace.nodes[event["node"]]["value"]
            if "data" in value and len(value["data"]) == 1:
                found.append([k, rounded(float(number(value["data"][0])))])
        expected |= {part["to"] for part in event["contributions"] if part is not None}
    return found


def _landscape(event: Event) -> dict[str, Any]:
    return {
        "nodes": event["parameters"],
        "grids": [[_shortened(v) for v in grid] for grid in event["grids"]],
        "z": [_shortened(v) for v in event["heights"]],
    }
