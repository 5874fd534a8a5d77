"""What holds for the text of every lesson there is: the pairs of languages, the glossary, the headers."""

from __future__ import annotations

import re

import pytest

from minidl.teaching import library, pairs, percent, terms
from minidl.teaching.errors import LessonError
from minidl.teaching.exercises import exercises
from minidl.teaching.library import Lesson

LESSONS = library.lessons()
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)


def test_there_are_lessons() -> None:
    assert {"L01", "L03", "L06", "L16"} <= {lesson.id for lesson in LESSONS}


@every_lesson
def test_the_languages_say_the_same(lesson: Lesson) -> None:
    assert pairs.problems(lesson.script, lesson.path.name) == []


@every_lesson
def test_the_glossary_is_kept(lesson: Lesson) -> None:
    assert terms.problems(lesson.script, lesson.path.name) == []


@every_lesson
def test_the_header_is_complete(lesson: Lesson) -> None:
    assert all(lesson.title.values())
    assert lesson.aim["zh"].endswith("。")
    assert lesson.aim["en"].endswith(".")
    assert lesson.documents
    assert set(lesson.documents) <= {"000", "001", "002", "003", "004"}
    text = "\n".join(cell.texts["zh"] for cell in lesson.script.texts)
    assert sorted(set(pairs.ROW.findall(text))) == sorted(lesson.errata), "the rows named in the text and in the header"


@every_lesson
def test_every_exercise_is_posed_and_judged(lesson: Lesson) -> None:
    posed = sorted(set(pairs.EXERCISE.findall("\n".join(cell.texts["zh"] for cell in lesson.script.texts))))
    code = "\n".join(cell.source for cell in lesson.script.code)
    assert posed == [task.id for task in exercises(lesson)], "the exercises of the text and of the solutions"
    assert posed, "a lesson has an exercise"
    for task in exercises(lesson):
        assert task.id.startswith(f"E{lesson.id[1:]}.")
        assert f'check("{task.id}", {task.name})' in code
        assert len(task.wrong) >= 2, f"{task.id}: at least two wrong answers that people give"


@every_lesson
def test_code_has_no_prose(lesson: Lesson) -> None:
    for cell in lesson.script.code:
        assert not re.search(r"[一-鿿]", cell.source), f"{lesson.path.name}:{cell.line}: words belong in the text cells"
        for line in cell.source.splitlines():
            assert not re.match(r"\s*#(?! fmt:| noqa)", line), f"{lesson.path.name}:{cell.line}: {line!r} is prose"


GOOD = """# /// lesson
# title.zh = "一"
# title.en = "one"
# aim.zh = "二。"
# aim.en = "two."
# ///
# %% [markdown] key="a" lang="zh"
# 数是 $x$，{{x:.1f}}，见 `show` 与 E01.1。
# %% [markdown] key="a" lang="en" zh="{hash}"
# The number is $x$, {{x:.1f}}; see `show` and E01.1.
# %%
x = 1
"""


def blessed(source: str) -> percent.Script:
    fingerprint = percent.parse(source).texts[0].fingerprint
    return percent.parse(source.replace("{hash}", fingerprint))


def test_a_good_pair_has_no_problem() -> None:
    assert pairs.problems(blessed(GOOD), "L99") == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("# 数是", "# 这数是", ""),
        ("The number is $x$", "The number is $y$", "formulas differ"),
        ("$x$, {{x:.1f}}", "$x$, {{x:.2f}}", "placeholders differ"),
        ("see `show`", "see `shown`", "pieces of code differ"),
        ("and E01.1", "and E01.2", "exercises differ"),
        ("see `show`", "see [it](L02_x.html) `show`", "links differ"),
        ("The number is", "The number 0.25 is", "the number 0.25 is typed"),
        ("The number is", "The $number is", "stray $"),
    ],
)
def test_a_pair_that_drifted_is_noticed(before: str, after: str, told: str) -> None:
    assert GOOD.count(before) == 1
    script = blessed(GOOD.replace(before, after))
    if told:
        assert any(told in problem for problem in pairs.problems(script, "L99"))
    stale = percent.parse(GOOD.replace(before, after).replace("{hash}", percent.parse(GOOD).texts[0].fingerprint))
    noticed = any("Chinese changed" in problem for problem in pairs.problems(stale, "L99"))
    assert noticed == ("数" in before)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("# %%\nx = 1\n", "begins with a header"),
        (GOOD.replace('key="a" lang="en"', 'key="b" lang="en"'), "a text is a cell with key"),
        (GOOD.replace("# The number", "The number"), "every line of a text begins with '# '"),
        (GOOD.replace("# %%\nx", '# %% [markdown] key="b" lang="zh"\n# 三\n# %%\nx'), "no English cell right after it"),
        (GOOD.replace("# %%\nx", "# %% [markdown] what\n# x\n# %%\nx"), "cannot read the mark"),
        (GOOD.replace("title.zh =", "title.zh"), "the header is not TOML"),
    ],
)
def test_a_script_that_cannot_be_read_is_refused_in_a_sentence(source: str, told: str) -> None:
    with pytest.raises(LessonError, match=told):
        percent.parse(source, "L99_x.py")


def test_forbidden_words_are_refused_outside_quotations() -> None:
    found = terms.problems(blessed(GOOD.replace("# 数是", "# 递归神经网络，数是")), "L99")
    assert len(found) == 1
    assert "循环神经网络" in found[0]
    assert terms.problems(blessed(GOOD.replace("# 数是", "# 文章说“递归神经网络”，数是")), "L99") == []


def test_blessing_changes_only_the_mark(tmp_path) -> None:
    file = tmp_path / "L99_x.py"
    file.write_text(GOOD, encoding="utf-8")
    assert pairs.bless(Lesson("L99", "x", file)) == ["a"]
    after = file.read_text(encoding="utf-8")
    assert pairs.problems(percent.parse(after), "L99") == []
    assert [a for a, b in zip(GOOD.splitlines(), after.splitlines(), strict=True) if a != b] == [
        '# %% [markdown] key="a" lang="en" zh="{hash}"'
    ]
    assert pairs.bless(Lesson("L99", "x", file)) == []
    with pytest.raises(LessonError, match="has no text 'b'"):
        pairs.bless(Lesson("L99", "x", file), "b")
