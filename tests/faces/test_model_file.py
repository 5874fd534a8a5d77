"""A stored recognizer: every bit survives, every damage is noticed, and an old file outlives a failed save."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from recognizer_cases import EACH_MODEL, NAMES, SIZE, faces, fitted

from minidl.faces import FaceRecognizer, model_file
from minidl.faces.errors import BadDataset, BadModelFile


@pytest.fixture(scope="module")
def quick():
    """A network after a few steps: enough for everything but its errors."""
    return fitted("cnn")


# ── storing ───────────────────────────────────────────────────────────────────────────────────────


@EACH_MODEL
@pytest.mark.parametrize("labels", [NAMES, np.array([7, -3, 0, 12, 5, 6])], ids=["names", "numbers"])
def test_stored_and_loaded_in_a_new_process_every_bit_is_the_same(model, labels, tmp_path):
    recognizer, images = fitted(model, labels), faces()[0]
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
    again, images = FaceRecognizer.load(tmp_path / "b"), faces()[0]
    assert np.array_equal(again.represent(images), quick.represent(images))
    assert again.classes == quick.classes


def test_no_photograph_is_stored(tmp_path, quick):
    quick.save(tmp_path / "m")
    arrays = safetensors.numpy.load_file(tmp_path / "m")
    assert all(array.dtype != np.uint8 for array in arrays.values())
    length = quick.represent(faces()[0][:1]).shape[1]
    assert sum(array.size for key, array in arrays.items() if key.startswith("gallery")) == 30 * length + 30


@EACH_MODEL
def test_a_file_cut_off_anywhere_is_one_sentence(model, tmp_path):
    fitted(model).save(tmp_path / "m")
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
    assert np.array_equal(loaded.represent(faces()[0]), quick.represent(faces()[0]))


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


def test_a_classical_model_that_names_too_few_people_is_refused(tmp_path):
    state = fitted("eigen")._fitted.state()
    about = {"model": "eigen", "image_size": list(SIZE), "seed": 0, "people": ["ann", "bob"]}
    model_file.write_model(tmp_path / "m", about, state)
    with pytest.raises(BadModelFile, match="it shows people it does not name"):
        FaceRecognizer.load(tmp_path / "m")


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
        fitted("eigen").save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_labels_that_a_file_cannot_hold_are_refused_before_writing(tmp_path):
    images, codes = faces()
    recognizer = FaceRecognizer("eigen", SIZE).fit(images, [("person", int(code)) for code in codes])
    with pytest.raises(BadDataset, match=r"only strings and integers can be stored as labels, but \('person', 0\)"):
        recognizer.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
