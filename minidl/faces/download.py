"""Fetch a data set from its owner, verify its content, and store it whole or not at all.

What is verified is the pixels: SHA-256 over the decoded images, person after person. So any archive of the
same images will do (zip or tar, from the owner or a mirror), and a changed image never gets in. Archives are
read in memory, member by member; no path inside an archive is ever used as a path on disk.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import re
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from os import PathLike
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from minidl.faces.datasets import user_folder
from minidl.faces.errors import BadImage, DownloadFailed
from minidl.faces.images import decode_image

MOST_BYTES = 64_000_000
"""Neither the archive nor what it unpacks to may be larger; ORL has 4.5 MB."""
MOST_MEMBER = 1_000_000
"""No image in it may be larger, in bytes."""
PATIENCE = 20
"""The whole download may take so many times the timeout of one read."""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and what it must hold.

    Attributes:
        url: the owner's address.
        people, per_person: how many; the images are called sN/M.pgm, from 1.
        size: (rows, columns) of every image.
        pixels_sha256: hexadecimal, over the uint8 pixels of s1/1, s1/2, … s2/1, …
    """

    url: str
    people: int
    per_person: int
    size: tuple[int, int]
    pixels_sha256: str


SOURCES = {
    "orl": Source(
        url="https://www.cl.cam.ac.uk/Research/DTG/attarchive/pub/data/att_faces.zip",
        people=40,
        per_person=10,
        size=(112, 92),
        pixels_sha256="2e4844a9f4fa4397058f69d6208047170f2e9d399cda18b55c1e8d28f0a83431",
    )
}
"""What can be downloaded, by name."""


def download(
    name: str = "orl",
    to: str | PathLike[str] | None = None,
    url: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch, verify and store a data set as `name`.npz, where `datasets.load(name)` finds it.

    Arguments:
        name: one of `SOURCES`.
        to: the folder to store it in; by default the user's data folder.
        url: an http(s) address to fetch from instead of the owner's.
        progress: called with the bytes so far and the total (None where the server does not say).
        timeout: seconds to wait for the server to answer or to go on.

    Returns:
        The file that was stored. What was there before is replaced in one step, and only by verified images.

    Raises:
        DownloadFailed: the server cannot be reached, does not answer, or sends something else.
    """
    if name not in SOURCES:
        raise DownloadFailed(f"there is no data set {name!r} to download: choose one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    address = url or source.url
    images = unpack(_fetch(address, progress, timeout), source, address)
    labels = np.repeat(np.arange(source.people), source.per_person)
    packed = io.BytesIO()
    np.savez(packed, images=images, labels=labels)
    return _store(packed.getvalue(), (Path(to) if to is not None else user_folder()) / f"{name}.npz")


def unpack(archive: bytes, source: Source, address: str = "the archive") -> NDArray[np.uint8]:
    """The verified images of an archive.

    Arguments:
        archive: a zip file, or a tar file, plain or compressed by gzip, bzip2 or xz.
        source: what it must hold.
        address: where it came from, for messages.

    Returns:
        (people * per_person, rows, columns) uint8.

    Raises:
        DownloadFailed: it is damaged, unsafe, incomplete, or its pixels are not the expected ones.
    """
    found: dict[tuple[int, int], bytes] = {}
    try:
        for path, content in _members(archive, address):
            place = re.search(r"(?:^|/)s(\d{1,4})/(\d{1,4})\.pgm$", path, re.IGNORECASE)
            if place:
                found[int(place[1]), int(place[2])] = content
    except DownloadFailed:
        raise
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise DownloadFailed(
            f"{address} sent an archive that is damaged ({type(error).__name__}): try again, or another --url"
        ) from error
    images = np.empty((source.people * source.per_person, *source.size), np.uint8)
    for k in range(len(images)):
        person, number = k // source.per_person + 1, k % source.per_person + 1
        member = f"s{person}/{number}.pgm"
        if (person, number) not in found:
            raise DownloadFailed(f"the archive from {address} lacks {member}: try again, or another --url")
        try:
            image = decode_image(found[person, number], member)
        except BadImage as error:
            raise DownloadFailed(f"in the archive from {address}, {error}") from error
        if image.shape != source.size:
            raise DownloadFailed(
                f"in the archive from {address}, {member} has shape {image.shape}, expected {source.size}: "
                "these are other images, try another --url"
            )
        images[k] = image
    if (digest := hashlib.sha256(images.tobytes()).hexdigest()) != source.pixels_sha256:
        raise DownloadFailed(
            f"the images from {address} are not the expected ones (SHA-256 of the pixels {digest[:16]}…, "
            f"expected {source.pixels_sha256[:16]}…): nothing was stored, try another --url"
        )
    return images


# ── the archive ───────────────────────────────────────────────────────────────────────────────────


def _members(archive: bytes, address: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file, refusing unsafe paths and archives that swell."""
    total = 0

    def allowed(path: str, size: int) -> bool:
        nonlocal total
        parts = PurePosixPath(path.replace("\\", "/")).parts
        if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
            raise DownloadFailed(f"the archive from {address} holds the unsafe path {path!r}: nothing was stored")
        total += size
        if size > MOST_MEMBER or total > MOST_BYTES:
            raise DownloadFailed(
                f"the archive from {address} unpacks to too much ({path} of {size / 1e6:.1f} MB, "
                f"{total / 1e6:.1f} MB so far): nothing was stored"
            )
        return True

    if archive[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(archive)) as unzipped:
            for entry in unzipped.infolist():
                if allowed(entry.filename, entry.file_size) and not entry.is_dir():
                    with unzipped.open(entry) as file:
                        content = file.read(MOST_MEMBER)
                    # The size in the directory may be a lie: what came out counts.
                    allowed(entry.filename, max(0, len(content) - entry.file_size))
                    yield entry.filename, content
        return
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as untarred:
        for member in untarred:
            if allowed(member.name, member.size) and member.isfile():
                opened = untarred.extractfile(member)
                yield member.name, opened.read() if opened else b""


# ── the network and the disk ──────────────────────────────────────────────────────────────────────


def _fetch(address: str, progress: Callable[[int, int | None], None] | None, timeout: float) -> bytes:
    if not re.match(r"https?://[^\s/]", address, re.IGNORECASE):
        raise DownloadFailed(f"{address!r} is no web address: it must begin with https:// or http://")
    deadline = time.monotonic() + PATIENCE * timeout
    received = bytearray()
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "minidl"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            while chunk := response.read1(1 << 16):
                received += chunk
                if len(received) > MOST_BYTES:
                    raise DownloadFailed(
                        f"{address} sends more than {MOST_BYTES / 1e6:.0f} MB: that is no archive of faces"
                    )
                if time.monotonic() > deadline:
                    raise DownloadFailed(
                        f"{address} is too slow ({len(received)} bytes in {PATIENCE * timeout:.0f} seconds): "
                        "try again later"
                    )
                if progress is not None:
                    progress(len(received), total)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(
            f"{address} answers {error.code} {error.reason}: check the address or try another --url"
        ) from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        what = (
            f"did not answer for {timeout:g} seconds"
            if isinstance(reason, TimeoutError)
            else f"cannot be reached ({reason})"
        )
        raise DownloadFailed(f"{address} {what}: check the connection or try another --url") from error
    if total is not None and len(received) < total:
        raise DownloadFailed(f"{address} broke off after {len(received)} of {total} bytes: try again")
    return bytes(received)


def _store(content: bytes, path: Path) -> Path:
    """Write beside the place and move there in one step, so that no reader sees half a file."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise DownloadFailed(
            f"{path} cannot be written ({error.strerror}): free space there or give another folder by --to"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
    return path
