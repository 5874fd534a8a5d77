"""The gallery: who is enrolled is found, who is forgotten is not, and what is no gallery is refused unharmed."""

import copy
import os
import sqlite3
import stat

import numpy as np
import pytest
from gallery_cases import MODEL, embeddings
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.faces.errors import BadDataset, BadGallery, BadImage, FaceError, UnknownPerson
from minidl.faces.gallery import Candidate, Gallery


@pytest.fixture
def path(tmp_path):
    return tmp_path / "us.gallery"


# ── enrolling, searching, forgetting ──────────────────────────────────────────────────────────────


def test_it_finds_whom_it_knows_with_the_cosine_as_similarity(path):
    rows, probes = embeddings(6), embeddings(4, seed=1)
    with Gallery(path) as gallery:
        gallery.enrol("Ann", rows[:3], MODEL)
        gallery.enrol("王芳", rows[3:], MODEL)
        for probe, found in zip(probes, gallery.search(probes, 2, MODEL), strict=True):
            best = {"Ann": max(float(probe @ row) for row in rows[:3]), "王芳": max(float(probe @ r) for r in rows[3:])}
            expected = sorted(best.items(), key=lambda item: -item[1])
            assert [c.name for c in found] == [name for name, _ in expected]
            assert [c.similarity for c in found] == pytest.approx([score for _, score in expected], abs=1e-6)


def test_what_was_enrolled_is_there_for_the_next_who_opens_it(path):
    rows = embeddings(3)
    with Gallery(path) as gallery:
        assert gallery.enrol("Ann", rows[:2], MODEL) == 2
        assert gallery.enrol(7, rows[2:], MODEL) == 1
    with Gallery(path) as gallery:
        assert gallery.people() == [7, "Ann"]
        assert np.array_equal(gallery.templates("Ann"), rows[:2])
        assert gallery.model == MODEL


class Plainly:
    """The same by dictionaries and loops."""

    def __init__(self):
        self.people = {}

    def search(self, probe, k):
        best = {name: max(float(probe @ row) for row in rows) for name, rows in self.people.items()}
        return sorted(best.items(), key=lambda item: -item[1])[:k]


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_history_of_changes_ends_like_a_dictionary(data):
    """Two galleries on one file take turns, so that each follows what the other wrote."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        galleries = [Gallery(f"{folder}/g") for _ in range(2)]
        plain, fresh = Plainly(), iter(embeddings(400, seed=3, dimension=8))
        for _ in range(data.draw(st.integers(1, 25))):
            gallery = galleries[data.draw(st.integers(0, 1))]
            name = data.draw(st.sampled_from(["Ann", "Bob", 3, "3", "a/b"]))
            if data.draw(st.booleans()) or name not in plain.people:
                rows = np.stack([next(fresh) for _ in range(data.draw(st.integers(1, 4)))])
                assert gallery.enrol(name, rows, MODEL) == len(rows)
                plain.people.setdefault(name, []).extend(rows)
            else:
                assert gallery.forget(name) == len(plain.people.pop(name))
            for gallery in galleries:
                assert set(gallery.people()) == set(plain.people)
                assert len(gallery) == len(plain.people)
                probe = embeddings(1, seed=9, dimension=8)
                found = gallery.search(probe, 3, MODEL)[0]
                expected = plain.search(probe[0], 3)
                assert [c.name for c in found] == [name for name, _ in expected]
                assert [c.similarity for c in found] == pytest.approx([s for _, s in expected], abs=1e-6)
        for gallery in galleries:
            gallery.close()


def test_the_same_picture_twice_is_one_template(path):
    rows = embeddings(2)
    gallery = Gallery(path)
    assert gallery.enrol("Ann", rows[[0, 0, 1]], MODEL) == 2
    assert gallery.enrol("Ann", rows, MODEL) == 0
    assert gallery.enrol("Bob", rows, MODEL) == 2, "another person may have it: twins"
    assert len(gallery.templates("Ann")) == 2


def test_k_people_even_where_one_person_has_all_the_best_templates():
    rows = embeddings(300)
    near = rows[:1] + 0.001 * rows[1:201]
    gallery = Gallery()
    gallery.enrol("near", near / np.linalg.norm(near, axis=1, keepdims=True), MODEL)
    for k, row in enumerate(rows[250:253]):
        gallery.enrol(k, row[None], MODEL)
    found = gallery.search(rows[:1], 10, MODEL)[0]
    assert found[0].name == "near"
    assert {c.name for c in found} == {"near", 0, 1, 2}


def test_nobody_is_found_in_an_empty_gallery():
    assert Gallery().search(embeddings(2), 1, MODEL) == [[], []]


def test_forgetting_somebody_unknown_is_said_and_changes_nothing(path):
    gallery = Gallery(path)
    gallery.enrol("Ann", embeddings(1), MODEL)
    with pytest.raises(UnknownPerson, match="'Anne': it knows Ann"):
        gallery.forget("Anne")
    with pytest.raises(UnknownPerson):
        gallery.forget(True)
    assert gallery.people() == ["Ann"]


@pytest.mark.parametrize(
    "name",
    ["a/b", "../../etc/passwd", "王芳", "O'Neil; DROP TABLE people", "e\u0301", "\u00e9", " x ", "a\nb", 0, -5, 2**70],
)
def test_any_text_or_integer_is_a_name(path, name):
    with Gallery(path) as gallery:
        gallery.enrol(name, embeddings(1), MODEL)
    with Gallery(path) as gallery:
        assert gallery.people() == [name]
        assert name in gallery
        gallery.forget(name)
        assert name not in gallery


@pytest.mark.parametrize("name", ["", "  ", None, True, 1.5, b"x", ("a", 1), "x" * 300, "\ud800", 10**300])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(BadDataset):
        Gallery().enrol(name, embeddings(1), MODEL)


@pytest.mark.parametrize(
    "rows", [np.zeros((1, 4)), np.full((1, 4), np.nan), np.ones((2, 4)), np.ones(4) / 2, np.zeros((0, 4))]
)
def test_what_is_no_embedding_is_refused_whole(rows):
    gallery = Gallery()
    with pytest.raises((BadImage, BadDataset)):
        gallery.enrol("Ann", rows, MODEL)
    assert len(gallery) == 0


def test_many_are_enrolled_together_or_not_at_all(path):
    rows = embeddings(3)
    gallery = Gallery(path)
    with pytest.raises(BadDataset):
        gallery.enrol_many(["Ann", "", "Bob"], rows, MODEL)
    assert gallery.people() == []
    assert gallery.enrol_many(["Ann", "Bob", "Ann"], rows, MODEL) == 3
    assert len(gallery.templates("Ann")) == 2


# ── whose embeddings they are ─────────────────────────────────────────────────────────────────────


def test_embeddings_of_another_model_are_refused_in_one_sentence(path):
    gallery = Gallery(path)
    gallery.enrol("Ann", embeddings(1), MODEL)
    for ask in (
        lambda: gallery.enrol("Bob", embeddings(1), "other"),
        lambda: gallery.search(embeddings(1), 1, "other"),
        lambda: gallery.enrol("Bob", embeddings(1, dimension=8), MODEL),
    ):
        with pytest.raises(BadGallery):
            ask()
    assert gallery.people() == ["Ann"]


def test_when_everybody_is_forgotten_another_model_may_begin(path):
    first, second = Gallery(path), Gallery(path)
    first.enrol("Ann", embeddings(3), MODEL)
    assert len(second) == 1
    first.forget("Ann")
    first.enrol("Bob", embeddings(1, dimension=8), "other")
    assert [c.name for c in second.search(embeddings(1, dimension=8), 5, "other")[0]] == ["Bob"]
    first.forget("Bob")
    first.enrol("Cleo", embeddings(1, seed=4, dimension=8), "third")
    assert len(second.templates("Cleo")) == 1


# ── what is no gallery ────────────────────────────────────────────────────────────────────────────


def refused(path, **options):
    """One sentence, and the file as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(BadGallery) as error:
        Gallery(path, **options).people()
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    if before is not None:
        assert path.read_bytes() == before
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".us")]


def test_a_database_of_another_program_is_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (id INTEGER)")
    connection.commit()
    connection.close()
    refused(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0", b"\x89PNG" * 100, os.urandom(5000)])
def test_a_file_that_is_none_is_left_alone(path, content):
    path.write_bytes(content)
    refused(path)


def test_a_folder_and_a_missing_file(path):
    refused(path, create=False)
    path.mkdir()
    refused(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_gallery_that_was_cut_off(path, share):
    with Gallery(path) as gallery:
        gallery.enrol_many([f"person {k}" for k in range(200)], embeddings(200), MODEL)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path)


def test_a_gallery_with_changed_bytes_is_not_believed(path):
    rows = embeddings(40)
    with Gallery(path) as gallery:
        gallery.enrol_many([f"person {k}" for k in range(40)], rows, MODEL)
    whole = bytearray(path.read_bytes())
    at = bytes(whole).index(rows[7].tobytes())
    whole[at : at + 8] = b"\xff" * 8
    path.write_bytes(whole)
    refused(path)


def test_a_later_format_is_refused(path):
    Gallery(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    refused(path)


def test_a_place_that_cannot_be_written():
    with pytest.raises(BadGallery, match="cannot be made"):
        Gallery("/proc/us.gallery")
    with pytest.raises(BadGallery, match="cannot be made"):
        Gallery("/no/such/folder/us.gallery")


def test_a_gallery_without_write_permission_can_be_read(path, monkeypatch):
    with Gallery(path) as gallery:
        gallery.enrol("Ann", embeddings(1), MODEL)
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: False if str(p) == str(path) else real(p, mode))
    with Gallery(path) as gallery:
        assert gallery.search(embeddings(1), 1, MODEL)[0] == [Candidate("Ann", pytest.approx(1, abs=1e-6))]
        with pytest.raises(BadGallery, match="permissions"):
            gallery.enrol("Bob", embeddings(1, seed=2), MODEL)


def test_only_its_owner_can_read_the_file(path):
    gallery = Gallery(path)
    gallery.enrol("Ann", embeddings(1), MODEL)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_every_error_is_one_of_faces():
    assert issubclass(BadGallery, FaceError)
    assert issubclass(UnknownPerson, FaceError)


def test_a_gallery_is_not_copied_but_says_what_to_do():
    with Gallery() as gallery, pytest.raises(TypeError, match="open database and cannot be copied or pickled"):
        copy.deepcopy(gallery)
