"""Downloads from a server on loopback: verified images are stored whole, everything else leaves nothing."""

import gzip
import hashlib
import io
import os
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minidl.faces import download as module
from minidl.faces.datasets import load
from minidl.faces.download import SOURCES, Source, download
from minidl.faces.errors import DownloadFailed

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 9, 7), dtype=np.uint8)
TINY = Source("http://127.0.0.1:9/tiny.zip", 2, 3, (9, 7), hashlib.sha256(IMAGES.tobytes()).hexdigest())


def _pgm(pixels):
    return b"P5\n%d %d\n255\n" % pixels.shape[::-1] + pixels.tobytes()


def _files(images=IMAGES, per_person=3, root=""):
    return {f"{root}s{k // per_person + 1}/{k % per_person + 1}.pgm": _pgm(x) for k, x in enumerate(images)}


def _zip(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _tar(files, mode="w:gz"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@contextmanager
def _server(answer):
    """A server whose GET is `answer(handler)`; it ends with the block, hanging answers too."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.over = over
            answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/att_faces.zip"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _sending(body, claimed=None, length=True):
    def answer(handler):
        handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture(autouse=True)
def _tiny_and_no_proxy(monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", TINY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "archive",
    [
        _zip(_files()),
        _zip(_files(root="att_faces/") | {"att_faces/README": b"notes", "__MACOSX/._x": b"y"}),
        _tar(_files()),
        _tar(_files(root="./orl_faces/"), "w"),
        _tar(_files(), "w:xz"),
    ],
    ids=["zip", "zip in a folder", "tar.gz", "tar in a folder", "tar.xz"],
)
def test_any_archive_of_the_same_images_will_do(tmp_path, archive):
    with _server(_sending(archive)) as url:
        stored = download("tiny", tmp_path, url)
    assert stored == tmp_path / "tiny.npz"
    assert _names(tmp_path) == ["tiny.npz"]
    found = load(stored)
    assert np.array_equal(found.images, IMAGES)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_folder_is_made_and_by_default_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "new" / "share"))
    with _server(_sending(_zip(_files()))) as url:
        assert download("tiny", url=url) == tmp_path / "new" / "share" / "minidl" / "tiny.npz"


def test_progress_is_told(tmp_path):
    archive = _zip(_files())
    for length, total in ((True, len(archive)), (False, None)):
        told = []
        with _server(_sending(archive, length=length)) as url:
            download("tiny", tmp_path, url, progress=lambda done, of, told=told: told.append((done, of)))
        assert told[-1] == (len(archive), total)


def test_a_whole_orl_travels(tmp_path):
    folder = Path(os.environ.get("MINIDL_DATA", "")) / "orl"
    if not os.environ.get("MINIDL_DATA") or not (folder / "s40" / "10.pgm").is_file():
        pytest.skip("the images orl/sN/M.pgm are not here: set MINIDL_DATA to their folder")
    files = {
        f"att_faces/s{s}/{m}.pgm": (folder / f"s{s}" / f"{m}.pgm").read_bytes()
        for s in range(1, 41)
        for m in range(1, 11)
    }
    with _server(_sending(_zip(files))) as url:
        download("orl", tmp_path, url)
    with np.load(tmp_path / "orl.npz") as stored, np.load(folder.parent / "orl.npz") as given:
        assert np.array_equal(stored["images"], given["images"])
        assert np.array_equal(stored["labels"], given["labels"])


# ── everything else leaves nothing and loses nothing ──────────────────────────────────────────────


def _one_pixel_changed():
    changed = IMAGES.copy()
    changed[4, 0, 0] ^= 1
    return _zip(_files(changed))


def _damaged_inside():
    archive = bytearray(_zip(_files()))
    archive[60] ^= 0xFF
    return bytes(archive)


def _lying_zip():
    """A member of 3 MB whose directory entry says 9 bytes."""
    archive = bytearray(_zip({"s1/1.pgm": bytes(3_000_000)}))
    size = (3_000_000).to_bytes(4, "little")
    at = archive.find(size)
    while at >= 0:
        archive[at : at + 4] = (9).to_bytes(4, "little")
        at = archive.find(size)
    return bytes(archive)


WHOLE = _zip(_files())
LARGER = np.zeros((6, 10, 7), np.uint8)
BAD = {
    "one pixel changed": (_sending(_one_pixel_changed()), "are not the expected ones"),
    "damaged inside": (_sending(_damaged_inside()), "archive that is damaged"),
    "no archive": (_sending(b"<html>moved</html>"), "archive that is damaged"),
    "nothing": (_sending(b""), "archive that is damaged"),
    "cut off, said so": (_sending(WHOLE[:-100], claimed=len(WHOLE)), "broke off after"),
    "cut off, not said": (_sending(WHOLE[:-100]), "archive that is damaged"),
    "tar cut off": (_sending(_tar(_files())[:-40]), "archive that is damaged|lacks"),
    "gzip of nothing": (_sending(gzip.compress(b"")), "archive that is damaged|lacks"),
    "an image missing": (_sending(_zip(dict(list(_files().items())[:-1]))), r"lacks s2/3\.pgm"),
    "an image broken": (
        _sending(_zip(_files() | {"s1/2.pgm": b"P5 7 9 255\nxx"})),
        r"s1/2\.pgm is a damaged",
    ),
    "images of another size": (_sending(_zip(_files(LARGER))), r"shape \(10, 7\), expected \(9, 7\)"),
    "path upwards": (_sending(_zip(_files() | {"../evil.pgm": b"x"})), "unsafe path '../evil.pgm'"),
    "path upwards inside": (_sending(_tar(_files() | {"a/../../evil": b"x"})), "unsafe path"),
    "path from the root": (_sending(_zip(_files() | {"/etc/evil": b"x"})), "unsafe path '/etc/evil'"),
    "path of windows": (_sending(_tar(_files() | {"..\\evil": b"x"})), "unsafe path"),
    "path with a drive": (_sending(_zip(_files() | {"C:/evil": b"x"})), "unsafe path"),
    "a huge member": (_sending(_zip(_files() | {"big": bytes(2_000_000)})), "unpacks to too much"),
    "a huge member in a tar": (_sending(_tar(_files() | {"big": bytes(2_000_000)})), "unpacks to too much"),
    "a member that lies": (_sending(_lying_zip()), "damaged|too much"),
    "404": (lambda handler: handler.send_error(404), "answers 404 Not Found"),
    "500": (lambda handler: handler.send_error(500), "answers 500"),
    "no answer": (lambda handler: handler.over.wait(10), "did not answer for 0.3 seconds"),
    "closed at once": (lambda handler: handler.connection.close(), "cannot be reached|broke off"),
}


def _stalls(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(WHOLE)))
    handler.end_headers()
    handler.wfile.write(WHOLE[:100])
    handler.wfile.flush()
    handler.over.wait(10)


BAD["stalls in the middle"] = (_stalls, "did not answer for 0.3 seconds")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("before", [True, False], ids=["over an older file", "into an empty folder"])
def test_a_bad_download_is_a_sentence_and_changes_nothing(tmp_path, name, before):
    answer, sentence = BAD[name]
    if before:
        (tmp_path / "tiny.npz").write_bytes(b"what was there")
    with _server(answer) as url, pytest.raises(DownloadFailed, match=sentence) as caught:
        download("tiny", tmp_path, url, timeout=0.3)
    assert "\n" not in str(caught.value)
    assert _names(tmp_path) == (["tiny.npz"] if before else [])
    if before:
        assert (tmp_path / "tiny.npz").read_bytes() == b"what was there"


def test_a_server_that_drips_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 1)

    def drips(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(60):  # three seconds, then it ends: a client without a deadline fails, and does not hang
            if handler.over.wait(0.05):
                return
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                return

    with _server(drips) as url, pytest.raises(DownloadFailed, match="is too slow"):
        download("tiny", tmp_path, url, timeout=0.5)


def test_an_endless_answer_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    with _server(_sending(bytes(500_000))) as url, pytest.raises(DownloadFailed, match="sends more than"):
        download("tiny", tmp_path, url)


def test_many_small_members_count_together(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1_000_000)
    archive = _zip({f"n{k}": bytes(200_000) for k in range(6)})
    with pytest.raises(DownloadFailed, match="unpacks to too much"):
        module.unpack(archive, TINY)


def test_nobody_listening():
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        download("tiny", url="http://127.0.0.1:9/x.zip", timeout=2)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "att_faces.zip", "http://"])
def test_only_web_addresses(url):
    with pytest.raises(DownloadFailed, match="is no web address"):
        download("tiny", url=url)


def test_unknown_names_list_the_known():
    with pytest.raises(DownloadFailed, match="no data set 'lfw' to download: choose one of orl"):
        download("lfw")


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "replace", interrupted)
    with _server(_sending(WHOLE)) as url, pytest.raises(KeyboardInterrupt):
        download("tiny", tmp_path, url)
    assert _names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with _server(_sending(WHOLE)) as url, pytest.raises(DownloadFailed, match="cannot be written"):
        download("tiny", tmp_path / "file" / "folder", url)
