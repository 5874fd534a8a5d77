"""Tables of damage, of unseen people and of what each trick buys: what was counted, on which images, in which words."""

import numpy as np
import pytest

from minidl.faces import protocol
from minidl.faces.ablation import CHANGES, ablate
from minidl.faces.comparison import compare
from minidl.faces.damaged_comparison import compare_damaged
from minidl.faces.datasets import FaceDataset
from minidl.faces.errors import BadDataset
from minidl.faces.generated import generated_faces
from minidl.faces.networks import NETWORKS
from minidl.faces.recognizer import FaceRecognizer
from minidl.faces.unseen_comparison import compare_unseen

DRAWN = generated_faces(people=6, per_person=8, size=(40, 32), seed=4, difficulty="easy")
FACES = FaceDataset(DRAWN.images, DRAWN.labels, list("abcdef"), "six drawn people")


def test_damage_is_counted_on_damaged_test_images_of_models_that_saw_clean_ones():
    found = compare_damaged(FACES, ["fisher"], train=3, seeds=(0, 1))
    learn, test = protocol.split(FACES.labels, 1, 3)
    model = FaceRecognizer("fisher", (40, 32), seed=1).fit(FACES.images[learn], FACES.labels[learn])
    for kind, error in found.runs[1].errors.items():
        said = model.predict(protocol.damage(FACES.images, kind)[test])
        assert error == np.mean(said != FACES.labels[test])
    mean, sd = found.summary("fisher")["lower half"]
    errors = [100 * run.errors["lower half"] for run in found.runs]
    assert (mean, sd) == pytest.approx((np.mean(errors), np.std(errors, ddof=1)))
    assert all(kind in found.table() for kind in protocol.DAMAGES)


def test_unseen_people_are_compared_by_all_pairs():
    found = compare_unseen(FACES, ["lbp", "eigen"])
    assert (found.fit_people, found.test_people, found.same, found.different) == (3, 3, 3 * 28, 3 * 64)
    figures = {run.model: run.figures for run in found.runs}
    model = FaceRecognizer("lbp", (40, 32)).fit(FACES.images[:24], FACES.labels[:24])
    e = model.represent(FACES.images[24:])
    i, j = np.triu_indices(24, 1)
    same = FACES.labels[24:][i] == FACES.labels[24:][j]
    scores = (e @ e.T)[i, j]
    assert figures["lbp"]["auc"] == pytest.approx(protocol.verification(scores[same], scores[~same])["auc"], abs=1e-3)
    assert "84 pairs of one person, 192 of two" in found.table()


def test_networks_are_trained_for_what_is_tested_and_for_a_purpose_of_choice():
    assert compare_damaged(FACES, ["gru"], epochs=1).purpose == "damage"
    assert compare_unseen(FACES, ["gru"], epochs=1).purpose == "verification"
    runs = [compare(FACES, ["gru"], seeds=(0,), epochs=4, purpose=purpose) for purpose in ("identification", "damage")]
    assert runs[0].runs[0].parameters == runs[1].runs[0].parameters


def test_an_ablation_tries_inner_splits_only():
    fit, held = protocol.inner_split(FACES.labels, 3, 2)
    _, test = protocol.split(FACES.labels, 3, 5)
    assert len(np.intersect1d(np.concatenate([fit, held]), test)) == 0
    assert len(np.union1d(fit, held)) == 5 * 6
    found = ablate(FACES, "gru", ["the recipe", "half the steps"], train=2, seeds=(3,), epochs=6)
    assert found.tried == len(held) == 18
    assert [run.change for run in found.runs] == ["the recipe", "half the steps"]
    assert all(0 <= run.error <= 1 and run.likelihood < 0 for run in found.runs)
    assert "no test images" in found.table()


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_changes_one_thing_and_trains(name):
    recipe = NETWORKS["gru"].recipe
    assert (CHANGES[name](recipe) == recipe) == (name == "the recipe")
    assert ablate(FACES, "gru", [name], train=2, seeds=(0,), epochs=1).runs[0].change == name


def test_what_is_not_there_is_refused_before_anything_is_trained():
    with pytest.raises(BadDataset, match="no network 'eigen'"):
        ablate(FACES, "eigen")
    with pytest.raises(BadDataset, match="no change 'magic'"):
        ablate(FACES, "cnn", ["magic"])
    with pytest.raises(BadDataset, match="inner split fits on 1 to 4"):
        ablate(FACES, "cnn", train=5)
    with pytest.raises(BadDataset, match="no model 'oracle'"):
        compare_damaged(FACES, ["cnn", "oracle"])
