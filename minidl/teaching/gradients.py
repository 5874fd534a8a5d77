"""`gradcheck`: the gradient of the tape beside one computed without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import autograd, player
from minidl.autograd.modes import set_recorder, tape
from minidl.backend import Array
from minidl.teaching import symbols
from minidl.teaching.stage import current
from minidl.teaching.strings import both, label
from minidl.teaching.values import cells, number
from minidl.tensor import Tensor

TOLERANCE = 1e-6
STEP = 1e-5
SHOWN = 16
DERIVATIVE = r"\partial L / \partial "


@dataclass(frozen=True)
class GradientCheck:
    """The two gradients of each input and how far they are apart.

    Fields:
        name: what was differentiated, in LaTeX.
        inputs: the names of the inputs.
        analytic, numeric: one array an input.
        error: the largest |analytic − numeric| / max(1, |analytic|, |numeric|).
        wanted: whether the lesson expects them to agree; a lesson about a kink does not.
    """

    name: str
    inputs: tuple[str, ...]
    analytic: tuple[Array, ...]
    numeric: tuple[Array, ...]
    error: float
    wanted: bool

    @property
    def passed(self) -> bool:
        """Whether the gradients agree."""
        return self.error <= TOLERANCE

    def text(self, language: str) -> str:
        """One line with the verdict, and the numbers where they are few."""
        verdict = "✓" if self.passed else "✗"
        lines = [
            f"{verdict} {label('gradcheck', language, name=symbols.plain(self.name), error=number(self.error, '.1e'))}"
        ]
        for name, a, n in zip(self.inputs, self.analytic, self.numeric, strict=True):
            if a.size <= 4:
                pairs = ", ".join(
                    f"{number(x, '.6f')} | {number(y, '.6f')}" for x, y in zip(a.ravel(), n.ravel(), strict=True)
                )
                lines.append(f"    ∂/∂{symbols.plain(name)}: {pairs}")
        return "\n".join(lines)

    def html(self) -> str:
        """The verdict, and the two gradients side by side."""
        state = "ok" if self.passed else "bad"
        rows = "".join(
            f"<tr><th>{symbols.html(DERIVATIVE + name)}</th><td>{cells(a, 6)}</td><td>{cells(n, 6)}</td></tr>"
            for name, a, n in zip(self.inputs, self.analytic, self.numeric, strict=True)
            if a.size <= SHOWN
        )
        table = (
            f'<details><summary>{both("gradcheck.numbers")}</summary><table class="plain"><tr><th></th>'
            f"<th>{both('gradcheck.analytic')}</th><th>{both('gradcheck.numeric')}</th></tr>{rows}</table></details>"
            if rows
            else ""
        )
        return (
            f'<div class="verdict {state}"><b>{"✓" if self.passed else "✗"}</b> '
            f"{both('gradcheck.page', error=number(self.error, '.1e'))} {symbols.html(self.name)}{table}</div>"
        )


def gradcheck(
    f: Callable[..., Any], *inputs: Any, name: str = "L", names: str = "", expected: bool = True, seed: int = 0
) -> GradientCheck:
    """Compare the gradient by the tape with central differences, in float64, and show the verdict.

    Arguments:
        f: takes the inputs as tensors, returns a tensor; of more than one number it is multiplied by random numbers
            and summed, because a plain sum hides transposed gradients.
        inputs: tensors, arrays or numbers; those of integers are passed on as they are.
        name: what is differentiated, in LaTeX.
        names: the inputs' symbols, separated by spaces; by default x_1 x_2 ….
        expected: False where the lesson shows a gradient that must disagree.
        seed: of the random numbers.

    Returns:
        The two gradients and their distance.

    Raises:
        AssertionError: the verdict is not the expected one.
    """
    listening = tape.recorder
    with set_recorder(None):
        result = _compared(f, [_double(x) for x in inputs], name, names, expected, seed)
    if isinstance(listening, player.Tape):  # inside a `trace` block the player shows the verdict too
        listening.check(f, *[_double(x) for x in inputs], name=name, names=result.inputs, eps=STEP, seed=seed)
    current().add(result)
    assert result.passed == expected, (
        f"gradcheck of {name}: error {result.error:.1e}, but the lesson expects "
        f"{'agreement' if expected else 'a difference'}"
    )
    return result


def _compared(
    f: Callable[..., Any], tensors: list[Tensor], name: str, names: str, expected: bool, seed: int
) -> GradientCheck:
    varied = [x for x in tensors if x.requires_grad]
    symbols_given = names.split() or [f"x_{i + 1}" for i in range(len(varied))]
    if len(symbols_given) != len(varied):
        raise ValueError(
            f"gradcheck: {len(varied)} inputs are differentiated, but {len(symbols_given)} names were given"
        )
    weights = np.random.default_rng(seed).standard_normal(f(*tensors).shape)

    def scalar(*arguments: Tensor) -> Tensor:
        y = f(*arguments)
        return y.sum() if y.numel() == 1 else (y * Tensor(weights)).sum()

    gradients = autograd.grad(scalar(*tensors), varied, allow_unused=True)
    analytic = tuple(np.zeros(x.shape) if g is None else g.array for x, g in zip(varied, gradients, strict=True))
    jacobian = autograd.numerical_jacobian(scalar, tensors, "central", STEP)[0]
    numeric = tuple(row.reshape(x.shape) for row, x in zip(jacobian, varied, strict=True))
    error = max(
        (
            float(np.max(np.abs(a - n) / np.maximum(1, np.maximum(abs(a), abs(n))), initial=0))
            for a, n in zip(analytic, numeric, strict=True)
        ),
        default=0.0,
    )
    return GradientCheck(name, tuple(symbols_given), analytic, numeric, error, expected)


def _double(x: Any) -> Tensor:
    array = x.detach().array if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind == "f" or not isinstance(x, Tensor | np.ndarray):
        return Tensor(array.astype(np.float64), requires_grad=True)
    return Tensor(array)
