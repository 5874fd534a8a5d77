"""The formula with the numbers in it comes to what the engine recorded, for every rule, forward and backward."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case

import minidl as dl
from minidl import optim, player
from minidl.autograd.variable import Variable
from minidl.ops.registry import REGISTRY, Operation
from minidl.player.expression import Expression, call, number, show, total
from minidl.player.plugging import RULES, Call, Rule
from minidl.player.plugging_updates import UPDATES, Line, agrees
from minidl.player.steps import Plugged, Step, steps_of
from minidl.player.tidy import tidied

FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp, "ln": math.log, "√": math.sqrt, "tanh": math.tanh, "σ": lambda x: 1 / (1 + math.exp(-x)),
    "sin": math.sin, "cos": math.cos, "erf": math.erf, "sign": lambda x: float(np.sign(x)), "max": max, "min": min,
}  # fmt: skip


# ── registry: every rule, on the examples of the operations ───────────────────────────────────────


def _recorded(operation: Operation, inside: bool) -> player.Trace:
    """A trace of the operation's example, forward and, with a drawn gradient, backward."""
    case = Case(operation)
    with player.record(inside=inside) as tape:
        outputs = [y for y in case(*case.leaves()) if y.requires_grad]
        for y, gy in zip(outputs, case.cotangents(outputs), strict=True):
            y.backward(Variable._wrap(gy), retain_graph=True)
    return tape.trace()


def _others(rng: np.random.Generator) -> player.Trace:
    """What no example of the registry reaches: the plain logistic loss, a copy, another dtype."""
    x, t = (dl.tensor(rng.uniform(0.1, 0.9, (2, 3)), requires_grad=True) for _ in range(2))
    with player.record() as tape:
        loss = dl.ops.binary_cross_entropy_with_logits(x.clone(), t)
        (loss + x.float().sum() + dl.where(x > 0.5, x, t).sum()).backward()
    return tape.trace()


def _claims(step: Step) -> Iterator[Plugged]:
    yield from step.plugged
    for part in step.sent:
        yield from part or ()


def _used(trace: player.Trace, step: Step) -> set[str]:
    """The rules that a step's formulas came from, "Mul" forward and "Mul'" backward."""
    if step.kind == "forward" and step.plugged:
        return {str(trace.events[step.event]["op"])}
    if step.kind == "backward" and any(step.sent):
        return {trace.nodes[step.outputs[0]]["op"] + "'"}
    return set()


def test_every_rule_comes_to_what_the_engine_computed(rng: np.random.Generator) -> None:
    seen: set[str] = set()
    wrong: list[str] = []
    traces = [("others", _others(rng))]
    traces += [(o.name, _recorded(o, inside)) for o in REGISTRY.values() for inside in (False, True)]
    traces += [(f"{name}, tidied", tidied(trace)) for name, trace in traces if tidied(trace) is not trace]
    assert len(traces) > 2 * len(REGISTRY) + 10
    for name, trace in traces:
        tolerance = 1e-6 if name == "others" else 1e-9  # part of it is float32
        for step in steps_of(trace):
            seen |= _used(trace, step)
            for claim in _claims(step):
                computed = claim.expression.evaluate()
                if not math.isclose(computed, claim.recorded, rel_tol=tolerance, abs_tol=tolerance):
                    kind = trace.nodes[step.outputs[0]]["op"]
                    wrong.append(f"{name}: {step.kind} {kind} {claim.expression.text()} = {computed}, {claim.recorded}")
    assert not wrong, "\n".join(wrong[:20])
    expected = set(RULES) | {f"{name}'" for name, rule in RULES.items() if rule.backward is not None}
    untested = expected - seen - {"ToDevice", "ToDevice'"}  # moves numbers to another device, where there is one
    assert not untested, f"rules that no example of the registry reached: {sorted(untested)}"


@pytest.mark.parametrize("name", ["Mul", "Linear", "Conv2d", "Softmax", "MaxPool2d", "SoftmaxCrossEntropy", "Narrow"])
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above has teeth: with one number changed in a rule, its formulas no longer come to the record."""
    right = RULES[name]

    def forward(c: Call, index: tuple[int, ...]) -> Expression:
        return right.forward(c, index) + 1e-3

    monkeypatch.setitem(RULES, name, Rule(forward, right.backward))
    operation = next(o for o in REGISTRY.values() if name in [f.__name__ for f in o.functions])
    claims = [c for s in steps_of(_recorded(operation, inside=False)) if s.kind == "forward" for c in s.plugged]
    assert any(not math.isclose(c.expression.evaluate(), c.recorded, rel_tol=1e-9, abs_tol=1e-9) for c in claims)


# ── what is printed is what is meant ──────────────────────────────────────────────────────────────


def _read(text: str) -> float:
    """Evaluate a printed formula, knowing nothing but arithmetic."""
    python = text.replace("−", "-").replace("·", "*").replace("^", "**").replace("√", "sqrt").replace("σ", "sigma")
    python = re.sub(r"\|([^|]*)\|", r"abs(\1)", python)
    names = {
        **{k: v for k, v in FUNCTIONS.items() if k.isalpha()},
        "sqrt": math.sqrt,
        "sigma": FUNCTIONS["σ"],
        "abs": abs,
    }
    return float(_value(ast.parse(python, mode="eval").body, names))


_OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg,
}  # fmt: skip


def _value(node: ast.AST, names: dict[str, Callable[..., float]]) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return names[node.func.id](*[_value(a, names) for a in node.args])
    if isinstance(node, ast.List):  # [a > b]
        return _value(node.elts[0], names)
    if isinstance(node, ast.Compare):
        a, b = _value(node.left, names), _value(node.comparators[0], names)
        return float({ast.Gt: a > b, ast.GtE: a >= b, ast.Eq: a == b}[type(node.ops[0])])
    raise AssertionError(ast.dump(node))


def test_what_is_printed_means_the_same() -> None:
    """Brackets and signs are where they must be: the printed line, read back, gives the value."""
    read = 0
    for name in ("sub", "div", "neg", "exp", "tanh", "sigmoid", "relu", "linear", "matmul", "softmax", "conv2d",
                 "max_pool2d", "cross_entropy", "log_softmax", "elu", "softplus", "pow", "standardize"):  # fmt: skip
        if name not in REGISTRY:
            continue
        trace = _recorded(REGISTRY[name], inside=False)
        for step in steps_of(trace):
            for claim in _claims(step):
                text = claim.expression.text(12)
                if "…" in text:
                    continue
                text = re.sub(r"(?<![<>=])=(?!=)", "==", text).replace("≥", ">=")
                assert _read(text) == pytest.approx(claim.recorded, rel=1e-6, abs=1e-8), text
                read += 1
    assert read > 300


def test_the_example_of_the_plan() -> None:
    """0.7·0.155 + (−0.2)·(−0.7408) + 0.5·1 = 0.7567, as LESSONS shows it."""
    w, x = dl.tensor([[0.7, -0.2, 0.5]], dtype=dl.float64), dl.tensor([[0.155, -0.7408, 1.0]], dtype=dl.float64)
    with player.record() as tape:
        dl.ops.linear(x, w)
    (claim,) = steps_of(tape.trace())[1].plugged
    assert claim.expression.text() == "0.155·0.7 + (−0.7408)·(−0.2) + 1·0.5"
    assert show(claim.recorded) == "0.7567"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (number(2.0) * -3.0, "2·(−3)"),
        (number(-2.0) + -3.0, "−2 + (−3)"),
        (number(1.0) - (number(2.0) - 3.0), "1 − (2 − 3)"),
        ((number(1.0) + 2.0) * 3.0, "(1 + 2)·3"),
        (-(number(1.0) + 2.0), "−(1 + 2)"),
        (number(-2.0) ** 2, "(−2)^2"),
        ((number(1.0) / 2.0) / 3.0, "1 / 2 / 3"),
        (number(1.0) / (number(2.0) / 3.0), "1 / (2 / 3)"),
        (2.0 * -number(3.0), "2·(−3)"),
        (call("exp", -number(0.5)), "exp(−0.5)"),
        (total([number(float(k)) for k in range(20)]), "0 + 1 + 2 + 3 + 4 + 5 + … 12 … + 18 + 19"),
    ],
)
def test_brackets_stand_where_they_must(expression: Expression, text: str) -> None:
    assert expression.text() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.5, "−0.5"), (36.0, "36"), (0.31002, "0.31"), (0.7408, "0.7408"), (0.002479, "0.002479"),
     (1234.5678, "1235"), (1e-8, "1e−8"), (-2.5e9, "−2.5e9"), (math.inf, "∞"), (math.nan, "nan"), (19.99996, "20")],
)  # fmt: skip
def test_numbers_for_the_eye(value: float, text: str) -> None:
    assert show(value) == text


# ── optimizers ────────────────────────────────────────────────────────────────────────────────────

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {"lr": 1.0}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.9}),
]


def _updates(name: str, options: dict[str, Any], rng: np.random.Generator, dtype: Any) -> list[Line]:
    w = dl.tensor(rng.normal(size=(2, 3)), dtype=dtype, requires_grad=True)
    optimizer = getattr(optim, name)([w], **options)
    with player.record() as tape:
        for _ in range(3):
            optimizer.zero_grad()
            ((w * w).sum() + w.exp().sum()).backward()
            optimizer.step()
    updates = [step for step in steps_of(tape.trace()) if step.kind == "update"]
    assert len(updates) == 3
    return [line for step in updates for _, lines in step.lines for line in lines]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("dtype", [dl.float32, dl.float64], ids=["float32", "float64"])
def test_updates_come_to_what_was_recorded(
    name: str, options: dict[str, Any], dtype: Any, rng: np.random.Generator
) -> None:
    lines = _updates(name, options, rng, dtype)
    assert len(lines) >= 18
    for line in lines:
        assert agrees(line, np.dtype(dtype)), (
            f"{name} {options}: {line.letter} = {line.expression.text()} ≠ {line.recorded}"
        )


def test_every_update_rule_is_tried() -> None:
    assert {name for name, _ in OPTIMIZERS} == set(UPDATES)


def test_a_wrong_update_is_caught(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam without its correction for the start, the error of document 001, does not come to the record."""
    lines = _updates("Adam", {"lr": 0.1}, rng, dl.float64)

    def uncorrected(u: Any) -> list[Line]:
        return [u.moved(u.p - u.options["lr"] * u.now("exp_avg") / (call("sqrt", u.now("exp_avg_sq")) + 1e-8))]

    monkeypatch.setitem(UPDATES, "Adam", uncorrected)
    assert all(agrees(line, np.dtype(np.float64)) for line in lines)
    assert not all(agrees(line, np.dtype(np.float64)) for line in _updates("Adam", {"lr": 0.1}, rng, dl.float64))
