"""The fixed protocol: its laws, and equality to the bit with the reference statement of it."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import protocol
from minidl.faces.errors import BadDataset, BadImage, BadScores

ORL_LABELS = np.repeat(np.arange(40), 10)


@pytest.fixture(scope="module")
def reference():
    """The page that states the protocol, which stands beside the folder of the data."""
    folder = os.environ.get("MINIDL_DATA")
    if not folder:
        pytest.skip("MINIDL_DATA is not set, so the reference statement of the protocol is not here")
    path = Path(folder).resolve().parent / "faces_protocol.py"
    if not path.is_file():
        pytest.skip("no faces_protocol.py stands beside the folder of MINIDL_DATA")
    spec = importlib.util.spec_from_file_location("reference_protocol", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("per_person", [1, 3, 5])
def test_splits_equal_the_reference(reference, per_person):
    shuffled = np.random.default_rng(9).permutation(ORL_LABELS)
    for labels in (ORL_LABELS, shuffled):
        for seed in range(10):
            ours = protocol.split(labels, seed, per_person)
            theirs = reference.split(labels, seed, per_person)
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", protocol.DAMAGES)
def test_damages_equal_the_reference(reference, kind):
    images = np.random.default_rng(3).integers(0, 256, (5, 56, 47), dtype=np.uint8)
    assert np.array_equal(protocol.damage(images, kind), reference.damage(images, kind))
    assert np.array_equal(protocol.damage(images, kind, seed=7), reference.damage(images, kind, seed=7))


def test_damage_names_equal_the_reference(reference):
    assert protocol.DAMAGES == reference.DAMAGES


def test_pairs_of_unseen_people_equal_the_reference(reference):
    for a, b in zip(protocol.unseen_people(ORL_LABELS), reference.unseen_people(ORL_LABELS), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_verification_equals_the_reference(reference, levels):
    rng = np.random.default_rng(levels)
    for n, m in ((1, 1), (20, 300), (900, 2000)):
        genuine = rng.integers(0, levels, n) / levels + 0.3
        impostor = rng.integers(0, levels, m) / levels
        assert protocol.verification(genuine, impostor) == reference.verification(genuine, impostor)


def test_test_images_do_not_depend_on_how_many_train():
    train1, test1 = protocol.split(ORL_LABELS, 4, 1)
    train5, test5 = protocol.split(ORL_LABELS, 4, 5)
    assert np.array_equal(test1, test5)
    assert set(train1) <= set(train5)
    assert not set(train5) & set(test5)
    assert len(train1) == 40
    assert len(train5) == len(test5) == 200


def test_names_split_like_numbers_in_their_natural_order():
    names = np.array([f"s{k + 1}" for k in ORL_LABELS])
    for a, b in zip(protocol.split(names, 2, 3), protocol.split(ORL_LABELS, 2, 3), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("per_person", [0, 6, -1])
def test_a_split_that_would_leak_is_refused(per_person):
    with pytest.raises(BadDataset, match=f"but {per_person} were asked for"):
        protocol.split(ORL_LABELS, 0, per_person)


def test_a_person_with_too_few_images_is_named():
    labels = np.array(["ann"] * 10 + ["bob"] * 5)
    with pytest.raises(BadDataset, match="bob has 5: add images of bob"):
        protocol.split(labels, 0, 1)


def test_damage_leaves_its_input_alone_and_clean_is_a_copy():
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 16), dtype=np.uint8)
    before = images.copy()
    for kind in protocol.DAMAGES:
        damaged = protocol.damage(images, kind)
        assert not np.shares_memory(damaged, images)
        assert np.array_equal(damaged, images) == (kind == "clean")
    assert np.array_equal(images, before)


def test_hidden_parts_are_black_and_the_rest_untouched():
    images = np.full((2, 20, 10), 200, np.uint8)
    assert (protocol.damage(images, "lower half")[:, 10:] == 0).all()
    assert (protocol.damage(images, "lower half")[:, :10] == 200).all()
    assert (protocol.damage(images, "eyes band")[:, 6:10] == 0).all()
    assert (protocol.damage(images, "left half")[:, :, :5] == 0).all()
    assert [(face == 0).sum() for face in protocol.damage(images, "block")] == [8 * 4, 8 * 4]


def test_unknown_damage_lists_the_known_ones():
    with pytest.raises(BadDataset, match="unknown damage 'snow': choose one of clean, dark"):
        protocol.damage(np.zeros((1, 4, 4), np.uint8), "snow")
    with pytest.raises(BadImage, match="float64 of shape"):
        protocol.damage(np.zeros((1, 4, 4)), "dark")


def test_unseen_people_share_nobody():
    pairs = protocol.unseen_people(ORL_LABELS)
    assert not set(ORL_LABELS[pairs.fit]) & set(ORL_LABELS[pairs.test])
    assert pairs.same.sum() == 900
    assert (~pairs.same).sum() == 19000
    with pytest.raises(BadDataset, match="fits on 20 people and needs two more"):
        protocol.unseen_people(np.repeat(np.arange(21), 10))


def test_verification_of_one_sided_scores_is_a_sentence():
    with pytest.raises(BadScores, match="no impostor pair"):
        protocol.verification(np.array([0.5]), np.array([]))
