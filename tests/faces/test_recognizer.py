"""FaceRecognizer: it learns, stays the same by seed, survives storing, and answers bad input by one sentence."""

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.backend import default_generator
from minidl.faces import FaceRecognizer, protocol
from minidl.faces.errors import BadDataset, BadImage, BadModelFile, FaceError, NotFitted
from minidl.faces.generated import generated_faces
from minidl.faces.recognizer import MODELS

SIZE = (48, 40)
NAMES = np.array(["ann", "bob", "cleo", "dora", "emil", "王芳"])
EACH_MODEL = pytest.mark.parametrize("model", MODELS)


def _faces(each=8, color=False):
    drawn = generated_faces(people=6, per_person=each, size=SIZE, seed=5, difficulty="easy", color=color)
    return drawn.images, drawn.labels


def _split(labels, train=5):
    position = np.arange(len(labels)) % 8
    return np.flatnonzero(position < train), np.flatnonzero(position >= train)


def _fitted(model, labels=None, epochs=2):
    images, codes = _faces()
    train, _ = _split(codes)
    named = NAMES[codes] if labels is None else labels[codes]
    return FaceRecognizer(model, SIZE, seed=3).fit(images[train], named[train], epochs=epochs, progress=False)


@pytest.fixture(scope="module")
def quick():
    """A network after a few steps: enough for everything but its errors."""
    return _fitted("cnn")


# ── learning ──────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
def test_it_learns_to_tell_drawn_people_apart(model):
    """By chance it would err on 83 % of the images."""
    images, codes = _faces()
    train, test = _split(codes)
    recognizer = FaceRecognizer(model, SIZE).fit(images[train], codes[train], epochs=80, progress=False)
    assert np.mean(recognizer.predict(images[test]) != codes[test]) <= 0.12
    embeddings = recognizer.represent(images)
    nearest = codes[train][(embeddings[test] @ embeddings[train].T).argmax(1)]
    assert np.mean(nearest != codes[test]) <= 0.12


@EACH_MODEL
def test_embeddings_are_float32_rows_of_length_one(model):
    embeddings = _fitted(model).represent(_faces()[0])
    assert embeddings.dtype == np.float32
    assert embeddings.shape[0] == 48
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_a_face_and_its_mirror_image_are_the_same_to_the_network(quick):
    images = _faces()[0]
    assert np.array_equal(quick.predict(images), quick.predict(images[:, :, ::-1]))
    assert np.allclose(quick.represent(images), quick.represent(images[:, :, ::-1]), atol=1e-4)


def test_an_image_is_named_alike_alone_and_among_others(quick):
    images = _faces()[0]
    together = quick.represent(np.concatenate([images] * 3))[:48]
    alone = np.concatenate([quick.represent(image[None]) for image in images])
    assert np.allclose(together, alone, atol=1e-4)


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    images = _faces()[0]
    state = default_generator.get_state()
    first, second = (_fitted("cnn").represent(images) for _ in range(2))
    assert np.array_equal(first, second)
    codes = _faces()[1]
    other = FaceRecognizer("cnn", SIZE, seed=4).fit(images, codes, epochs=2, progress=False).represent(images)
    assert not np.array_equal(first, other)
    assert default_generator.get_state() == state, "the default generator was not touched"


def test_augmentation_changes_what_is_learned():
    images, codes = _faces()
    with_it, without = (
        FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=1, augment=augment, progress=False)
        for augment in (True, False)
    )
    assert with_it.history.loss[0] != without.history.loss[0]


def test_validation_is_noted_and_changes_nothing():
    images, codes = _faces()
    train, test = _split(codes)
    options = {"epochs": 20, "progress": False}
    noted = FaceRecognizer("cnn", SIZE).fit(
        images[train], codes[train], validation=(images[test], codes[test]), **options
    )
    plain = FaceRecognizer("cnn", SIZE).fit(images[train], codes[train], **options)
    last_step, last_error = list(noted.history.validation.items())[-1]
    assert last_step == len(noted.history.loss) or len(noted.history.loss) - last_step < 2
    assert 0 <= last_error <= 1
    assert noted.history.loss == plain.history.loss
    assert np.array_equal(noted.represent(images), plain.represent(images))


def test_epochs_are_passes_over_the_images():
    images, codes = _faces()
    recognizer = FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=3, progress=False)
    assert len(recognizer.history.loss) == 3, "48 images make one batch"


def test_colour_is_seen_as_its_brightness(quick):
    color = _faces(color=True)[0]
    grey = ((color * np.array([77, 150, 29])).sum(-1) + 128) // 256
    assert np.array_equal(quick.represent(color), quick.represent(grey.astype(np.uint8)))


def test_one_image_a_person_is_enough_to_train():
    images, codes = _faces()
    first = np.arange(0, 48, 8)
    recognizer = FaceRecognizer("cnn", SIZE).fit(images[first], codes[first], epochs=400, progress=False)
    assert np.mean(recognizer.predict(images[first]) == codes[first]) == 1


# ── figures ───────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
def test_the_report_agrees_with_the_predictions(model):
    images, codes = _faces()
    _, test = _split(codes)
    recognizer = _fitted(model, epochs=10)
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
    images, _ = _faces()
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
    images, codes = _faces()
    given_labels = [labels[code] for code in codes]
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, given_labels)
    found = recognizer.predict(images)
    assert found.dtype.kind == kind
    assert found.tolist() == given_labels
    assert [type(x) for x in found.tolist()] == [type(x) for x in given_labels]


@pytest.mark.parametrize("make", [list, tuple, iter, np.array, lambda x: [np.str_(s) for s in x]])
def test_labels_may_come_in_any_collection(make):
    images, codes = _faces()
    recognizer = FaceRecognizer("fisher", SIZE).fit(images, make(NAMES[codes].tolist()))
    assert recognizer.predict(images).tolist() == NAMES[codes].tolist()
    assert recognizer.classes == NAMES.tolist()


def test_people_are_in_natural_order():
    images, codes = _faces()
    recognizer = FaceRecognizer("eigen", SIZE).fit(images, np.array(["s10", "s2", "s1", "s20", "s3", "S4"])[codes])
    assert recognizer.classes == ["s1", "s2", "s3", "S4", "s10", "s20"]


# ── storing ───────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
@pytest.mark.parametrize("labels", [NAMES, np.array([7, -3, 0, 12, 5, 6])], ids=["names", "numbers"])
def test_stored_and_loaded_in_a_new_process_every_bit_is_the_same(model, labels, tmp_path):
    recognizer, images = _fitted(model, labels), _faces()[0]
    recognizer.save(tmp_path / "m.minidl")
    np.save(tmp_path / "images.npy", images)
    program = """
import sys, numpy as np
from minidl.faces import FaceRecognizer
r, images = FaceRecognizer.load("m.minidl"), np.load("images.npy")
report = r.evaluate(images, r.predict(images))
np.savez("out.npz", predicted=r.predict(images), embeddings=r.represent(images), classes=r.classes, eer=report.eer)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120, env=_with_minidl())
    with np.load(tmp_path / "out.npz") as out:
        assert out["predicted"].dtype == recognizer.predict(images).dtype
        assert np.array_equal(out["predicted"], recognizer.predict(images))
        assert np.array_equal(out["embeddings"], recognizer.represent(images))
        assert out["classes"].tolist() == recognizer.classes
        assert out["eer"] == recognizer.evaluate(images, recognizer.predict(images)).eer


def _with_minidl():
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_what_was_loaded_can_be_stored_again(quick, tmp_path):
    quick.save(tmp_path / "a")
    FaceRecognizer.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_photograph_is_stored(tmp_path, quick):
    quick.save(tmp_path / "m")
    arrays = safetensors.numpy.load_file(tmp_path / "m")
    assert all(array.dtype != np.uint8 for array in arrays.values())
    assert sum(array.size for key, array in arrays.items() if key.startswith("gallery")) == 30 * 128 + 30


@EACH_MODEL
def test_a_file_cut_off_anywhere_is_one_sentence(model, tmp_path):
    _fitted(model).save(tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    for length in [0, 1, 7, 8, 9, 100, 2000, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(BadModelFile, match="cut is not a model saved by minidl, or it is damaged or cut off"):
            FaceRecognizer.load(tmp_path / "cut")


@settings(max_examples=60)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(data, quick, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    quick.save(folder / "m")
    damaged = bytearray((folder / "m").read_bytes())
    header = 8 + int.from_bytes(damaged[:8], "little")
    at = data.draw(st.one_of(st.integers(0, header - 1), st.integers(header, len(damaged) - 1)))
    change = data.draw(st.integers(1, 255))
    damaged[at] ^= change
    (folder / "damaged").write_bytes(damaged)
    if at < header and bytes(damaged[at : at + 1]).isspace():
        return  # json means the same with another blank
    try:
        loaded = FaceRecognizer.load(folder / "damaged")
    except BadModelFile:
        return
    assert np.array_equal(loaded.represent(_faces()[0]), quick.represent(_faces()[0]))


def test_other_files_are_named_for_what_they_are(tmp_path, quick):
    with pytest.raises(BadModelFile, match="nowhere does not exist: give the path of a model"):
        FaceRecognizer.load(tmp_path / "nowhere")
    with pytest.raises(BadModelFile, match="cannot be read"):
        FaceRecognizer.load(tmp_path)
    (tmp_path / "p").write_bytes(pickle.dumps({"model": "cnn"}))
    with pytest.raises(BadModelFile, match="is not a model saved by minidl"):
        FaceRecognizer.load(tmp_path / "p")
    safetensors.numpy.save_file({"x": np.zeros(3)}, tmp_path / "s")
    with pytest.raises(BadModelFile, match="holds arrays, but not a face recognizer"):
        FaceRecognizer.load(tmp_path / "s")


def _stored(path, quick, **changes):
    """A file whose checksum is right, but which says something else."""
    from minidl.faces import model_file

    about = {"model": "cnn", "image_size": list(SIZE), "seed": 3, "people": NAMES.tolist()}
    arrays = quick._fitted.state()
    about.update({key: value for key, value in changes.items() if key in about})
    arrays.update({key: value for key, value in changes.items() if key not in about})
    model_file.write_model(path, about, {key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "transformer"}, "there is no model 'transformer'"),
        ({"model": "eigen"}, "this is no eigen model: it lacks"),
        ({"people": ["ann", "bob"]}, "does not fit its network"),
        ({"image_size": [60, 80]}, "does not fit its network"),
        ({"image_size": "big"}, "image_size must be"),
        ({"network.classifier.weight": None}, "does not fit its network"),
        ({"gallery.embeddings": None}, "damaged: it has embeddings of shape"),
        ({"gallery.codes": np.full(30, 99)}, "damaged: it has embeddings of shape"),
    ],
)
def test_a_file_that_contradicts_itself_is_one_sentence(changes, sentence, tmp_path, quick):
    _stored(tmp_path / "m", quick, **changes)
    with pytest.raises(BadModelFile, match=sentence) as caught:
        FaceRecognizer.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_another_version_of_the_format_is_named(tmp_path, quick, monkeypatch):
    monkeypatch.setattr("minidl.faces.model_file.VERSION", "9")
    quick.save(tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(BadModelFile, match="has format version 9, but this minidl reads version 1"):
        FaceRecognizer.load(tmp_path / "m")


def test_a_failed_save_leaves_the_old_file_whole(tmp_path, quick, monkeypatch):
    quick.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def broken(handle):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space left"):
        _fitted("eigen").save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_labels_that_a_file_cannot_hold_are_refused_before_writing(tmp_path):
    images, codes = _faces()
    recognizer = FaceRecognizer("eigen", SIZE).fit(images, [("person", int(code)) for code in codes])
    with pytest.raises(BadDataset, match=r"only strings and integers can be stored as labels, but \('person', 0\)"):
        recognizer.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


def _broken(kind):
    images, codes = _faces()
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
    images, codes = _faces()
    recognizer = FaceRecognizer(model, SIZE).fit(images, codes, epochs=1, progress=False)
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
    images, codes = _faces()
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
def test_asked_before_it_was_fitted(model, method):
    with pytest.raises(NotFitted, match=f"this {model} recognizer has learned nothing yet"):
        getattr(FaceRecognizer(model, SIZE), method)(_faces()[0])
    with pytest.raises(NotFitted):
        FaceRecognizer(model, SIZE).save("never")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "gru"}, "there is no model 'gru': choose one of cnn, eigen, fisher"),
        ({"model": None}, "there is no model None"),
        ({"image_size": 112}, r"image_size must be \(rows, columns\) in pixels, but it is 112"),
        ({"image_size": (0, 5)}, "at least one pixel"),
        ({"image_size": (12, 92)}, "leave 12×92 to the network"),
        ({"device": "tpu"}, "expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
        ({"seed": -1}, "the seed must be an integer ≥ 0, but it is -1"),
        ({"seed": 1.5}, "the seed must be an integer"),
    ],
)
def test_bad_settings_are_one_sentence(options, sentence):
    with pytest.raises(FaceError, match=sentence):
        FaceRecognizer(**options)


@pytest.mark.parametrize("epochs", [0, -1, 2.5, True])
def test_epochs_must_be_a_positive_integer(epochs):
    images, codes = _faces()
    with pytest.raises(BadDataset, match="epochs must be an integer ≥ 1 or None"):
        FaceRecognizer("cnn", SIZE).fit(images, codes, epochs=epochs)


def test_an_interruption_keeps_what_was_learned_before(monkeypatch):
    images, codes = _faces()
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


# ── real faces ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_orl_with_five_training_images_a_person():
    """Seed 0 of the protocol with a reduced budget; eigenfaces err on 6.2 % of such splits."""
    path = Path(os.environ.get("MINIDL_DATA", "")) / "orl.npz"
    if not os.environ.get("MINIDL_DATA") or not path.is_file():
        pytest.skip("orl.npz is not here: set MINIDL_DATA to its folder")
    with np.load(path) as orl:
        images, labels = orl["images"], orl["labels"]
    train, test = protocol.split(labels, 0, 5)
    recognizer = FaceRecognizer("cnn").fit(images[train], labels[train], epochs=36, progress=False)
    assert len(recognizer.history.loss) == 150
    assert np.mean(recognizer.predict(images[test]) != labels[test]) <= 0.03
    report = recognizer.evaluate(images[test], labels[test])
    assert report.rank1 >= 0.96
    assert report.eer <= 0.05
