"""Bad input is one sentence that says what to do, and nothing that was learned is lost."""

import threading
from functools import cache

import numpy as np
import pytest
from recognizer_cases import EACH_MODEL, NAMES, SIZE, faces, fitted

from minidl.faces import FaceRecognizer
from minidl.faces.errors import BadDataset, BadImage, FaceError, NotFitted

fitted_once = cache(fitted)


@pytest.fixture(scope="module")
def quick():
    """A network after a few steps: enough for everything but its errors."""
    return fitted_once("cnn")


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


def _broken(kind):
    images, codes = faces()
    with_nan = images / 255.0
    with_nan[3, 4, 5] = np.nan
    return {
        "float": (images / 255.0, codes),
        "nan": (with_nan, codes),
        "int": (images.astype(np.int32), codes),
        "one image": (images[0], codes[:1]),
        "other size": (images[:, :-1], codes),
        "four channels": (np.stack([images] * 4, -1), codes),
        "empty": (images[:0], codes[:0]),
        "ragged": ([images[0], images[1][:-2]], codes[:2]),
        "text": ("faces.npz", codes),
        "none": (None, codes),
        "one person": (images[:8], codes[:8]),
        "too few labels": (images, codes[:-1]),
        "labels of two axes": (images, codes[:, None]),
        "one label": (images, "ann"),
        "no labels": (images, None),
        "unhashable": (images, [[int(code)] for code in codes]),
        "a missing label": (images, [None, *codes[1:].tolist()]),
        "a label that is nan": (images, [float("nan"), *codes[1:].tolist()]),
    }[kind]


BAD = {
    "float": (BadImage, r"images must be uint8 .*, but they are float64: convert them to uint8 \(values in 0..1 times"),
    "nan": (BadImage, r"they are float64: convert them to uint8 \(1 values are NaN or infinite\)"),
    "int": (BadImage, "but they are int32"),
    "one image": (BadImage, r"one image of shape \(48, 40\) came without the axis n"),
    "other size": (BadImage, r"uint8 of shape \(n, 48, 40\) or \(n, 48, 40, 3\), but the shape is \(48, 47, 40\)"),
    "four channels": (BadImage, r"but the shape is \(48, 48, 40, 4\)"),
    "empty": (BadImage, "there are no images"),
    "ragged": (BadImage, "must all be of one size"),
    "text": (BadImage, "but they are <U9"),
    "none": (BadImage, "but they are object"),
    "one person": (BadDataset, "at least two people to tell apart, but all 8 images show 0"),
    "too few labels": (BadDataset, "there are 48 images and 47 labels"),
    "labels of two axes": (BadDataset, r"labels must have shape \(n,\), but the shape is \(48, 1\)"),
    "one label": (BadDataset, "labels must be a list or an array with one label an image, but they are 'ann'"),
    "no labels": (BadDataset, "labels must be a list or an array"),
    "unhashable": (BadDataset, r"but \[0\] is a list"),
    "a missing label": (BadDataset, "every image needs a label, but one is None"),
    "a label that is nan": (BadDataset, "every image needs a label, but one is nan"),
}


@pytest.mark.parametrize("kind", BAD)
@EACH_MODEL
def test_bad_training_data_is_one_sentence_and_nothing_learned_is_lost(model, kind):
    recognizer, images = fitted_once(model), faces()[0]
    before = recognizer.represent(images)
    error, sentence = BAD[kind]
    with pytest.raises(error, match=sentence) as caught:
        recognizer.fit(*_broken(kind), epochs=1, progress=False)
    assert "\n" not in str(caught.value)
    assert np.array_equal(recognizer.represent(images), before)


@pytest.mark.parametrize("kind", [kind for kind, (error, _) in BAD.items() if error is BadImage])
@pytest.mark.parametrize("method", ["predict", "represent"])
def test_bad_images_are_one_sentence_to_every_method(kind, method, quick):
    with pytest.raises(BadImage, match=BAD[kind][1]):
        getattr(quick, method)(_broken(kind)[0])


def test_strangers_cannot_be_evaluated(quick):
    images, codes = faces()
    with pytest.raises(BadDataset, match="'zoe' was not in the training: leave these images out"):
        quick.evaluate(images, [*NAMES[codes[1:]], "zoe"])
    with pytest.raises(BadDataset, match="there are 48 images and 47 labels"):
        quick.evaluate(images, NAMES[codes[1:]])
    with pytest.raises(BadDataset, match="validation must be a pair"):
        FaceRecognizer("cnn", SIZE).fit(images, codes, validation=images, progress=False)
    with pytest.raises(BadDataset, match="99 was not in the training"):
        FaceRecognizer("cnn", SIZE).fit(images, codes, validation=(images[:1], [99]), progress=False)


@pytest.mark.parametrize("method", ["predict", "represent"])
@EACH_MODEL
def test_asked_before_it_wasfitted(model, method):
    with pytest.raises(NotFitted, match=f"this {model} recognizer has learned nothing yet"):
        getattr(FaceRecognizer(model, SIZE), method)(faces()[0])
    with pytest.raises(NotFitted):
        FaceRecognizer(model, SIZE).save("never")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "knn"}, "there is no model 'knn': choose one of cnn, "),
        ({"model": None}, "there is no model None"),
        ({"image_size": 112}, r"image_size must be \(rows, columns\) in pixels, but it is 112"),
        ({"image_size": (0, 5)}, "at least one pixel"),
        ({"image_size": (12, 92)}, "leave 12×92 to the network"),
        ({"device": "tpu"}, "expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
        ({"seed": -1}, "the seed must be an integer from 0 to 2⁶³ − 1, but it is -1"),
        ({"seed": 2**63}, "but it is 9223372036854775808"),
        ({"seed": 1.5}, "the seed must be an integer"),
    ],
)
def test_bad_settings_are_one_sentence(options, sentence):
    with pytest.raises(FaceError, match=sentence):
        FaceRecognizer(**options)


@pytest.mark.parametrize("epochs", [0, -1, 2.5, True])
def test_epochs_must_be_a_positive_integer(epochs):
    images, codes = faces()
    with pytest.raises(BadDataset, match="epochs must be an integer ≥ 1 or None"):
        FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=epochs)


def test_an_interruption_keeps_what_was_learned_before(monkeypatch):
    images, codes = faces()
    recognizer = FaceRecognizer("cnn", SIZE).fit(images, NAMES[codes], epochs=1, progress=False)
    before = recognizer.represent(images)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minidl.faces.training.nn.utils.clip_grad_norm_", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recognizer.fit(images[::-1], codes[::-1], progress=False)
    assert np.array_equal(recognizer.represent(images), before)
    assert recognizer.classes == NAMES.tolist()
    assert not [t for t in threading.enumerate() if t.name.startswith("minidl-faces")]
