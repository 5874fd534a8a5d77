"""Formulas become MathML that says the same, or an error that names what was not understood."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from minidl import optim
from minidl.ops.registry import REGISTRY
from minidl.player import mathml

pytest.importorskip("latex2mathml")

FORMULAS = {
    "bce": r"L = -\frac{1}{N}\sum_{i=1}^{N} \left[ y_i \ln \hat y_i + (1-y_i)\ln(1-\hat y_i) \right]",
    "ce": r"L = -\sum_k y_k \ln p_k",
    "softmax": r"p_k = \frac{e^{o_k - m}}{\sum_{j=1}^K e^{o_j - m}}",
    "conv": r"y_{ij} = \sum_{u,v} x_{i+u,\,j+v}\, w_{uv} + b",
    "size": r"O = \left\lfloor \frac{H + 2P - K}{S} \right\rfloor + 1",
    "pool": r"\frac{\partial L}{\partial x} = \begin{cases} \bar y & x = \max \\ 0 & \text{否则} \end{cases}",
    "rnn": r"h_t = \tanh(W_x x_t + W_h h_{t-1} + b)",
    "gru": r"\begin{aligned} z_t &= \sigma(W_z [h_{t-1}, x_t]) \\ r_t &= \sigma(W_r [h_{t-1}, x_t]) \end{aligned}",
    "lstm": r"c_t = f_t \odot c_{t-1} + i_t \odot g_t",
    "attention": r"\operatorname{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V",
    "position": r"PE_{(p,2i)} = \sin\left(p / 10000^{2i/d}\right)",
    "adam": r"\theta \leftarrow \theta - \alpha \frac{\hat m}{\sqrt{\hat v} + \epsilon}",
    "lda": r"w^* = \arg\max_w \frac{w^\top S_B w}{w^\top S_W w}",
    "chain": r"\underbrace{\frac{\partial L}{\partial y}}_{\text{上游}} \cdot \frac{\partial y}{\partial x}",
    "triplet": r"\max(0, \lVert a-p \rVert^2 - \lVert a-n \rVert^2 + \alpha)",
    "matrix": r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
    "colour": r"\color{red}{x} + y",
    "bold": r"\boldsymbol{\theta} = \mathbf{W}",
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("display", [False, True])
def test_the_formulas_of_the_plan(name: str, display: bool) -> None:
    text = mathml(FORMULAS[name], display)
    root = ElementTree.fromstring(text)
    assert root.get("display") == ("block" if display else "inline")
    words = "".join(root.itertext())
    assert "\\" not in words
    assert "&" not in words


def test_every_formula_of_the_engine() -> None:
    """LESSONS 4.4: for each operation, formula and adjoint render; so do the rules of the optimizers."""
    found = {f for o in REGISTRY.values() for f in (o.formula, o.adjoint)}
    found |= {getattr(getattr(optim, name), "formula", "") for name in dir(optim)}
    found.discard("")
    assert len(found) > 200
    for latex in found:
        ElementTree.fromstring(mathml(latex))


def test_alignment_is_a_table_with_sides() -> None:
    text = mathml(FORMULAS["gru"])
    assert text.count("<mtr>") == 2
    assert 'class="align-right"' in text
    assert "columnalign" not in text, "browsers ignore it"


def test_names_of_operators_and_bold_letters() -> None:
    assert "argmax" in mathml(FORMULAS["lda"])
    bold = mathml(FORMULAS["bold"])
    assert "𝛉" in bold
    assert "𝐖" in bold
    assert "mathvariant" not in bold, "browsers know only the letters"


def test_room_after_the_name_of_a_function() -> None:
    assert re.search(r"tanh</m[io]><mspace", mathml(r"\tanh x"))
    assert "<mspace" not in mathml(r"\tanh(x)")
    assert re.search(r"</msup><mspace", mathml(r"\tanh^2 c"))


@pytest.mark.parametrize(
    ("latex", "sentence"),
    [
        ("\\text{<img\tsrc='x'\tonerror='alert(1)'/>}", "contains the element img"),
        ("\\text{<mi\tonclick='alert(1)'>x</mi>}", "has the attribute onclick"),
        (r"\text{<img src=x onerror=alert(1)>}", "has a < or & in it"),
        (r"\href{javascript:alert(1)}{x}", "has the attribute href"),
        (r"\style{background:url(//x.example)}{x}", "has the attribute style"),
    ],
)
def test_what_would_run_in_a_page_is_refused(latex: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        mathml(latex)


@pytest.mark.parametrize(
    ("latex", "sentence"),
    [
        (r"\notacommand x", r"\notacommand in"),
        ("a & b", "an & in"),
        ("", "the formula is empty"),
        ("  ", "the formula is empty"),
        (r"\frac{a}", "cannot be read|has 1 parts where it needs 2"),
        (r"x_{", "cannot be read"),
        (r"\begin{aligned} a &= b", "cannot be read"),
        (r"\left( a", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(latex: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^mathml: .*({re.escape(sentence) if '|' not in sentence else sentence})"):
        mathml(latex)
