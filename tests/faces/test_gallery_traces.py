"""Forgetting is proven by searching every byte of every file of the gallery."""

import random
import sqlite3
from contextlib import closing

import pytest
from gallery_cases import MODEL, bytes_of, embeddings, traces

from minidl.faces.gallery import Gallery


def test_the_search_itself_finds_what_is_there(tmp_path):
    rows = embeddings(5)
    with Gallery(tmp_path / "g") as gallery:
        gallery.enrol("Ann of nowhere", rows, MODEL)
        open_bytes = bytes_of(tmp_path / "g")
    for data in (open_bytes, bytes_of(tmp_path / "g")):
        assert traces(data, rows) == 5
        assert b"Ann of nowhere" in data


def test_no_photograph_is_stored(tmp_path):
    """A template of 128 numbers takes under two kilobytes, all tables and empty space included."""
    with Gallery(tmp_path / "g") as gallery:
        gallery.enrol_many(list(range(500)), embeddings(500, dimension=128), MODEL)
    assert (tmp_path / "g").stat().st_size < 500 * 2000


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_of_the_forgotten_is_left_after_any_history(tmp_path, seed):
    """Twice four hundred changes: SQLite's own secure_delete left traces in some such histories."""
    path, chance = tmp_path / "g", random.Random(seed)
    gallery, alive, gone = Gallery(path), {}, []
    for step in range(400):
        if not alive or chance.random() < 0.55:
            name = f"nm{step}-" + "x" * chance.choice([3, 40, 180])
            alive[name] = embeddings(chance.randint(1, 9), seed=step, dimension=40)
            gallery.enrol(name, alive[name], MODEL)
        else:
            name = chance.choice(list(alive))
            gallery.forget(name)
            gone.append((name, alive.pop(name)))
        if step % 100 == 99:
            data = bytes_of(path)
            for name, rows in gone:
                assert name.encode()[:8] not in data
                assert traces(data, rows) == 0
            assert all(name.encode() in data for name in alive)
            gone.clear()
    assert set(gallery.people()) == set(alive)


def test_the_forgotten_are_overwritten_in_place_and_their_place_is_used_again(tmp_path):
    """Where rows are deleted instead, SQLite joins pages, and what it moves may leave a copy: seldom, but for good."""
    path = tmp_path / "g"
    gallery = Gallery(path)
    for k in range(30):
        gallery.enrol(f"person {k}", embeddings(3, seed=k), MODEL)
    for k in range(0, 30, 2):
        gallery.forget(f"person {k}")
    size = path.stat().st_size
    with closing(sqlite3.connect(path)) as database:
        zeros = [database.execute(f"SELECT count(*), sum(content = zeroblob(length(content))) FROM {table}").fetchone()
                 for table in ("names", "templates")]  # fmt: skip
    assert zeros == [(30, 15), (90, 45)]
    for k in range(100, 115):
        gallery.enrol(f"person {k}", embeddings(3, seed=k), MODEL)
    gallery.close()
    assert path.stat().st_size == size


def test_the_log_is_empty_after_forgetting(tmp_path):
    path = tmp_path / "g"
    gallery = Gallery(path)
    gallery.enrol("Ann", embeddings(3), MODEL)
    gallery.enrol("Bob", embeddings(3, seed=1), MODEL)
    assert (tmp_path / "g-wal").stat().st_size > 0
    gallery.forget("Ann")
    assert (tmp_path / "g-wal").stat().st_size == 0


def test_the_memory_forgets_too(tmp_path):
    gallery = Gallery(tmp_path / "g")
    rows = embeddings(3)
    gallery.enrol("Ann", rows, MODEL)
    gallery.enrol("Bob", embeddings(3, seed=1), MODEL)
    gallery.forget("Ann")
    assert traces(gallery._view.matrix._rows.tobytes(), rows) == 0
