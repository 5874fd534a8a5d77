"""What the tests of the live page share: a server on a thread, requests byte by byte, a camera that shows a picture."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from minidl.backend import Array
from minidl.faces import FaceRecognizer, Gallery
from minidl.faces.generated import generated_faces
from minidl.faces.live import Desk, LiveServer

SOURCE = {"en": "made by a test", "zh": "测试所做"}


def recognizer(gallery: Gallery | None = None) -> FaceRecognizer:
    """One that knows nobody, its threshold from drawn people."""
    drawn = generated_faces(people=8, per_person=4, seed=11, difficulty="easy")
    learn = drawn.labels < 4
    made = FaceRecognizer("lbp", gallery=Gallery() if gallery is None else gallery)
    made.fit(drawn.images[learn], drawn.labels[learn], progress=False)
    made.calibrate(drawn.images[~learn], drawn.labels[~learn], 0.01)
    return made


@dataclass
class Answer:
    """Status, headers by name in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Running:
    """A server, and requests to it with exactly these bytes."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.host = f"127.0.0.1:{server.port}"
        self.path = f"/{server.token}/"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=20)

    def ask(self, method: str = "GET", path: str = "", body: bytes | None = None, **headers: str | None) -> Answer:
        """A request as the page would send it; `headers` replace (None: leave out), underscores stand for hyphens.

        A path that begins with / is not completed by the token.
        """
        told: dict[str, str | None] = {"host": self.host, "connection": "close"}
        if method == "POST":
            told |= {"origin": f"http://{self.host}", "content-length": str(len(body or b""))}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path if path.startswith('/') else self.path + path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in told.items() if value is not None]
        with self.connect() as line:
            line.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
            return answer_of(line)

    def post(self, path: str, body: bytes = b"", name: Any = None) -> Answer:
        """As the page asks; `name` is who is meant."""
        return self.ask("POST", path + ("" if name is None else f"?name={quote(json.dumps(name))}"), body)


def answer_of(line: socket.socket) -> Answer:
    """The answer on a connection that the server closes after it."""
    got = b""
    while part := line.recv(65536):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
    return Answer(int(first.split()[1]), headers, body)


@contextmanager
def running(desk: Desk) -> Iterator[Running]:
    """The server on a thread of its own, ended with the block."""
    server = LiveServer(desk)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Running(server)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"


def film(path: Path, frames: list[Array]) -> Path:
    """A film for a camera that is not there: grey pictures, uncompressed (YUV4MPEG2)."""
    h, w = frames[0].shape
    with path.open("wb") as out:
        out.write(f"YUV4MPEG2 W{w} H{h} F5:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            out.write(b"FRAME\n" + np.ascontiguousarray(frame).tobytes() + bytes([128]) * (w * h // 2))
    return path
