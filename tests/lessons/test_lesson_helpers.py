"""What lessons are made with: values, gradient checks with teeth, knobs, drawings, exercises."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.kernels import current_choice
from minidl.teaching import (
    Exercise,
    LessonError,
    Wrong,
    bars,
    beside,
    contour,
    curves,
    fast,
    gradcheck,
    graph,
    heat,
    image,
    knob,
    picture,
    points,
    show,
    trace,
    window,
)
from minidl.teaching.drawing import Drawing
from minidl.teaching.library import Lesson
from minidl.teaching.markdown import joined
from minidl.teaching.placeholders import fill
from minidl.teaching.running import run, variants
from minidl.teaching.stage import Collector, Stage, on
from minidl.teaching.symbols import plain
from minidl.teaching.tracing import Traced
from minidl.teaching.values import aligned, formatted


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.5, "", "0.5000"),
        (-3.0, "", "−3"),
        (2.2e-4, ".1e", "2.2e−4"),
        (-0.00001, ".2f", "0.00"),
        (float("inf"), "", "∞"),
        (float("-inf"), ".3f", "−∞"),
        (float("nan"), "", "nan"),
        ([1.0, 2.0], ".1f", "(1.0, 2.0)"),
        (dl.tensor([[1.0, -2.0]]), ".0f", "[[1, −2]]"),
        (np.float32(7), "d", "7"),
        (True, "", "True"),
        ("cnn", "", "cnn"),
        (dl.tensor([1, 2]), "", "(1, 2)"),
    ],
)
def test_a_value_in_prose(value: Any, spec: str, text: str) -> None:
    assert formatted(value, spec) == text


def test_columns_are_aligned() -> None:
    lines = aligned(np.array([[1.0, -0.25], [10.5, 3.0]])).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_placeholders() -> None:
    names = {"x": dl.tensor(-0.25), "rows": {"a": 3}}
    assert (
        fill("$x={{x:.2f}}$, {{x:.2f}}, {{rows['a']}}, {{[i for i in (1, 2)]}}", names) == "$x=-0.25$, −0.25, 3, (1, 2)"
    )
    assert fill(r"$\frac{ {{rows['a']}} }{2}$", names) == r"$\frac{ 3 }{2}$"
    for wrong in ("{{missing}}", "{{x +}}", "{{x:zz}}"):
        with pytest.raises(LessonError, match="cannot compute"):
            fill(wrong, names)


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\tilde h_t", "h̃_t"),
        (r"\partial L/\partial W_{hh}", "∂L/∂W_hh"),
        (r"h_{t-1}", "h_(t−1)"),
        (r"\frac1N\sum", "1/N Σ"),
    ],
)
def test_symbols_in_a_terminal(latex: str, text: str) -> None:
    assert plain(latex) == text


def test_the_gradient_check_has_teeth() -> None:
    """T13: a missing factor and a transposed weight gradient are both noticed."""
    with on(Collector()):
        assert gradcheck(lambda x: x * x, [1.0, -2.0]).error < 1e-8
        with pytest.raises(AssertionError, match="the lesson expects agreement"):
            gradcheck(lambda x: x * x.detach(), [1.0, -2.0])
        with pytest.raises(AssertionError, match="the lesson expects a difference"):
            gradcheck(lambda x: x * x, [1.0, -2.0], expected=False)
        kink = gradcheck(dl.relu, [0.0], expected=False)
        assert not kink.passed
        with pytest.raises(ValueError, match="2 inputs are differentiated, but 1 names"):
            gradcheck(lambda x, y: x * y, 1.0, 2.0, names="x")


def test_a_check_inside_a_recording_is_on_the_tape_and_its_own_sums_are_not() -> None:
    with on(Collector()), trace() as recorded:
        x = dl.tensor(2.0, requires_grad=True)
        gradcheck(lambda x: x * x * x, x, name="x^3", names="x")
        _ = x * 3.0
    kinds = [event["kind"] for event in recorded.trace.events]
    assert kinds.count("check") == 1
    assert [node["op"] for node in recorded.trace.nodes if node["inputs"]] == ["Mul"]


def test_knobs() -> None:
    with on(Stage("en", {"w": "0.5", "mode": "b"})):
        assert knob("w", -2.0, -4.0, 4.0, step=2.0) == 0.5
        assert knob("n", 3, 1, 4) == 3
        assert knob("mode", "a", choices=["a", "b"]) == "b"
    stage = Collector()
    with on(stage):
        knob("w", -1.0, -4.0, 4.0, step=2.0)
        assert stage.knobs["w"].choices == (-4.0, -2.0, -1.0, 0.0, 2.0, 4.0), "the default is among the choices"
        for wrong in ({"low": 2.0, "high": 1.0}, {"low": 1.0}, {}):
            with pytest.raises(LessonError, match="give low < high"):
                knob("q", 1.0, **wrong)
        with pytest.raises(LessonError, match="is not a Python name"):
            knob("two words", 1.0, 0.0, 2.0)


LESSON = """# /// lesson
# title.zh = "一"
# title.en = "one"
# ///
# %%
from minidl.teaching import knob, show
a = knob("a", 0, 0, {high})
b = knob("b", 0, 0, {high})
show(a + b, "s")
"""


def written(folder: Path, source: str) -> Lesson:
    file = folder / "L99_made.py"
    file.write_text(source, encoding="utf-8")
    return Lesson("L99", "made", file)


def test_knobs_of_one_cell_are_combined(tmp_path: Path) -> None:
    made = written(tmp_path, LESSON.format(high=2))
    groups = variants(made, run(made))
    assert len(groups) == 1
    assert len(groups[0].runs) == 8
    assert groups[0].runs[(2, 1)].names["a"] + groups[0].runs[(2, 1)].names["b"] == 3


def test_too_many_combinations_are_refused(tmp_path: Path) -> None:
    made = written(tmp_path, LESSON.format(high=9))
    with pytest.raises(LessonError, match="the knobs a, b of one cell make 100 combinations"):
        variants(made, run(made))


def test_an_error_in_a_lesson_names_its_line(tmp_path: Path) -> None:
    made = written(tmp_path, LESSON.format(high=1) + "\n# %%\nx = 1\nx / 0\n")
    with pytest.raises(LessonError, match=r"L99_made\.py:13: ZeroDivisionError"):
        run(made)


def recorded() -> Traced:
    with on(Collector()), trace() as found:
        x = dl.tensor([1.0, 2.0], requires_grad=True)
        y = (x * x).sum()
        y.backward()
    return found


DRAWINGS = {
    "bars": lambda: bars({r"\tilde h_{t-1}": [0.5, -1.0], "<p>": 0.25}),
    "curves": lambda: curves(np.arange(5.0), {"L": [1.0, 2.0, np.nan, np.inf, 3.0], "g": lambda x: x**2}, x_name="t"),
    "log": lambda: curves([0.0, 1.0, 2.0], {"L": [1e-8, 1.0, 1e3]}, log=True, mark=1.0),
    "flat": lambda: curves([0.0, 1.0], {"L": [2.0, 2.0]}),
    "points": lambda: points({"a": [[0.0, 1.0], [1.0, 0.0]], "b": [[2.0, 2.0]]}, lines={"w": [[0.0, 0.0], [1.0, 1.0]]}),
    "heat": lambda: heat(np.eye(3) - 0.5, "W", rows=["a", "b", "c"], columns=["x", "y", "z"]),
    "large heat": lambda: heat(np.ones((200, 100))),
    "image": lambda: image(np.arange(12.0).reshape(3, 4), "x"),
    "colour": lambda: image(np.zeros((3, 4, 4))),
    "contour": lambda: contour(lambda x, y: 100 * x**2 + y**2, (-1.0, 1.0), (-1.0, 1.0),
                               {"v": [[1.0, 1.0], [0.5, 0.5], [9.0, 9.0], [np.nan, 0.0]]}, log=True),
    "graph": lambda: graph(recorded()),
    "window": lambda: window(np.eye(4), np.ones((2, 2)), np.ones((3, 3)), (1, 2), padding=0),
    "beside": lambda: beside(bars({"p": [0.5]}), heat(np.eye(2))),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_svg_with_words_for_those_who_cannot_see_it(name: str) -> None:
    drawing: Drawing = DRAWINGS[name]()
    tree = ElementTree.fromstring(drawing.svg)
    drawings = [tree] if tree.tag == "svg" else list(tree.iter("svg"))
    assert all(each.get("role") == "img" and each.get("aria-label") for each in drawings)
    assert drawing.text.strip()
    assert "nan" not in drawing.svg.replace("aria-label", "").split(">", 1)[1]
    assert len(drawing.svg) < 80_000


def test_a_figure_of_matplotlib_is_taken_in() -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed").Figure()
    figure.subplots().plot([0, 1], [1, 0])
    stage = Collector()
    with on(stage):
        picture(figure)
    assert "<svg" in stage.items[0].html()
    assert "http" not in stage.items[0].html()


def test_the_stage_puts_back_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        with on(Collector()):
            assert current_choice() == "numpy"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert current_choice() == "auto"
    monkeypatch.setenv("MINIDL_FAST", "0")
    assert not fast()


def test_a_value_is_copied_when_it_is_shown() -> None:
    x = np.zeros(2)
    stage = Collector()
    with on(stage):
        show(x, "x")
    x += 1
    assert "0" in stage.items[0].text("en").splitlines()[1]
    assert "1" not in stage.items[0].text("en").splitlines()[1]


def double(x: float) -> float:
    return 2 * x


def square(x: float) -> float:
    return x * x


def test_a_wrong_answer_is_known_by_what_it_computes() -> None:
    task = Exercise("E99.1", "double", double, [(1.0,), (3.0,)], [Wrong(square, "平方", "a square")])
    assert task.judge(lambda x: x + x).state == "passed"
    assert task.judge(lambda x: x**2).hint == {"zh": "平方", "en": "a square"}
    verdict = task.judge(lambda x: 2 * x + 1)
    assert verdict.wrong is None
    assert verdict.hint is not None
    assert verdict.hint["en"] == "for 1 it gives 3, expected 2."
    assert task.judge(lambda x: dl.tensor(2 * x)).state == "passed", "a tensor says the same as a number"
    assert task.judge(lambda x: [2 * x]).state == "wrong", "another shape does not"


def test_a_curve_is_cut_off_at_its_limits() -> None:
    drawing = curves([0.0, 1.0, 2.0, 3.0], {"y": [0.0, 10.0, -10.0, 1.0]}, limits=(-1.0, 1.0))
    lines = [each.get("points", "") for each in ElementTree.fromstring(drawing.svg).iter("polyline")]
    heights = [float(point.split(",")[1]) for line in lines for point in line.split()]
    assert len(lines) >= 2
    assert min(heights) == 26
    assert max(heights) == 260


def test_lines_of_chinese_go_on_without_a_space() -> None:
    assert (
        joined("少了十倍。\n**池化**用\n精度换，\n$x$ 与\n`y`，\nLSTM")
        == "少了十倍。**池化**用精度换，$x$ 与\n`y`，LSTM"
    )
    assert joined("看：\n\n$$x$$\n\n- 一。\n- 二。\n") == "看：\n\n$$x$$\n\n- 一。\n- 二。\n"
    assert joined("看：\n$$x$$") == "看：\n$$x$$"
