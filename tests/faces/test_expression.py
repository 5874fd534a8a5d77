"""Expressions: learned from a few hundred faces, measured on people never seen, stored with the recognizer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import FaceRecognizer
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, NotFitted
from minidl.faces.expression import RECIPE, ExpressionClassifier, square
from minidl.faces.expression_baseline import PatternExpressions
from minidl.faces.expression_report import held_out, report_of
from minidl.faces.generated import EXPRESSIONS, GeneratedFaces, generated_faces
from minidl.faces.photographs.alignment import EYES

QUICK = replace(RECIPE, steps=150, batch=32)


@pytest.fixture(scope="module")
def faces() -> GeneratedFaces:
    return generated_faces(80, 6, size=(56, 56), seed=8, difficulty="normal")


@pytest.fixture(scope="module")
def names(faces: GeneratedFaces) -> np.ndarray:
    return np.array(EXPRESSIONS)[faces.expressions]


@pytest.fixture(scope="module")
def learned(faces: GeneratedFaces, names: np.ndarray) -> ExpressionClassifier:
    """Fitted on the first 62 people, and of those some are held out as the validation part."""
    some = faces.labels < 62
    return ExpressionClassifier(recipe=QUICK).fit(faces.images[some], names[some], faces.labels[some], validation=0.15)


# ── splitting and counting ────────────────────────────────────────────────────────────────────────


def test_whoever_is_known_is_on_one_side_of_the_split() -> None:
    """A network that has seen a person frown knows the person, not the frown."""
    rng = np.random.default_rng(0)
    people, codes = rng.integers(0, 20, 400), rng.integers(0, 4, 400)
    out = held_out(codes, people, 0.2, seed=1)
    assert not set(people[out]) & set(people[~out])
    assert 0.1 < out.mean() <= 0.2
    assert (out != held_out(codes, people, 0.2, seed=2)).any()


def test_where_nobody_is_known_each_expression_gives_its_share() -> None:
    codes = np.repeat([0, 1, 2], [100, 50, 10])
    out = held_out(codes, None, 0.1, seed=0)
    assert np.bincount(codes[out]).tolist() == [10, 5, 1]
    assert not held_out(codes, None, 0.0, seed=0).any()


def test_a_split_that_loses_an_expression_is_refused() -> None:
    with pytest.raises(BadDataset, match="no training image is left of expression number 1"):
        held_out(np.array([0, 0, 0, 1]), np.array([1, 1, 1, 2]), 0.5, seed=0)


def test_macro_accuracy_counts_a_rare_expression_as_much_as_a_frequent_one() -> None:
    truth, said = np.array([0] * 9 + [1]), np.zeros(10, np.int64)
    found = report_of(truth, said, ("happy", "sad"))
    assert found.accuracy == pytest.approx(0.9)
    assert found.macro_accuracy == pytest.approx(0.5)
    assert found.recall == {"happy": 1.0, "sad": 0.0}
    assert found.confusion.tolist() == [[9, 0], [1, 0]]
    assert found.to_dict()["images"] == 10


# ── what is seen of a face ────────────────────────────────────────────────────────────────────────


def test_the_square_of_an_aligned_face_has_its_eyes_where_square_faces_have_them() -> None:
    coordinates = np.stack(np.mgrid[:112, :92]).astype(float)
    rows, columns = square(coordinates)
    side = rows.shape[0]
    assert rows.shape == (side, side)
    (x0, y0), (x1, _) = EYES
    assert (y0 - rows[0, 0]) / side == pytest.approx(0.37, abs=0.02)
    assert (x1 - x0) / side == pytest.approx(0.385, abs=0.01)
    assert (x0 + x1) / 2 - columns[0, 0] == pytest.approx((side - 1) / 2, abs=1)
    assert square(np.zeros((1, 48, 48))).shape == (1, 48, 48)
    assert square(np.zeros((1, 50, 80))).shape == (1, 50, 50)


# ── learning ──────────────────────────────────────────────────────────────────────────────────────


def test_expressions_of_strangers_are_named(
    learned: ExpressionClassifier, faces: GeneratedFaces, names: np.ndarray
) -> None:
    """On 18 people that were not in the training, after ten seconds of it, far above one in five."""
    strangers = faces.labels >= 62
    found = learned.evaluate(faces.images[strangers], names[strangers])
    assert found.classes == tuple(sorted(EXPRESSIONS))
    assert found.macro_accuracy > 0.4
    assert learned.validation is not None
    assert 0 < learned.validation.images <= 0.15 * (faces.labels < 62).sum()


def test_probabilities_are_calibrated_by_the_validation_part(
    learned: ExpressionClassifier, faces: GeneratedFaces, names: np.ndarray
) -> None:
    chances = learned.probabilities(faces.images[-60:])
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    assert learned.temperature != 1.0
    mirrored = learned.probabilities(np.ascontiguousarray(faces.images[-60:, :, ::-1]))
    np.testing.assert_allclose(chances, mirrored, atol=1e-3)


def test_patterns_with_a_linear_layer_are_the_yardstick(faces: GeneratedFaces, names: np.ndarray) -> None:
    known = faces.labels < 62
    model = PatternExpressions().fit(faces.images[known], names[known], faces.labels[known])
    found = model.evaluate(faces.images[~known], names[~known])
    assert 0.3 < found.macro_accuracy < 1
    assert np.isfinite(model.ridge)
    with pytest.raises(NotFitted):
        PatternExpressions().predict(faces.images[:1])


def test_the_recognizer_names_expressions_and_stores_them(
    learned: ExpressionClassifier, faces: GeneratedFaces, names: np.ndarray, tmp_path: Path
) -> None:
    fr = FaceRecognizer("eigen", (56, 56)).fit(faces.images[::4], faces.labels[::4], progress=False)
    with pytest.raises(NotFitted, match="fit_expression"):
        fr.expression(faces.images[0])
    fr.expressions = learned
    said = fr.expression(faces.images[0])
    assert list(said.values()) == sorted(said.values(), reverse=True)
    assert sum(said.values()) == pytest.approx(1, abs=1e-5)
    fr.save(tmp_path / "model.minidl")
    again = FaceRecognizer.load(tmp_path / "model.minidl")
    assert again.expression(faces.images[0]) == said
    assert again.predict(faces.images[:3]).tolist() == fr.predict(faces.images[:3]).tolist()
    assert again.fingerprint() == fr.fingerprint(), "embeddings do not depend on expressions"


def test_fitting_expressions_leaves_the_people_alone(faces: GeneratedFaces, names: np.ndarray) -> None:
    fr = FaceRecognizer("eigen", (56, 56)).fit(faces.images[::4], faces.labels[::4], progress=False)
    before = fr.predict(faces.images[:5]).tolist()
    fr.fit_expression(faces.images[:60], names[:60], epochs=1, progress=False)
    assert fr.predict(faces.images[:5]).tolist() == before
    assert set(fr.expression(faces.images[0])) == set(names[:60])
    colour = np.repeat(faces.images[0][..., None], 3, 2)
    assert fr.expression(colour) == pytest.approx(fr.expression(faces.images[0]))


def test_the_same_seed_learns_the_same(faces: GeneratedFaces, names: np.ndarray) -> None:
    short = replace(QUICK, steps=4)
    a, b = (ExpressionClassifier(seed=3, recipe=short).fit(faces.images[:80], names[:80]) for _ in range(2))
    np.testing.assert_array_equal(a.probabilities(faces.images[:9]), b.probabilities(faces.images[:9]))


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_learned_from_gets_one_sentence(faces: GeneratedFaces, names: np.ndarray) -> None:
    model = ExpressionClassifier(recipe=QUICK)
    with pytest.raises(BadDataset, match="at least two kinds"):
        model.fit(faces.images[:4], ["happy"] * 4)
    with pytest.raises(BadDataset, match=r"validation=0\.9"):
        model.fit(faces.images[:4], names[:4], validation=0.9)
    with pytest.raises(BadDataset, match="4 images and 3 labels"):
        model.fit(faces.images[:4], names[:3])
    with pytest.raises(BadImage, match="24×24"):
        model.fit(np.zeros((2, 20, 20), np.uint8), ["a", "b"])
    with pytest.raises(BadImage, match="float64"):
        model.fit(np.zeros((2, 48, 48)), ["a", "b"])
    with pytest.raises(NotFitted):
        model.probabilities(faces.images[:1])


def test_a_strange_label_or_a_damaged_file_is_named(learned: ExpressionClassifier, faces: GeneratedFaces) -> None:
    with pytest.raises(BadDataset, match="'bored' is no expression of the training"):
        learned.evaluate(faces.images[:1], ["bored"])
    about, arrays = learned.state()
    with pytest.raises(BadModelFile, match="damaged"):
        ExpressionClassifier().restore(about, {key: x for key, x in arrays.items() if "weight" not in key})
    with pytest.raises(BadModelFile, match="damaged"):
        ExpressionClassifier().restore({}, arrays)


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("MINIDL_DATA", "/nowhere")) / "fer2013_small.npz").is_file(),
    reason="no fer2013_small.npz in $MINIDL_DATA",
)
def test_real_expressions_are_named_better_than_by_chance_after_an_eighth_of_the_training() -> None:
    """Seven expressions, chance 14 %; the whole training is measured outside the tests."""
    with np.load(Path(os.environ["MINIDL_DATA"]) / "fer2013_small.npz") as held:
        images, labels = held["images"], held["classes"][held["labels"]]
        train, test = held["usage"] == 0, held["usage"] != 0
    model = ExpressionClassifier(recipe=replace(RECIPE, steps=150)).fit(images[train], labels[train])
    assert model.evaluate(images[test], labels[test]).macro_accuracy > 0.28
