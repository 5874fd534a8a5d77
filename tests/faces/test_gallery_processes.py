"""A gallery and several processes: killed at any moment nothing acknowledged is lost, and readers never wait long."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from gallery_cases import MODEL, embeddings

from minidl.faces.gallery import Gallery

ENROLLING = """
import sys
sys.path.insert(0, sys.argv[2])
from gallery_cases import MODEL, embeddings
from minidl.faces.gallery import Gallery

gallery = Gallery(sys.argv[1])
for k in range(int(sys.argv[3]), 10**6):
    gallery.enrol(f"person {k}", embeddings(3, seed=k), MODEL)
    if k % 3 == 2:
        gallery.forget(f"person {k - 1}")
    print(k, flush=True)
"""


def started(path, first):
    """A process that enrols, and forgets every third, until it is killed; it prints what is done."""
    here = os.path.dirname(__file__)
    words = [sys.executable, "-c", ENROLLING, str(path), here, str(first)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path):
    path, chance, done = tmp_path / "g", random.Random(7), -1
    for _ in range(5):
        process = started(path, done + 1)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().split("\n")
        process.wait()
        process.stdout.close()
        done = max(int(line) for line in lines if line.strip())
        with Gallery(path) as gallery:
            expected = {f"person {k}" for k in range(done + 1) if not (k % 3 == 1 and k < done)}
            unsure = {f"person {done + 1}", f"person {done}"} if (done + 1) % 3 == 2 else {f"person {done + 1}"}
            assert expected - unsure <= set(gallery.people()) <= expected | unsure
            for k in range(done):
                if k % 3 != 1:
                    assert np.array_equal(gallery.templates(f"person {k}"), embeddings(3, seed=k))
            for name in unsure & set(gallery.people()):
                gallery.forget(name)
            gallery.enrol(f"person {done}", embeddings(3, seed=done), MODEL)
            if (done + 1) % 3 == 2:
                done -= 1  # the next process begins with the pair again
                gallery.forget(f"person {done + 1}")


def read_on(path, stop, results):
    """Search until told to stop; every answer must be one that held at some moment: all three templates or none."""
    searches = wrong = 0
    with Gallery(path) as gallery:
        while not stop.is_set():
            people = gallery.people()
            if people and len(gallery.search(embeddings(1), 1, MODEL)[0]) != 1:
                wrong += 1
            searches += 1
    results.put((searches, wrong))


def write_on(path, first, results):
    """Enrol twenty people and forget ten of them."""
    with Gallery(path) as gallery:
        for k in range(first, first + 20):
            gallery.enrol(k, embeddings(3, seed=k), MODEL)
        for k in range(first, first + 10):
            gallery.forget(k)
    results.put(first)


def test_readers_and_writers_at_once(tmp_path):
    path, spawn = tmp_path / "g", multiprocessing.get_context("spawn")
    stop, results, written = spawn.Event(), spawn.Queue(), spawn.Queue()
    gallery = Gallery(path)
    gallery.enrol("Ann", embeddings(1), MODEL)
    readers = [spawn.Process(target=read_on, args=(path, stop, results)) for _ in range(2)]
    writers = [spawn.Process(target=write_on, args=(path, first, written)) for first in (0, 100)]
    for process in readers + writers:
        process.start()
    for _ in writers:
        written.get(timeout=60)
    stop.set()
    found = [results.get(timeout=60) for _ in readers]
    for process in readers + writers:
        process.join(60)
        assert process.exitcode == 0
    assert all(searches > 0 and wrong == 0 for searches, wrong in found)
    assert gallery.people() == [*range(10, 20), *range(110, 120), "Ann"], "this process follows without opening again"
    assert len(gallery.templates(115)) == 3


def test_two_processes_that_make_the_same_gallery_end_up_in_one(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    written = spawn.Queue()
    writers = [spawn.Process(target=write_on, args=(tmp_path / "g", first, written)) for first in (0, 100)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    with Gallery(tmp_path / "g") as gallery:
        assert len(gallery) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process")  # Python warns of forking where there are threads; it is the point
def test_a_child_by_fork_may_use_the_gallery_of_its_parent(tmp_path):
    gallery = Gallery(tmp_path / "g")
    gallery.enrol("Ann", embeddings(1), MODEL)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            gallery.enrol("Bob", embeddings(1, seed=1), MODEL)
            code = 0 if gallery.people() == ["Ann", "Bob"] else 2
            gallery.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gallery.enrol("Cleo", embeddings(1, seed=2), MODEL)
    assert gallery.people() == ["Ann", "Bob", "Cleo"]


READING_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from gallery_cases import MODEL, embeddings
from minidl.faces.errors import BadGallery
from minidl.faces.gallery import Gallery

if os.getuid() == 0:
    os.setuid(65534)  # to whom permissions apply
gallery = Gallery(sys.argv[1])
assert gallery.search(embeddings(1), 1, MODEL)[0][0].name == "Ann"
refused = 0
for change in (lambda: gallery.enrol("Bob", embeddings(1, seed=1), MODEL), lambda: gallery.forget("Ann")):
    try:
        change()
    except BadGallery as error:
        refused += "permissions" in str(error)
try:
    Gallery(sys.argv[1] + "-new")
except BadGallery as error:
    refused += "cannot be made" in str(error)
assert refused == 3, refused
"""


def test_on_ground_that_cannot_be_written_a_gallery_is_read_and_nothing_else():
    """Write-ahead logging wants to write beside the file even to read."""
    folder = tempfile.mkdtemp()  # those of pytest are closed to other users
    path = os.path.join(folder, "g")
    try:
        with Gallery(path) as gallery:
            gallery.enrol("Ann", embeddings(1), MODEL)
        os.chmod(path, 0o444)
        os.chmod(folder, 0o555)
        words = [sys.executable, "-c", READING_ONLY, path, os.path.dirname(__file__)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert os.listdir(folder) == ["g"]
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


def test_threads_share_a_gallery(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    gallery = Gallery(tmp_path / "g")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: gallery.enrol(k, embeddings(2, seed=k), MODEL), range(24)))
        found = list(pool.map(lambda k: gallery.search(embeddings(2, seed=k), 1, MODEL), range(24)))
    assert gallery.people() == list(range(24))
    assert [[c.name for row in answer for c in row] for answer in found] == [[k, k] for k in range(24)]
