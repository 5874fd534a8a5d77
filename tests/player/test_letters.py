"""Formulas in the letters of a terminal."""

from __future__ import annotations

import pytest

from minidl import optim
from minidl.ops.registry import REGISTRY
from minidl.player.letters import in_letters


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"y = a \odot b", "y = a ⊙ b"),
        (r"\bar x = n\, x^{n-1} \odot \bar y", "x̄ = n xⁿ⁻¹ ⊙ ȳ"),
        (r"Y = X W^\top + b", "Y = X Wᵀ + b"),
        (r"y = \frac{1}{1 + e^{-x}}", "y = 1 / (1 + e^(−x))"),
        (r"\bar x = \tfrac1n \bar y", "x̄ = 1/n ȳ"),
        (r"y = \sqrt{x}", "y = √x"),
        (r"h_t = \tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)", "h_t = tanh(W_x x_t + b_x + W_h h_(t−1) + b_h)"),
        (r"\operatorname{softmax}(x)_k", "softmax(x)_k"),
        (r"v + g^2", "v + g²"),
    ],
)
def test_a_formula_in_letters(latex: str, text: str) -> None:
    assert in_letters(latex) == text


def test_no_command_is_left_in_any_formula() -> None:
    found = {f for o in REGISTRY.values() for f in (o.formula, o.adjoint)}
    found |= {getattr(getattr(optim, name), "formula", "") for name in dir(optim)}
    for latex in found:
        text = in_letters(latex)
        assert "\\" not in text
        assert text.count("(") == text.count(")") or "[" in text or r"\right." in latex, text
