"""The live page's server talks to its own page alone, takes no more than it can hold, and forgets what it should."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_cases import SOURCE, Running, answer_of, recognizer, running

from minidl.cli.main import main
from minidl.faces import FaceRecognizer, Gallery
from minidl.faces.errors import BadGallery, MissingLibrary
from minidl.faces.generated import generated_faces
from minidl.faces.images import decode_image, encode_png
from minidl.faces.live import Desk, quick_recognizer, server

pytest.importorskip("starlette", reason="starlette is not installed (pip install minidl[live])")
pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install minidl[live])")
pytest.importorskip("cv2", reason="OpenCV is not installed (pip install minidl[faces])")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def live() -> Iterator[Running]:
    with running(Desk(recognizer(), SOURCE)) as found:
        yield found


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[bytes]]:
    """Three aligned faces of Ann and of Bob, as files."""
    drawn = generated_faces(people=2, per_person=3, seed=4, difficulty="easy")
    files = [encode_png(image) for image in drawn.images]
    return {"ann": files[:3], "bob": files[3:]}


# ── who may ask ───────────────────────────────────────────────────────────────────────────────────


def test_the_page_comes_with_its_parts_and_nothing_foreign(live: Running) -> None:
    page = live.ask()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for part in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert part == "data:," or live.ask(path=part).status == 200, part
    for part in ("", "live.css", "live.js"):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", live.ask(path=part).text), part


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.example", None]
)
def test_a_rebound_name_is_refused(live: Running, host: str | None) -> None:
    answer = live.ask(host=host and host.format(port=live.server.port))
    assert answer.status in (400, 421)
    assert live.server.token not in answer.text


def test_two_hosts_are_refused(live: Running) -> None:
    with live.connect() as line:
        line.sendall(
            f"GET {live.path} HTTP/1.1\r\nhost: {live.host}\r\nhost: evil\r\nconnection: close\r\n\r\n".encode()
        )
        assert answer_of(line).status in (400, 421)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://{host}", "http://localhost:1", "http://{host}.evil"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_page_is_refused(live: Running, method: str, origin: str) -> None:
    answer = live.ask(method, "people" if method == "GET" else "look", b"", origin=origin.format(host=live.host))
    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_what_changes_something_must_say_where_it_comes_from(live: Running) -> None:
    assert live.ask("POST", "forget?name=1", b"", origin=None).status == 403
    assert live.ask("GET", "people", sec_fetch_site="cross-site").status == 403
    assert live.ask("GET", "people", sec_fetch_site="same-site").status == 403  # another port of this computer
    assert live.ask("GET", "people", sec_fetch_site="same-origin").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/people", "/wrong/people", "/{short}/people", "/{token}", "//{token}/", "/%2e/{token}/"]
)
def test_without_the_token_nothing_is_told(live: Running, path: str) -> None:
    token = live.server.token
    answer = live.ask(path=path.format(token=token, short=token[:-1]))
    assert answer.status == 403
    assert token not in answer.text


def test_tokens_are_long_and_of_one_run(live: Running) -> None:
    with running(Desk(recognizer(), SOURCE)) as other:
        assert len(other.server.token) >= 43
        assert other.server.token != live.server.token
        assert other.ask(path=f"/{live.server.token}/people").status == 403


def test_it_listens_on_loopback_alone(live: Running) -> None:
    """127.0.0.2 is this computer too, as its address in the network is; a server bound to all would answer there."""
    assert live.server.address.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", live.server.port), timeout=5)


@pytest.mark.parametrize(
    "request_", [("GET", "", {}), ("GET", "/x", {}), ("POST", "look", {}), ("GET", "", {"host": "evil"})]
)
def test_every_answer_forbids_what_a_page_need_not_do(live: Running, request_: tuple[str, str, dict[str, str]]) -> None:
    method, path, headers = request_
    told = live.ask(method, path, **headers).headers
    policy = told["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert told["referrer-policy"] == "no-referrer", "the address holds the token"
    assert told["x-content-type-options"] == "nosniff"
    assert told["cache-control"] == "no-store"
    assert "camera=(self)" in told["permissions-policy"]
    assert "server" not in told


# ── what may be sent ──────────────────────────────────────────────────────────────────────────────


def test_a_large_upload_is_refused_before_it_is_sent(live: Running) -> None:
    with live.connect() as line:
        head = f"POST {live.path}look HTTP/1.1\r\nhost: {live.host}\r\norigin: http://{live.host}\r\n"
        line.sendall(f"{head}content-length: {10**12}\r\n\r\n".encode())
        answer = answer_of(line)
    assert answer.status == 413
    assert "12 MB" in answer.json["error"]


def test_an_upload_that_hides_its_size_is_refused_while_it_arrives(live: Running) -> None:
    sent = 0
    with live.connect() as line:
        head = f"POST {live.path}look HTTP/1.1\r\nhost: {live.host}\r\norigin: http://{live.host}\r\n"
        line.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        line.settimeout(0.2)
        try:
            while sent < 100_000_000:
                line.sendall(piece)
                sent += 65536
        except OSError:  # the server has hung up, or takes no more
            pass
    assert server.MOST_BYTES - 65536 < sent < 3 * server.MOST_BYTES, sent
    assert live.ask(path="people").status == 200


def test_an_upload_that_never_ends_is_given_up(live: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.3)
    with live.connect() as line:
        head = f"POST {live.path}look HTTP/1.1\r\nhost: {live.host}\r\norigin: http://{live.host}\r\n"
        line.sendall(f"{head}content-length: 1000\r\n\r\nP5".encode())
        assert answer_of(line).status == 408


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"P5 20000 20000 255 ", encode_png(np.zeros((300, 300), np.uint8))]
)
def test_what_shows_no_face_gets_a_sentence(live: Running, data: bytes) -> None:
    answer = live.post("look", data)
    assert answer.status == 422
    assert len(answer.json["error"]) > 20
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?name=",
        "?name=null",
        "?name=[1]",
        "?name=1.5",
        '?name=""',
        '?name="%20"',
        "?name=true",
        f'?name="{"x" * 81}"',
    ],
)
def test_a_name_that_cannot_be_used(live: Running, query: str, pictures: dict[str, list[bytes]]) -> None:
    assert live.ask("POST", f"enrol{query}", pictures["ann"][0]).status == 422
    assert live.ask(path="people").json == []


def test_other_paths_and_ways_to_ask(live: Running) -> None:
    assert live.ask(path="nothing").status == 404
    assert live.ask(path="../people").status in (400, 404)
    assert live.ask("GET", "forget?name=1").status == 405


# ── what it answers ───────────────────────────────────────────────────────────────────────────────


def test_enrol_look_explain_forget(tmp_path: Path, pictures: dict[str, list[bytes]]) -> None:
    """The answers are those of the recognizer, and what was enrolled and forgotten is in the file."""
    known = recognizer(Gallery(tmp_path / "us.gallery"))
    with running(Desk(known, SOURCE)) as live:
        face = live.post("look", pictures["ann"][0]).json["faces"][0]
        assert (face["name"], face["candidate"], face["similarity"]) == (None, None, None)
        for name, files in (("Ann 安", pictures["ann"][:2]), ("bob", pictures["bob"][:2])):
            assert [live.post("enrol", file, name).json["added"] for file in files] == [1, 1]
        assert live.post("enrol", pictures["bob"][0], " bob ").json == {"name": "bob", "added": 0, "templates": 2}
        assert live.ask(path="people").json == [{"name": "Ann 安", "templates": 2}, {"name": "bob", "templates": 2}]
        seen = live.post("look", pictures["ann"][2]).json
        truth = known.identify(decode_image(pictures["ann"][2]))
        face = seen["faces"][0]
        assert (face["name"], face["candidate"]) == (truth[0].name, truth[0].candidate)
        assert face["similarity"] == pytest.approx(truth[0].similarity, abs=1e-4)
        assert seen["threshold"] == truth[0].threshold
        assert face["box"] == [0, 0, 92, 112]
        assert live.post("look", pictures["ann"][0]).json["faces"][0]["name"] == "Ann 安"
        crop = base64.b64decode(face["face"].partition(",")[2])
        why = live.post("explain", crop, "Ann 安")
        assert why.headers["content-type"] == "image/png"
        red, blue = (decode_image(why.body, color=True)[..., k].astype(int) for k in (0, 2))
        assert np.abs(red - blue).max() > 50, "the map has colours"
        assert live.post("forget", b"", "Ann 安").json == {"name": "Ann 安", "templates": 2, "in_training": False}
        assert live.post("forget", b"", "Ann 安").status == 422
        assert live.post("look", pictures["ann"][0]).json["faces"][0]["candidate"] == "bob"
    known.gallery.close()
    with Gallery(tmp_path / "us.gallery") as kept:
        assert kept.people() == ["bob"]
    assert "Ann 安".encode() not in (tmp_path / "us.gallery").read_bytes()


def test_what_is_said_of_the_model_is_what_was_measured(live: Running) -> None:
    told, desk = live.ask(path="about").json, recognizer()
    row = next(row for row in desk.calibration.rows if row.far == 0.01)
    assert told["threshold"] == desk.calibration.threshold
    assert (told["calibration"]["named"], told["calibration"]["missed"]) == (row.named, row.missed)
    assert (told["gallery"], told["source"]["en"]) == (None, "made by a test")


def test_without_a_model_one_is_made_that_knows_nobody(tmp_path: Path) -> None:
    """And it is the same at the next start, so that a gallery in a file can be used again."""
    first, source = quick_recognizer(Gallery(tmp_path / "g"))
    assert "drawn people" in source["en"]
    assert (first.people(), first.calibration.far, first.calibration.source) == ([], 0.01, "given images")
    drawn = generated_faces(people=1, per_person=2, seed=4)
    first.enrol("ann", drawn.images[:1])
    first.gallery.close()
    second, _ = quick_recognizer(Gallery(tmp_path / "g"))
    assert second.identify(drawn.images[0])[0].name == "ann"
    second.gallery.close()


def test_a_gallery_of_another_model_is_refused_at_the_start(tmp_path: Path) -> None:
    with Gallery(tmp_path / "g") as gallery:
        gallery.enrol("ann", np.eye(3, dtype=np.float32)[:1], "another")
        with pytest.raises(BadGallery, match="another model"):
            Desk(recognizer(gallery), SOURCE)


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    drawn = generated_faces(people=4, per_person=3, seed=2)
    np.savez(tmp_path / "four.npz", images=drawn.images, labels=drawn.labels)
    words = ["faces", "live", "--data", str(tmp_path / "four.npz"), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "-m", "minidl_command", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        host, token = re.fullmatch(r"http://([0-9.:]+)/([\w-]{43})/", address).groups()  # type: ignore[union-attr]
        name, _, port = host.partition(":")
        with socket.create_connection((name, int(port)), timeout=20) as line:
            line.sendall(f"GET /{token}/about HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            assert answer_of(line).json["model"] == "lbp"
        process.send_signal(signal.SIGINT)
        said, wrong = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said, wrong) == (0, b"", b"")


def test_a_model_and_a_gallery_that_are_given_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A new gallery begins with the people of the training; another start finds who was enrolled meanwhile."""
    drawn = generated_faces(people=3, per_person=3, seed=2, difficulty="easy")
    names = np.array(["ann", "bob", "cleo"])[drawn.labels]
    FaceRecognizer("eigen").fit(drawn.images, names).save(tmp_path / "m.minidl")
    desks: list[Desk] = []

    class Ended(server.LiveServer):
        def __init__(self, desk: Desk, port: int) -> None:
            super().__init__(desk, port)
            desks.append(desk)

        def run(self) -> None:
            self._socket.close()

    monkeypatch.setattr("minidl.cli.faces.live.LiveServer", Ended)
    words = ["faces", "live", "--model", str(tmp_path / "m.minidl")]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("eigen: m.minidl, trained with 3 people\nopen http://127.0.0.1:")
    assert ([one["name"] for one in desks[0].people()], desks[0].about()["gallery"]) == (["ann", "bob", "cleo"], None)
    assert main([*words, "--empty"]) == 0
    assert desks.pop().people() == []
    (tmp_path / "word").write_text("open sesame")
    words += ["--gallery", str(tmp_path / "g"), "--passphrase-file", str(tmp_path / "word")]
    pytest.importorskip("cryptography", reason="cryptography is not installed (pip install minidl[crypto])")
    assert main(words) == 0
    desks[1].enrol("dora", encode_png(drawn.images[0][:, ::-1]))
    desks[1].recognizer.gallery.close()
    assert main([*words, "--json"]) == 0
    assert [one["name"] for one in desks[2].people()] == ["ann", "bob", "cleo", "dora"]
    assert (desks[2].about()["encrypted"], desks[2].about()["gallery"]) == (True, str(tmp_path / "g"))
    desks[2].recognizer.gallery.close()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingLibrary, match=r"minidl\[faces,live\]"):
        server.require_live()
    assert main(["faces", "live"]) == 2
    assert capsys.readouterr().err.startswith("minidl: the live page needs starlette and uvicorn: pip install")


@pytest.mark.parametrize(("words", "said"), [
    (["--model", "m", "--data", "orl"], "leave one of them out"),
    (["--encrypt"], "--gallery"),
    (["--model", "nowhere.minidl"], "nowhere.minidl does not exist"),
])  # fmt: skip
def test_what_does_not_go_together(words: list[str], said: str, capsys: Any) -> None:
    assert main(["faces", "live", *words]) == 2
    assert said in capsys.readouterr().err


def test_loading_the_command_loads_no_web_library() -> None:
    code = "import sys, minidl.cli.main; print([m for m in ('starlette', 'uvicorn', 'cv2') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
