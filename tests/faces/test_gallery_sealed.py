"""A gallery sealed by a passphrase: nothing readable in the file, and no other passphrase opens it."""

import sqlite3

import numpy as np
import pytest
from gallery_cases import MODEL, bytes_of, embeddings, traces

from minidl.faces.errors import BadGallery, WrongPassphrase
from minidl.faces.gallery import Gallery

pytest.importorskip("cryptography", reason="sealed galleries need cryptography (extra crypto)")


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "us.gallery"
    with Gallery(path, "correct horse") as gallery:
        gallery.enrol("Ann of nowhere", embeddings(3), MODEL)
        gallery.enrol(123456789, embeddings(2, seed=1), MODEL)
    return path


def test_neither_names_nor_embeddings_can_be_read_in_the_file(sealed):
    with Gallery(sealed, "correct horse") as gallery:
        gallery.enrol("Bob of nowhere", embeddings(3, seed=2), MODEL)
        data = bytes_of(sealed)
    data += bytes_of(sealed)
    for seed in range(3):
        assert traces(data, embeddings(3 if seed != 1 else 2, seed=seed)) == 0
    for text in (b"nowhere", b"123456789", b"correct", b"horse"):
        assert text not in data


def test_the_passphrase_opens_it(sealed):
    with Gallery(sealed, "correct horse") as gallery:
        assert gallery.encrypted
        assert gallery.people() == [123456789, "Ann of nowhere"]
        assert np.array_equal(gallery.templates("Ann of nowhere"), embeddings(3))
        assert gallery.forget(123456789) == 2


@pytest.mark.parametrize("passphrase", ["Correct horse", "correct horse ", "x", "密码"])
def test_another_passphrase_does_not(sealed, passphrase):
    before = sealed.read_bytes()
    with pytest.raises(WrongPassphrase, match="nothing was opened or changed"):
        Gallery(sealed, passphrase)
    assert sealed.read_bytes() == before


def test_no_passphrase_does_not(sealed):
    with pytest.raises(BadGallery, match="encrypted: give its passphrase"):
        Gallery(sealed)


def test_a_passphrase_for_an_open_gallery_is_refused_instead_of_believed(tmp_path):
    Gallery(tmp_path / "g").close()
    with pytest.raises(BadGallery, match="not encrypted"):
        Gallery(tmp_path / "g", "secret")


def test_an_empty_passphrase_is_none(tmp_path):
    with pytest.raises(BadGallery, match="not empty"):
        Gallery(tmp_path / "g", "")
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE templates SET content = (SELECT content FROM templates WHERE id = 1) WHERE id = 4",
        "UPDATE slots SET person = 3 - person",
        "UPDATE names SET content = (SELECT n.content FROM names n WHERE n.id = 3 - names.id)",
        "UPDATE templates SET content = zeroblob(length(content)) WHERE id = 2",
        "DELETE FROM templates WHERE id = 2",
    ],
)
def test_records_that_were_moved_or_changed_do_not_open(sealed, change):
    """Without the passphrase nobody can give Ann the face of another."""
    connection = sqlite3.connect(sealed)
    connection.execute(change)
    connection.commit()
    connection.close()
    with Gallery(sealed, "correct horse") as gallery, pytest.raises(BadGallery, match="damaged"):
        gallery.people()


@pytest.mark.parametrize("n", [2**40, 0, -1, 12345, "x"])
def test_a_file_cannot_ask_for_all_the_memory(sealed, n):
    connection = sqlite3.connect(sealed)
    connection.execute("UPDATE facts SET value = ? WHERE key = 'n'", (n,))
    connection.commit()
    connection.close()
    with pytest.raises(BadGallery, match="damaged"):
        Gallery(sealed, "correct horse")


def test_two_galleries_with_one_passphrase_share_no_bytes(tmp_path):
    for name in "ab":
        with Gallery(tmp_path / name, "same") as gallery:
            gallery.enrol("Ann", embeddings(1), MODEL)
    contents = []
    for name in "ab":
        connection = sqlite3.connect(tmp_path / name)
        contents.append(
            connection.execute("SELECT content FROM names UNION ALL SELECT content FROM templates").fetchall()
        )
        connection.close()
    assert not set(contents[0]) & set(contents[1])
