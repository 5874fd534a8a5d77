"""What an optimizer did to one element, with the numbers in it: a line for everything it changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.player.expression import Expression, call, number


@dataclass(frozen=True)
class Line:
    """One equation: what it gives (LaTeX letter), the expression, and what was recorded."""

    letter: str
    expression: Expression
    recorded: float


@dataclass(frozen=True)
class Update:
    """One recorded update, at one element."""

    before: Array
    gradient: Array
    after: Array
    old: dict[str, Any]
    new: dict[str, Any]
    options: dict[str, Any]
    place: int

    def _at(self, array: Array, name: str) -> Expression:
        return number(array.reshape(-1)[self.place], name, self.place)

    @property
    def p(self) -> Expression:
        """The parameter before."""
        return self._at(self.before, "before")

    @property
    def g(self) -> Expression:
        """The gradient that is followed: turned where a maximum is wanted, with weight decay."""
        g = self._at(self.gradient, "gradient")
        g = -g if self.options.get("maximize") else g
        decay = self.options.get("weight_decay", 0)
        return g + decay * self.p if decay else g

    def was(self, key: str) -> Expression:
        """What was remembered before; 0 at the first step."""
        held = self.old.get(key)
        return number(0.0) if held is None else self._at(held, f"old:{key}")

    def now(self, key: str) -> Expression:
        """What is remembered after."""
        return self._at(self.new[key], f"new:{key}")

    def remembered(self, letter: str, key: str, expression: Expression) -> Line:
        """The line for something remembered."""
        return Line(letter, expression, self.now(key).value)

    def moved(self, expression: Expression) -> Line:
        """The line for the parameter itself."""
        return Line("p", expression, float(self.after.reshape(-1)[self.place]))


Rule: TypeAlias = Callable[[Update], list[Line]]


def _sgd(u: Update) -> list[Line]:
    mu, lr = u.options["momentum"], u.options["lr"]
    if not mu:
        return [u.moved(u.p - lr * u.g)]
    first = u.old.get("momentum_buffer") is None
    fresh = u.g if first or not u.options["dampening"] else (1 - u.options["dampening"]) * u.g
    line = u.remembered("b", "momentum_buffer", fresh if first else mu * u.was("momentum_buffer") + fresh)
    direction = u.g + mu * u.now("momentum_buffer") if u.options["nesterov"] else u.now("momentum_buffer")
    return [line, u.moved(u.p - lr * direction)]


def _moments(u: Update, g: Expression) -> list[Line]:
    beta1, beta2 = u.options["betas"]
    return [
        u.remembered("m", "exp_avg", beta1 * u.was("exp_avg") + (1 - number(beta1)) * g),
        u.remembered("v", "exp_avg_sq", beta2 * u.was("exp_avg_sq") + (1 - number(beta2)) * g**2),
    ]


def _adam(u: Update, decoupled: bool = False) -> list[Line]:
    t, (beta1, beta2) = u.new["step"], u.options["betas"]
    g, p = u.g, u.p
    if decoupled:
        raw = u._at(u.gradient, "gradient")
        g = -raw if u.options.get("maximize") else raw
        p = p * (1 - number(u.options["lr"]) * u.options["weight_decay"])
    lines, v = _moments(u, g), "exp_avg_sq"
    if u.options.get("amsgrad"):
        v = "max_exp_avg_sq"
        lines.append(u.remembered(r"\hat v", v, call("max", u.was(v), u.now("exp_avg_sq"))))
    m_hat = u.now("exp_avg") / (1 - number(beta1) ** t)
    v_hat = u.now(v) / (1 - number(beta2) ** t)
    return [*lines, u.moved(p - u.options["lr"] * m_hat / (call("sqrt", v_hat) + u.options["eps"]))]


def _adagrad(u: Update) -> list[Line]:
    total = u.was("sum") if u.old.get("sum") is not None else number(u.options["initial_accumulator_value"])
    rate = u.options["lr"] / (1 + (u.new["step"] - 1) * u.options["lr_decay"])
    return [
        u.remembered("G", "sum", total + u.g**2),
        u.moved(u.p - rate * u.g / (call("sqrt", u.now("sum")) + u.options["eps"])),
    ]


def _adadelta(u: Update) -> list[Line]:
    rho, eps = u.options["rho"], u.options["eps"]
    delta = call("sqrt", u.was("acc_delta") + eps) / call("sqrt", u.now("square_avg") + eps) * u.g
    return [
        u.remembered("s", "square_avg", rho * u.was("square_avg") + (1 - number(rho)) * u.g**2),
        u.remembered("d", "acc_delta", rho * u.was("acc_delta") + (1 - number(rho)) * delta**2),
        u.moved(u.p - u.options["lr"] * delta),
    ]


def _rmsprop(u: Update) -> list[Line]:
    alpha, lr = u.options["alpha"], u.options["lr"]
    lines = [u.remembered("s", "square_avg", alpha * u.was("square_avg") + (1 - number(alpha)) * u.g**2)]
    variance = u.now("square_avg")
    if u.options.get("centered"):
        lines.append(u.remembered(r"\bar g", "grad_avg", alpha * u.was("grad_avg") + (1 - number(alpha)) * u.g))
        variance = variance - u.now("grad_avg") ** 2
    step = u.g / (call("sqrt", variance) + u.options["eps"])
    if not u.options.get("momentum"):
        return [*lines, u.moved(u.p - lr * step)]
    lines.append(u.remembered("b", "momentum_buffer", u.options["momentum"] * u.was("momentum_buffer") + step))
    return [*lines, u.moved(u.p - lr * u.now("momentum_buffer"))]


UPDATES: dict[str, Rule] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": lambda u: _adam(u, decoupled=True),
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
    "RMSprop": _rmsprop,
}


def agrees(line: Line, dtype: np.dtype[Any]) -> bool:
    """Whether a line comes to what was recorded, to the precision of the dtype."""
    tolerance = max(1e-9, 64 * float(np.finfo(dtype).eps)) if dtype.kind == "f" else 1e-9
    computed = line.expression.evaluate()
    return math.isclose(computed, line.recorded, rel_tol=tolerance, abs_tol=tolerance)
