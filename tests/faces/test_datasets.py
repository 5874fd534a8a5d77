"""Labelled faces from folders, arrays and names; whatever is wrong is said in one sentence that names it."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import datasets
from minidl.faces.datasets import load
from minidl.faces.errors import BadDataset, BadImage, FaceError


def _write_pgm(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    h, w = pixels.shape
    path.write_bytes(b"P5 %d %d 255\n" % (w, h) + pixels.tobytes())


def _folder(root, people=("s1", "s2", "s10"), each=11, size=(6, 5)):
    """Every pixel of image m of person k is 20 k + m."""
    for k, person in enumerate(people):
        for m in range(1, each + 1):
            _write_pgm(root / person / f"{m}.pgm", np.full(size, 20 * k + m, np.uint8))
    return root


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither MINIDL_DATA nor the user's folder holds anything."""
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path


# ── folders ───────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_read_in_natural_order(tmp_path):
    found = load(_folder(tmp_path))
    assert found.names == ["s1", "s2", "s10"]
    assert found.images.shape == (33, 6, 5)
    assert found.images.dtype == np.uint8
    assert found.images[:, 0, 0].tolist() == [*range(1, 12), *range(21, 32), *range(41, 52)]
    assert found.labels.tolist() == ["s1"] * 11 + ["s2"] * 11 + ["s10"] * 11
    assert found.codes.tolist() == [0] * 11 + [1] * 11 + [2] * 11


def test_hidden_files_and_notes_are_passed_over(tmp_path):
    root = _folder(tmp_path, each=2)
    (root / ".git").mkdir()
    (root / "README.txt").write_text("notes")
    (root / "s1" / ".DS_Store").write_bytes(b"x")
    (root / "s1" / "._1.pgm").write_bytes(b"x")
    (root / "s1" / "notes.txt").write_text("x")
    assert len(load(root)) == 6


def test_other_sizes_are_brought_to_one(tmp_path):
    pytest.importorskip("cv2", reason="resizing needs OpenCV")
    root = _folder(tmp_path, each=2)
    _write_pgm(root / "s2" / "3.pgm", np.full((40, 40), 9, np.uint8))
    assert load(root, image_size=(8, 4)).images.shape == (7, 8, 4)
    with pytest.raises(BadDataset, match=r"3\.pgm has 40×40 pixels .* 6×5: give an image_size"):
        load(root)


def test_an_unreadable_picture_is_named(tmp_path):
    root = _folder(tmp_path, each=2)
    (root / "s2" / "2.pgm").write_bytes(b"P5 5 6 255\n12")
    with pytest.raises(BadImage, match=r"s2/2\.pgm is a damaged or cut off"):
        load(root)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: None, "holds no folder of a person"),
        (lambda root: (root / "ann").mkdir(), "ann holds no picture"),
        (lambda root: _write_pgm(root / "a.pgm", np.zeros((2, 2), np.uint8)), r"a\.pgm belongs to nobody"),
        (
            lambda root: _write_pgm(root / "x" / "y" / "a.pgm", np.zeros((2, 2), np.uint8)),
            "inside a person's folder",
        ),
        (lambda root: _folder(root, people=("ann",)), "shows one person, but at least 2 are needed"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, change, sentence):
    change(tmp_path)
    with pytest.raises(BadDataset, match=sentence) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_one_person_is_enough_where_the_caller_says_so(tmp_path):
    assert load(_folder(tmp_path, people=("ann",)), min_people=1).names == ["ann"]


def test_what_does_not_exist_lists_what_does(tmp_path):
    with pytest.raises(BadDataset, match=r"nothing does not exist: give a folder .* orl, generated, synthetic"):
        load(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadDataset, match=r"neither a folder nor an \.npz file"):
        load(tmp_path / "notes.txt")


# ── arrays ────────────────────────────────────────────────────────────────────────────────────────

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)


def _saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_integer_labels_stay_what_they_are(tmp_path):
    path = _saved(tmp_path / "a.npz", images=IMAGES, labels=np.array([7, 30, 7, 4], np.uint8))
    found = load(str(path))
    assert np.array_equal(found.images, IMAGES)
    assert found.labels.tolist() == [7, 30, 7, 4]
    assert found.labels.dtype == np.int64
    assert found.names == ["4", "7", "30"]
    assert found.codes.tolist() == [1, 2, 1, 0]


def test_names_and_colour_in_an_npz(tmp_path):
    colour = np.repeat(IMAGES[..., None], 3, 3)
    found = load(_saved(tmp_path / "a.npz", images=colour, labels=np.array([b"bo", b"al", b"bo", b"al"])))
    assert np.array_equal(found.images, IMAGES)  # grey in colour is that grey
    assert found.labels.tolist() == ["bo", "al", "bo", "al"]
    assert found.names == ["al", "bo"]


def test_three_columns_are_not_taken_for_colours(tmp_path):
    narrow = IMAGES[:, :, :3]
    assert load(_saved(tmp_path / "a.npz", images=narrow, labels=np.arange(4))).images.shape == (4, 6, 3)


def test_a_subset_forgets_the_people_who_left(tmp_path):
    found = load(_saved(tmp_path / "a.npz", images=IMAGES, labels=np.array(["c", "a", "b", "a"])))
    some = found.subset(np.array([0, 2]))
    assert (some.names, some.labels.tolist(), some.codes.tolist()) == (["b", "c"], ["c", "b"], [1, 0])
    assert len(found.subset(found.labels == "a")) == 2


FOUR = np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": IMAGES}, r"no array named labels \(it has images\)"),
        ({"labels": FOUR}, "no array named images"),
        ({"x": FOUR}, r"no array named images or labels \(it has x\)"),
        (
            {"images": IMAGES / 255, "labels": FOUR},
            "are float64, but must be uint8 .*: multiply values in 0..1 by 255",
        ),
        ({"images": IMAGES.astype(np.int64), "labels": FOUR}, "are int64, but must be uint8"),
        ({"images": IMAGES[0], "labels": FOUR}, r"have shape \(6, 5\)"),
        ({"images": IMAGES[..., None], "labels": FOUR}, r"have shape \(4, 6, 5, 1\)"),
        ({"images": IMAGES[:0], "labels": FOUR[:0]}, "and not empty"),
        ({"images": IMAGES, "labels": FOUR[:3]}, r"4 images but labels of shape \(3,\)"),
        ({"images": IMAGES, "labels": FOUR[:, None]}, r"labels of shape \(4, 1\)"),
        ({"images": IMAGES, "labels": FOUR / 2}, "labels .* are float64, but must be integers or strings"),
        ({"images": IMAGES, "labels": FOUR * 0}, "shows one person"),
        ({"images": IMAGES, "labels": np.array([{}, {}, {}, {}])}, "Python objects, which are never loaded"),
    ],
)
def test_arrays_that_are_no_data_set(tmp_path, arrays, sentence):
    with pytest.raises(BadDataset, match=sentence) as caught:
        load(_saved(tmp_path / "a.npz", **arrays))
    assert "\n" not in str(caught.value)


def test_damaged_files_are_a_sentence(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES, labels=FOUR)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    broken = [b"", b"not a zip", whole[:-30], whole[:50]]
    for _ in range(60):
        flipped = bytearray(whole)
        for at in rng.integers(0, len(whole), 2):
            flipped[at] ^= 1 << rng.integers(8)
        broken.append(bytes(flipped))
    refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            load(path)
        except FaceError:
            refused += 1
    assert refused > 20


def test_an_archive_that_swells_is_refused_before_unpacking(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(2_000_000))
    monkeypatch.setattr(datasets, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadDataset, match="would unpack to"):
        load(path)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _like_orl():
    return np.random.default_rng(3).integers(0, 256, (400, 112, 92), dtype=np.uint8), np.repeat(np.arange(40), 10)


def test_orl_is_found_where_minidl_data_points(nowhere, monkeypatch):
    images, labels = _like_orl()
    monkeypatch.setenv("MINIDL_DATA", str(nowhere))
    _saved(nowhere / "orl.npz", images=images, labels=labels)
    found = load("orl")
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)
    assert found.names == [f"s{k}" for k in range(1, 41)]
    assert "AT&T Laboratories Cambridge" in found.description


def test_orl_is_found_as_a_folder_and_in_the_users_folder(nowhere):
    images, labels = _like_orl()
    for k in range(400):
        _write_pgm(datasets.user_folder() / "orl" / f"s{k // 10 + 1}" / f"{k % 10 + 1}.pgm", images[k])
    found = load("orl")
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)  # not sorted as s1, s10, s11, …


def test_the_users_folder_serves_where_minidl_data_has_none(nowhere, monkeypatch):
    images, labels = _like_orl()
    datasets.user_folder().mkdir(parents=True)
    _saved(datasets.user_folder() / "orl.npz", images=images, labels=labels)
    monkeypatch.setenv("MINIDL_DATA", str(nowhere / "empty"))
    assert np.array_equal(load("orl").images, images)


def test_without_orl_one_sentence_says_how_to_get_it(nowhere):
    with pytest.raises(BadDataset, match="`minidl faces download orl`, or set MINIDL_DATA"):
        load("orl")


def test_another_file_under_the_name_of_orl_is_refused(nowhere, monkeypatch):
    monkeypatch.setenv("MINIDL_DATA", str(nowhere))
    _saved(nowhere / "orl.npz", images=IMAGES, labels=FOUR)
    with pytest.raises(BadDataset, match=r"shape \(4, 6, 5\) and 4 people, expected"):
        load("orl")


def test_the_real_orl_is_the_one_of_the_checksum():
    from hashlib import sha256

    from minidl.faces.download import SOURCES

    folder = os.environ.get("MINIDL_DATA", "")
    if not folder or not (Path(folder) / "orl.npz").is_file():
        pytest.skip("orl.npz is not here: set MINIDL_DATA to its folder")
    assert sha256(load("orl").images.tobytes()).hexdigest() == SOURCES["orl"].pixels_sha256


def test_generated_faces_need_no_files(nowhere, monkeypatch):
    found = load("generated", image_size=(40, 32))
    assert found.images.shape == (400, 40, 32)
    assert found.codes.tolist() == np.repeat(np.arange(40), 10).tolist()
    monkeypatch.setattr(datasets, "generated_faces", lambda **asked: found if asked["size"] == (40, 32) else None)
    assert np.array_equal(load("synthetic", image_size=(40, 32)).images, found.images)
