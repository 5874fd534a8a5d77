"""Formulas with numbers in them: trees that can be evaluated, printed, and drawn by the page.

    x = number(0.7, "x0", 0) * number(0.155, "x1", 2) + 1

reads 0.7·0.155 + 1 and evaluates to 1.1085; every number knows which element of which array it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Ref: TypeAlias = tuple[str, int]
"""Where a number comes from: an array ("x0", "x1", … the inputs, "y" the output, "gy" …) and the element's place."""

SHOWN_TERMS = 16
KEPT_TERMS = (6, 2)
"""A sum of more than 16 terms shows the first six and the last two."""


@dataclass(frozen=True)
class Expression:
    """A number, or an operation on expressions; arithmetic on expressions makes expressions."""

    kind: str
    parts: tuple[Expression, ...] = ()
    value: float = 0.0
    ref: Ref | None = None

    def __add__(self, other: Operand) -> Expression:
        return Expression("+", (*_terms("+", self), *_terms("+", _as(other))))

    def __mul__(self, other: Operand) -> Expression:
        return Expression("*", (*_terms("*", self), *_terms("*", _as(other))))

    def __sub__(self, other: Operand) -> Expression:
        return Expression("-", (self, _as(other)))

    def __truediv__(self, other: Operand) -> Expression:
        return Expression("/", (self, _as(other)))

    def __pow__(self, other: Operand) -> Expression:
        return Expression("^", (self, _as(other)))

    def __neg__(self) -> Expression:
        return Expression("neg", (self,))

    def __radd__(self, other: float) -> Expression:
        return _as(other) + self

    def __rmul__(self, other: float) -> Expression:
        return _as(other) * self

    def __rsub__(self, other: float) -> Expression:
        return _as(other) - self

    def __rtruediv__(self, other: float) -> Expression:
        return _as(other) / self

    def evaluate(self) -> float:
        """What the expression comes to, in float64."""
        if self.kind == "number":
            return self.value
        return KINDS[self.kind].compute(*[part.evaluate() for part in self.parts])

    def text(self, digits: int = 4) -> str:
        """The expression on one line, numbers to so many significant digits."""
        if self.kind == "number":
            return show(self.value, digits)
        return KINDS[self.kind].write(self, [_in_context(self, k, digits) for k in range(len(self.parts))])

    def to_json(self) -> list[Any]:
        """For the page: ["n", value, array, place] for a number, [kind, part, …] otherwise; long sums are cut."""
        if self.kind == "number":
            return ["n", rounded(self.value), *(self.ref or ())]
        shown: list[Any] = [part.to_json() for part in self.parts]
        if self.kind in ("+", "max") and len(shown) > SHOWN_TERMS:
            first, last = KEPT_TERMS
            shown = [*shown[:first], ["…", len(shown) - first - last], *shown[-last:]]
        return [self.kind, *shown]


Operand: TypeAlias = "Expression | float"


@dataclass(frozen=True)
class Kind:
    """One kind of expression: how it is computed and written, and how tightly it binds (a sum least)."""

    compute: Callable[..., float]
    write: Callable[[Expression, list[str]], str]
    binding: int = 9


def _called(name: str) -> Callable[[Expression, list[str]], str]:
    return lambda _, parts: f"{name}({', '.join(parts)})"


def _joined(separator: str) -> Callable[[Expression, list[str]], str]:
    def write(whole: Expression, parts: list[str]) -> str:
        if len(parts) > SHOWN_TERMS:
            first, last = KEPT_TERMS
            parts = [*parts[:first], f"… {len(parts) - first - last} …", *parts[-last:]]
        return separator.join(parts)

    return write


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


def _tests(relation: Callable[[float, float], bool]) -> Callable[[float, float], float]:
    return lambda a, b: float(relation(a, b))


KINDS: dict[str, Kind] = {
    "+": Kind(lambda *parts: math.fsum(parts), _joined(" + "), 1),
    "-": Kind(lambda a, b: a - b, lambda _, p: f"{p[0]} − {p[1]}", 1),
    "*": Kind(lambda *parts: math.prod(parts), _joined("·"), 3),
    "/": Kind(lambda a, b: a / b, lambda _, p: f"{p[0]} / {p[1]}", 2),
    "neg": Kind(lambda a: -a, lambda _, p: f"−{p[0]}", 2),
    "^": Kind(lambda a, b: a**b, lambda _, p: f"{p[0]}^{p[1]}", 4),
    "exp": Kind(_exp, _called("exp")),
    "ln": Kind(lambda a: math.log(a) if a > 0 else -math.inf, _called("ln")),
    "sqrt": Kind(math.sqrt, lambda _, p: f"√({p[0]})"),
    "tanh": Kind(math.tanh, _called("tanh")),
    "sigma": Kind(lambda a: 1 / (1 + _exp(-a)), _called("σ")),
    "sin": Kind(math.sin, _called("sin")),
    "cos": Kind(math.cos, _called("cos")),
    "erf": Kind(math.erf, _called("erf")),
    "abs": Kind(abs, lambda _, p: f"|{p[0]}|"),
    "sign": Kind(lambda a: float((a > 0) - (a < 0)), _called("sign")),
    "max": Kind(lambda *parts: max(parts), _called("max")),
    "min": Kind(lambda *parts: min(parts), _called("min")),
    "[>]": Kind(_tests(lambda a, b: a > b), lambda _, p: f"[{p[0]} > {p[1]}]"),
    "[≥]": Kind(_tests(lambda a, b: a >= b), lambda _, p: f"[{p[0]} ≥ {p[1]}]"),
    "[=]": Kind(_tests(lambda a, b: a == b), lambda _, p: f"[{p[0]} = {p[1]}]"),
}
CLOSED = ("exp", "ln", "sqrt", "tanh", "sigma", "sin", "cos", "erf", "abs", "sign", "max", "min", "[>]", "[≥]", "[=]")
"""Kinds that carry brackets of their own."""


def number(value: float, array: str = "", place: int = 0) -> Expression:
    """A number, and which element of which array it is."""
    return Expression("number", value=float(value), ref=(array, place) if array else None)


def call(kind: str, *parts: Operand) -> Expression:
    """A function of expressions, such as `call("exp", x)`."""
    return Expression(kind, tuple([_as(part) for part in parts]))


def total(terms: Iterable[Expression]) -> Expression:
    """The sum of the terms; 0 where there is none, the term itself where there is one."""
    parts: Sequence[Expression] = list(terms)
    return number(0.0) if not parts else (parts[0] if len(parts) == 1 else Expression("+", tuple(parts)))


def rounded(value: float) -> float | str:
    """A number to seven significant digits, in words where JSON has none."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return float(f"{value:.7g}")


def show(value: float, digits: int = 4) -> str:
    """A number for the eye: so many significant digits, a real minus, no needless zeros."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    decimals = max(digits - (1 if abs(value) < 1 else len(str(int(abs(value))))), 0)
    if 0 < abs(value) < 0.1:
        decimals = digits - 1 - math.floor(math.log10(abs(value)))
    elif abs(value) < 1:
        decimals = digits
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", "−")


def _as(value: Operand) -> Expression:
    return value if isinstance(value, Expression) else number(value)


def _terms(kind: str, whole: Expression) -> tuple[Expression, ...]:
    return whole.parts if whole.kind == kind else (whole,)


def _in_context(whole: Expression, k: int, digits: int) -> str:
    """Part k of an expression in the brackets it needs there."""
    part = whole.parts[k]
    text = part.text(digits)
    if whole.kind in CLOSED:
        return text
    if part.kind == "number":
        leads = k == 0 and whole.kind in ("+", "-")
        bare = not text.startswith("−") or leads
        return text if bare and not ("e" in text and whole.kind == "^") else f"({text})"
    if part.kind in CLOSED:
        return text
    binding, outer = KINDS[part.kind].binding, KINDS[whole.kind].binding
    tight = binding > outer or (binding == outer and k == 0 and whole.kind != "^")
    if whole.kind in ("+", "*") and part.kind == whole.kind:
        tight = True
    return text if tight and not (part.kind == "neg" and k > 0) else f"({text})"
