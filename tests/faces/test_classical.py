"""Eigenfaces and Fisherfaces: the algebra against definitions, and the error rates on ORL."""

import os
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import protocol
from minidl.faces.classical import Eigenfaces, Fisherfaces
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, NotFitted
from minidl.faces.projections import lda, ledoit_wolf, pca

BOTH = pytest.mark.parametrize("method", [Eigenfaces, Fisherfaces])


def _people(people=6, each=4, size=(20, 16), seed=0):
    """Random textures, one a person, with noise: enough to tell apart."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(40, 216, (people, 1, *size)) + rng.normal(0, 12, (people, each, *size))
    return faces.clip(0, 255).astype(np.uint8).reshape(-1, *size), np.repeat(np.arange(people), each)


# ── the algebra ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(7, 30), (30, 7), (12, 12)])
def test_pca_equals_the_singular_value_decomposition(shape):
    x = np.random.default_rng(1).normal(size=shape) @ np.diag(np.linspace(3, 0.1, shape[1]))
    found = pca(x, 5)
    _, s, v = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert np.allclose(found.values, s[:5] ** 2 / (len(x) - 1))
    assert np.allclose(np.abs(np.sum(found.components * v[:5].T, 0)), 1)
    assert np.allclose(found.components.T @ found.components, np.eye(5))


def test_the_small_matrix_gives_the_directions_of_the_large_one():
    x = np.random.default_rng(2).normal(size=(6, 40))
    found = pca(x, 5)
    covariance = np.cov(x.T)
    assert np.allclose(covariance @ found.components, found.components * found.values)


def test_pca_drops_directions_without_variance():
    x = np.random.default_rng(3).normal(size=(4, 50))
    assert pca(x, 40).components.shape == (50, 3)  # four points span three directions
    assert pca(np.repeat(x, 3, 0), 40).components.shape == (50, 3)


def test_eigenvectors_have_one_sign():
    x = np.random.default_rng(4).normal(size=(9, 20))
    found, shuffled = pca(x, 8), pca(x[::-1], 8)
    largest = np.abs(found.components).argmax(0)
    assert (found.components[largest, np.arange(8)] > 0).all()
    assert np.allclose(found.components, shuffled.components)


def test_ledoit_wolf_by_its_definition():
    x = np.random.default_rng(5).normal(size=(15, 6)) @ np.diag([4, 2, 1, 1, 0.5, 0.1])
    x -= x.mean(0)
    n, d = x.shape
    s = sum(np.outer(row, row) for row in x) / n
    mu = np.trace(s) / d
    delta = np.linalg.norm(s - mu * np.eye(d)) ** 2
    beta = sum(np.linalg.norm(np.outer(row, row) - s) ** 2 for row in x) / n**2
    rho = min(beta, delta) / delta
    assert 0 < rho < 1
    assert np.allclose(ledoit_wolf(x), (1 - rho) * s + rho * mu * np.eye(d))


def test_ledoit_wolf_is_invertible_with_fewer_samples_than_dimensions():
    x = np.random.default_rng(6).normal(size=(4, 30))
    assert np.linalg.eigvalsh(ledoit_wolf(x - x.mean(0))).min() > 0


def test_ledoit_wolf_trusts_many_samples():
    x = np.random.default_rng(7).normal(size=(200_000, 3)) * [3, 2, 1]
    assert np.allclose(ledoit_wolf(x), np.diag([9, 4, 1]), atol=0.1)


def test_lda_solves_the_generalised_eigenproblem():
    x, labels = np.random.default_rng(8).normal(size=(40, 5)), np.repeat(np.arange(4), 10)
    x += np.random.default_rng(9).normal(size=(4, 5))[labels]
    found = lda(x, labels)
    means = np.stack([x[labels == k].mean(0) for k in range(4)])
    within = ledoit_wolf(x - means[labels])
    between = np.cov(means.T, bias=True)
    assert found.components.shape == (5, 3)
    assert np.allclose(between @ found.components, within @ found.components * found.values)
    assert np.allclose(found.components.T @ within @ found.components, np.eye(3))


def test_lda_looks_across_the_direction_of_the_spread():
    # Two long parallel clouds: the largest variance runs along them, the difference across.
    rng = np.random.default_rng(10)
    along = rng.normal(0, 10, (200, 1)) * [1, 1] + rng.normal(0, 0.3, (200, 2))
    labels = np.repeat([0, 1], 100)
    x = along + np.where(labels[:, None] == 0, [1, -1], [-1, 1])
    assert abs(pca(x, 1).components[:, 0] @ [1, 1]) > 1.4
    w = lda(x, labels).components[:, 0]
    assert abs(w @ [1, -1]) / np.linalg.norm(w) > 1.39


# ── the recognizers ───────────────────────────────────────────────────────────────────────────────


@BOTH
def test_people_are_recognized_in_new_images(method):
    images, labels = _people()
    new, truth = _people()
    fitted = method().fit(images[::2], labels[::2])
    assert (fitted.predict(new[1::2]) == truth[1::2]).all()
    assert fitted.predict(new).dtype == np.int64


@BOTH
def test_embeddings_are_float32_rows_of_length_one(method):
    images, labels = _people()
    rows = method().fit(images, labels).represent(images)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@BOTH
def test_the_mean_face_has_no_direction_and_stays_finite(method):
    # T28: the length of a zero embedding must not divide it.
    images, labels = _people(2, 1)
    images[1] = 255 - images[0]
    fitted = method().fit(images, labels)
    state = fitted.state()
    state["mean"] = np.full_like(state["mean"], 1)
    white = np.full((1, *images.shape[1:]), 255, np.uint8)
    assert (method.from_state(state).represent(white) == 0).all()


@BOTH
def test_state_restores_the_same_answers_to_the_bit(method):
    images, labels = _people()
    fitted = method().fit(images, labels)
    again = method.from_state({key: value.copy() for key, value in fitted.state().items()})
    assert np.array_equal(fitted.represent(images), again.represent(images))
    assert np.array_equal(fitted.predict(images), again.predict(images))
    assert all(isinstance(array, np.ndarray) for array in fitted.state().values())


@BOTH
def test_fitting_twice_gives_the_same_state(method):
    images, labels = _people()
    a, b = method().fit(images, labels).state(), method().fit(images, labels).state()
    assert all(np.array_equal(a[key], b[key]) for key in a)


def test_one_image_a_person_makes_fisherfaces_eigenfaces():
    images, labels = _people(8, 3)
    one = images[::3], labels[::3]
    assert np.array_equal(Fisherfaces().fit(*one).predict(images), Eigenfaces().fit(*one).predict(images))


def test_fisherfaces_do_not_mind_the_strength_of_light():
    images, labels = _people(8, 4)
    fitted = Fisherfaces().fit(images[::2], labels[::2])
    assert (fitted.predict((images[1::2] * 0.3).astype(np.uint8)) == labels[1::2]).all()


def test_fisherfaces_cope_with_one_person_having_a_second_image():
    images, labels = _people(8, 2)
    train = np.r_[0:16:2, 1]
    fitted = Fisherfaces().fit(images[train], labels[train])
    assert np.mean(fitted.predict(images[1::2]) == labels[1::2]) > 0.8


@BOTH
def test_labels_come_back_as_given(method):
    images, labels = _people(3)
    assert set(method().fit(images, labels * 100 - 7).predict(images).tolist()) == {-7, 93, 193}


@BOTH
def test_bad_input_gets_one_sentence(method):
    images, labels = _people(3)
    with pytest.raises(NotFitted, match=r"call fit\(images, labels\) first"):
        method().predict(images)
    with pytest.raises(BadImage, match="training images must be uint8"):
        method().fit(images / 255, labels)
    with pytest.raises(BadDataset, match="12 images and 11 labels"):
        method().fit(images, labels[1:])
    with pytest.raises(BadDataset, match="alike"):
        method().fit(np.full((4, 9, 9), 7, np.uint8), np.arange(4))
    fitted = method().fit(images, labels)
    with pytest.raises(BadImage, match=r"\(n, 20, 16\), but got uint8 of shape \(12, 16, 20\)"):
        fitted.predict(images.swapaxes(1, 2))


def test_one_person_alone_cannot_make_fisherfaces():
    images, labels = _people(1, 5)
    with pytest.raises(BadDataset, match="at least two people"):
        Fisherfaces().fit(images, labels)


@BOTH
def test_a_damaged_state_is_refused(method):
    images, labels = _people(3)
    state = method().fit(images, labels).state()
    with pytest.raises(BadModelFile, match="lacks mean"):
        method.from_state({key: value for key, value in state.items() if key != "mean"})
    for key in state:
        with pytest.raises(BadModelFile, match="damaged"):
            method.from_state({**state, key: state[key][:-1]})


# ── ORL ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def orl():
    path = Path(os.environ.get("MINIDL_DATA", "")) / "orl.npz"
    if not os.environ.get("MINIDL_DATA") or not path.is_file():
        pytest.skip("orl.npz is not here: set MINIDL_DATA to its folder")
    with np.load(path) as data:
        return data["images"], data["labels"]


@pytest.mark.parametrize(
    ("method", "per_person", "at_most"),
    [
        (Eigenfaces, 1, 33.3),
        (Eigenfaces, 3, 13.9),
        (Eigenfaces, 5, 6.3),
        (Fisherfaces, 1, 33.3),
        (Fisherfaces, 3, 8.5),
        (Fisherfaces, 5, 3.0),
    ],
)
def test_mean_error_on_orl_over_ten_seeds(orl, method, per_person, at_most):
    images, labels = orl
    errors = []
    for seed in range(10):
        train, test = protocol.split(labels, seed, per_person)
        fitted = method().fit(images[train], labels[train])
        errors.append(100 * np.mean(fitted.predict(images[test]) != labels[test]))
    assert np.mean(errors) <= at_most
