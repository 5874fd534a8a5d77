"""FaceRecognizer: it learns, is the same by seed, reports what it does, and takes any label."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from recognizer_cases import EACH_MODEL, NAMES, SIZE, faces, fitted, train_and_test

from minidl.backend import default_generator
from minidl.faces import FaceRecognizer, protocol


@pytest.fixture(scope="module")
def quick():
    """A network after a few steps: enough for everything but its errors."""
    return fitted("cnn")


# ── learning ──────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
def test_it_learns_to_tell_drawn_people_apart(model):
    """By chance it would err on 83 % of the images."""
    images, codes = faces()
    train, test = train_and_test(codes)
    recognizer = FaceRecognizer(model, SIZE).fit(images[train], codes[train], epochs=80, progress=False)
    assert np.mean(recognizer.predict(images[test]) != codes[test]) <= 0.12
    embeddings = recognizer.represent(images)
    nearest = codes[train][(embeddings[test] @ embeddings[train].T).argmax(1)]
    assert np.mean(nearest != codes[test]) <= 0.12


@EACH_MODEL
def test_embeddings_are_float32_rows_of_length_one(model):
    embeddings = fitted(model).represent(faces()[0])
    assert embeddings.dtype == np.float32
    assert embeddings.shape[0] == 48
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_a_face_and_its_mirror_image_are_the_same_to_the_network(quick):
    images = faces()[0]
    assert np.array_equal(quick.predict(images), quick.predict(images[:, :, ::-1]))
    assert np.allclose(quick.represent(images), quick.represent(images[:, :, ::-1]), atol=1e-4)


def test_an_image_is_named_alike_alone_and_among_others(quick):
    images = faces()[0]
    together = quick.represent(np.concatenate([images] * 3))[:48]
    alone = np.concatenate([quick.represent(image[None]) for image in images])
    assert np.allclose(together, alone, atol=1e-4)


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    images = faces()[0]
    state = default_generator.get_state()
    first, second = (fitted("cnn").represent(images) for _ in range(2))
    assert np.array_equal(first, second)
    codes = faces()[1]
    other = FaceRecognizer("cnn", SIZE, seed=4).fit(images, codes, epochs=2, progress=False).represent(images)
    assert not np.array_equal(first, other)
    assert default_generator.get_state() == state, "the default generator was not touched"


def test_augmentation_changes_what_is_learned():
    images, codes = faces()
    with_it, without = (
        FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=1, augment=augment, progress=False)
        for augment in (True, False)
    )
    assert with_it.history["loss"][0] != without.history["loss"][0]


def test_validation_is_noted_and_changes_nothing():
    images, codes = faces()
    train, test = train_and_test(codes)
    options = {"epochs": 20, "progress": False}
    noted = FaceRecognizer("cnn", SIZE).fit(
        images[train], codes[train], validation=(images[test], codes[test]), **options
    )
    plain = FaceRecognizer("cnn", SIZE).fit(images[train], codes[train], **options)
    last_step, last_error = [(row["step"], row["error"]) for row in noted.history if "error" in row][-1]
    assert last_step == len(noted.history["loss"]) or len(noted.history["loss"]) - last_step < 2
    assert 0 <= last_error <= 1
    assert noted.history["loss"] == plain.history["loss"]
    assert np.array_equal(noted.represent(images), plain.represent(images))


def test_epochs_are_passes_over_the_images():
    images, codes = faces()
    recognizer = FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=3, progress=False)
    assert len(recognizer.history["loss"]) == 2 * 3, "48 images make one batch, and two networks make one recognizer"


def test_colour_is_seen_as_its_brightness(quick):
    color = faces(color=True)[0]
    grey = ((color * np.array([77, 150, 29])).sum(-1) + 128) // 256
    assert np.array_equal(quick.represent(color), quick.represent(grey.astype(np.uint8)))


def test_one_image_a_person_is_enough_to_train():
    images, codes = faces()
    first = np.arange(0, 48, 8)
    recognizer = FaceRecognizer("cnn", SIZE).fit(images[first], codes[first], epochs=400, progress=False)
    assert np.mean(recognizer.predict(images[first]) == codes[first]) == 1


# ── figures ───────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
def test_the_report_agrees_with_the_predictions(model):
    images, codes = faces()
    _, test = train_and_test(codes)
    recognizer = fitted(model, epochs=10)
    named = NAMES[codes[test]]
    report = recognizer.evaluate(images[test], named)
    assert report.accuracy == np.mean(recognizer.predict(images[test]) == named)
    assert set(report.recall) == set(NAMES.tolist())
    assert set(report.people) == set(NAMES.tolist())
    assert report.images == len(test)
    assert report.genuine == len(test) * 5
    assert report.rank1 == report.cmc[0]
    assert json.loads(json.dumps(report.to_dict()))["accuracy"] == report.accuracy


def test_the_confusion_names_people_in_the_order_of_the_recognizer():
    images, _ = faces()
    swapped = np.array([("z", 1), ("a", 2), ("m", 3), ("b", 4), ("k", 5), ("c", 6)], dtype="U1,i4").tolist()
    labels = [swapped[k // 8] for k in range(48)]
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, labels)
    report = recognizer.evaluate(images, labels)
    assert report.people == swapped
    assert report.recall == dict.fromkeys(swapped, 1.0)


# ── labels ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([10, 2, 33, -4, 5, 6], "i"),
        (["s10", "s2", "s1", "x", "y", "王"], "U"),
        ([("a", 1), ("a", 2), ("b", 1), ("b", 2), "a", 1], "O"),
        ([b"a", b"b", 3.5, frozenset({1}), "x", 2**80], "O"),
        ([2**80, 2**81, 1, 2, 3, 4], "O"),
        ([True, "x", 2, 3, 4, 5], "O"),
    ],
)
def test_any_hashable_label_comes_back_as_it_was(labels, kind):
    images, codes = faces()
    given_labels = [labels[code] for code in codes]
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, given_labels)
    found = recognizer.predict(images)
    assert found.dtype.kind == kind
    assert found.tolist() == given_labels
    assert [type(x) for x in found.tolist()] == [type(x) for x in given_labels]


@pytest.mark.parametrize("make", [list, tuple, iter, np.array, lambda x: [np.str_(s) for s in x]])
def test_labels_may_come_in_any_collection(make):
    images, codes = faces()
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, make(NAMES[codes].tolist()))
    assert recognizer.predict(images).tolist() == NAMES[codes].tolist()
    assert recognizer.classes == NAMES.tolist()


def test_people_are_in_natural_order():
    images, codes = faces()
    recognizer = FaceRecognizer("eigen", SIZE).fit(images, np.array(["s10", "s2", "s1", "s20", "s3", "S4"])[codes])
    assert recognizer.classes == ["s1", "s2", "s3", "S4", "s10", "s20"]


# ── real faces ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_orl_with_five_training_images_a_person():
    """Seed 0 of the protocol with half the steps; eigenfaces err on 6.2 % of such splits."""
    path = Path(os.environ.get("MINIDL_DATA", "")) / "orl.npz"
    if not os.environ.get("MINIDL_DATA") or not path.is_file():
        pytest.skip("orl.npz is not here: set MINIDL_DATA to its folder")
    with np.load(path) as orl:
        images, labels = orl["images"], orl["labels"]
    train, test = protocol.split(labels, 0, 5)
    recognizer = FaceRecognizer("cnn").fit(images[train], labels[train], epochs=48, progress=False)
    assert len(recognizer.history["loss"]) == 2 * 200
    assert np.mean(recognizer.predict(images[test]) != labels[test]) <= 0.03
    report = recognizer.evaluate(images[test], labels[test])
    assert report.rank1 >= 0.97
    assert report.eer <= 0.04
