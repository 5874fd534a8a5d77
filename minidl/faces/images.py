"""Image files and arrays to pixels: any common format, grey or colour, or one sentence why not.

PGM and PPM are read with NumPy alone; the other formats, and resizing, need OpenCV, imported at first use.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadImage, MissingLibrary
from minidl.faces.image_headers import Header, read_header

Pixels: TypeAlias = NDArray[np.uint8]

MOST_PIXELS = 50_000_000
"""A picture that claims more is refused before it is decoded."""
MOST_BYTES = 400_000_000
"""A larger file is refused before it is read."""
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .pgm .ppm .pbm .pnm .bmp .dib .gif .webp .tif .tiff".split()  # noqa: SIM905
)
"""The endings of file names that are taken for pictures, in lower case."""


def read_image(path: str | PathLike[str], color: bool = False) -> Pixels:
    """The pixels of an image file.

    A turn that the camera noted (EXIF) is applied, 16 bits become 8, and what is transparent lies on white.

    Arguments:
        path: of a png, jpeg, pgm, ppm, pbm, bmp, gif, webp or tiff file.
        color: whether to return colour.

    Returns:
        uint8 (h, w), or with `color` (h, w, 3) in the order red, green, blue.

    Raises:
        BadImage: there is no such file, it is damaged, not an image, or claims more than 50 megapixels.
        MissingLibrary: the format needs OpenCV.
    """
    name, file = fspath(path), Path(path)
    try:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "does not exist" if not file.exists() else "is no file"
            raise BadImage(f"{name} {what}: give the path of an image file")
        if (size := file.stat().st_size) > MOST_BYTES:
            raise BadImage(
                f"{name} has {size / 1e6:.0f} MB, and the limit is {MOST_BYTES / 1e6:.0f} MB: make it smaller"
            )
        data = file.read_bytes()
    except OSError as error:
        raise BadImage(f"{name} cannot be read ({error.strerror}): check its permissions") from error
    return decode_image(data, name, color)


def decode_image(data: bytes, name: str = "the image", color: bool = False) -> Pixels:
    """The pixels of an encoded image in memory; see `read_image`.

    Arguments:
        data: what an image file holds.
        name: how to call it in messages.
        color: whether to return colour.

    Returns:
        uint8 (h, w), or with `color` (h, w, 3) in the order red, green, blue.

    Raises:
        BadImage, MissingLibrary: as `read_image`.

    >>> decode_image(b"P2 2 1 4  0 4").tolist()
    [[0, 255]]
    """
    if not data:
        raise BadImage(f"{name} is empty: copy or export the picture again")
    header = read_header(data)
    if header is None:
        raise BadImage(f"{name} is not an image that can be read: use png, jpg, pgm, bmp, gif, webp or tiff")
    if header.width < 1 or header.height < 1:
        raise BadImage(f"{name} claims {header.width}×{header.height} pixels: it is damaged, export it again")
    if header.width * header.height > MOST_PIXELS:
        raise BadImage(
            f"{name} claims {header.width}×{header.height} pixels ({header.width * header.height / 1e6:.0f} "
            f"megapixels), and the limit is {MOST_PIXELS / 1e6:.0f}: make it smaller"
        )
    pixels = _samples(data, header) if header.kind == "pnm" and header.whole else None
    if header.kind != "pnm" and header.whole:
        pixels = _decoded(data, header, name)
    if pixels is None:
        raise BadImage(f"{name} is a damaged or cut off {header.kind} file: copy or export the picture again")
    if color:
        return np.ascontiguousarray(np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels)
    return to_grey(pixels)


def pixels_of(photo: str | PathLike[str] | Array) -> Pixels:
    """A photograph, however it came, as grey or colour pixels.

    Arguments:
        photo: the path of an image file (see `read_image`), or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) in
            the order red, green, blue, alpha: uint8, uint16 (16 bits become 8) or floating in 0..1.

    Returns:
        uint8 (h, w) or (h, w, 3); of a file always (h, w, 3). What is transparent lies on white.

    Raises:
        BadImage: the file or the array is no picture, or has more than 50 megapixels.
        MissingLibrary: the format of the file needs OpenCV.

    >>> pixels_of(np.array([[0.0, 0.5, 1.0]])).tolist(), pixels_of(np.full((1, 1, 4), 65535, np.uint16)).tolist()
    ([[0, 128, 255]], [[[255, 255, 255]]])
    """
    if isinstance(photo, str | PathLike):
        return read_image(photo, color=True)
    try:
        x = np.asarray(photo)
    except ValueError as error:
        raise BadImage("a photograph must be a path or one array of pixels, but its rows differ in length") from error
    if not (x.ndim == 2 or (x.ndim == 3 and x.shape[2] in (1, 3, 4))) or not x.size:
        raise BadImage(
            f"a photograph must be a path or an array (h, w), (h, w, 3) or (h, w, 4), but its shape is {x.shape}"
        )
    if x.shape[0] * x.shape[1] > MOST_PIXELS:
        raise BadImage(
            f"the photograph has {x.shape[1]}×{x.shape[0]} pixels, and the limit is "
            f"{MOST_PIXELS / 1e6:.0f} megapixels: make it smaller"
        )
    if x.dtype == np.uint16:
        x = ((x.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif x.dtype.kind == "f":
        low, high = float(x.min()), float(x.max())  # NaN fails both comparisons
        if not (low >= 0 and high <= 1):
            raise BadImage(f"a floating photograph has grey levels in 0..1, but these go from {low:g} to {high:g}")
        x = (x * 255 + 0.5).astype(np.uint8)
    elif x.dtype != np.uint8:
        raise BadImage(f"a photograph must be uint8, uint16 or floating in 0..1, but it is {x.dtype}")
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[:, :, 0]
    return np.ascontiguousarray(_on_white(x) if x.ndim == 3 and x.shape[2] == 4 else x)


def to_grey(images: Array) -> Pixels:
    """Brightness of colour images, by the weights of ITU-R BT.601; grey images are returned as they are.

        grey = (77 red + 150 green + 29 blue) / 256

    Arguments:
        images: uint8, (h, w) or (n, h, w), or with a last axis of red, green, blue.

    Returns:
        uint8 without the last axis.

    Raises:
        BadImage: not uint8.

    >>> to_grey(np.array([[[255, 0, 0], [9, 9, 9]]], np.uint8)).tolist()
    [[77, 9]]
    """
    if images.dtype != np.uint8:
        raise BadImage(f"an image must be uint8 (0 to 255), but it is {images.dtype}")
    if images.ndim == 2 or (images.ndim == 3 and images.shape[2] != 3):
        return np.ascontiguousarray(images)
    total = images[..., 0] * np.uint16(77)
    total += images[..., 1] * np.uint16(150)
    total += images[..., 2] * np.uint16(29)  # at most 65,280: nothing overflows
    total += np.uint16(128)
    return (total >> 8).astype(np.uint8)


def resize(image: Array, size: tuple[int, int]) -> Pixels:
    """The middle of an image at another size: cut to the wanted shape, never stretched.

    Arguments:
        image: uint8 (h, w) or (h, w, 3).
        size: (rows, columns) wanted.

    Returns:
        uint8 of that size: means over areas where it shrinks, straight lines between pixels where it grows.

    Raises:
        BadImage: the image has no pixels, or the size is not positive.
        MissingLibrary: OpenCV is not installed.
    """
    rows, columns = size
    h, w = image.shape[:2]
    if min(rows, columns, h, w) < 1:
        raise BadImage(f"an image of {h}×{w} pixels (rows × columns) cannot become {rows}×{columns}: both need pixels")
    if (h, w) == (rows, columns):
        return np.ascontiguousarray(image)
    tall, wide = min(h, max(1, round(w * rows / columns))), min(w, max(1, round(h * columns / rows)))
    top, left = (h - tall) // 2, (w - wide) // 2
    cut = np.ascontiguousarray(image[top : top + tall, left : left + wide])
    cv2 = opencv("resizing an image")
    way = cv2.INTER_AREA if rows <= tall and columns <= wide else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (columns, rows), interpolation=way), np.uint8)


def encode_png(pixels: Array) -> bytes:
    """A picture as a png file, without any library.

    Arguments:
        pixels: uint8 (h, w) or (h, w, 3) in the order red, green, blue.

    Raises:
        BadImage: they are something else.

    Source: Portable Network Graphics (ISO/IEC 15948): chunks of length, name, body and checksum; rows begin with the
    number of their filter, here 0, none.

    >>> read_header(encode_png(np.zeros((2, 3), np.uint8)))
    Header(kind='png', width=3, height=2, whole=True, transparent=False, most=0, start=0)
    """
    x = np.asarray(pixels)
    if x.dtype != np.uint8 or not (x.ndim == 2 or (x.ndim == 3 and x.shape[2] == 3)) or not x.size:
        raise BadImage(f"a png is made of uint8 (h, w) or (h, w, 3), but got {x.dtype} of shape {x.shape}")
    h, w = x.shape[:2]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = np.zeros((h, 1 + x.size // h), np.uint8)
    rows[:, 1:] = x.reshape(h, -1)
    head = struct.pack(">IIBBBBB", w, h, 8, 2 if x.ndim == 3 else 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────


def _samples(data: bytes, header: Header) -> Pixels | None:
    """The pixels of a pnm file, scaled so that its maximum becomes 255; None if there are too few."""
    w, h, most = header.width, header.height, header.most
    kind = data[1:2]
    if not 0 < most < 65536:
        return None
    if kind == b"4":
        row = (w + 7) // 8
        if len(data) < header.start + row * h:
            return None
        bits = np.frombuffer(data, np.uint8, row * h, header.start).reshape(h, row)
        return ((1 - np.unpackbits(bits, axis=1)[:, :w]) * 255).astype(np.uint8)  # 1 means black
    depth = 3 if kind in b"36" else 1
    count, values = w * h * depth, None
    if kind in b"56":
        sample = np.dtype(np.uint8 if most < 256 else ">u2")
        if len(data) >= header.start + count * sample.itemsize:
            values = np.frombuffer(data, sample, count, header.start)
    else:
        words = data[header.start :]
        try:
            # A bitmap in letters may leave out the blanks between its digits.
            found = np.array([c - 48 for c in words if c in b"01"] if kind == b"1" else words.split()[:count], np.int64)
        except ValueError:
            return None
        values = found[:count] if len(found) >= count else None
        if kind == b"1" and values is not None:
            values = 1 - values
    if values is None or (values.size and (values.max() > most or values.min() < 0)):
        return None
    if most != 255:
        values = (values.astype(np.int64) * 255 + most // 2) // most
    return values.astype(np.uint8).reshape((h, w, 3) if depth == 3 else (h, w))


def _decoded(data: bytes, header: Header, name: str) -> Pixels | None:
    """The pixels by OpenCV, in red, green, blue; None if it cannot."""
    cv2 = opencv(f"reading {header.kind} files")
    with _quiet(cv2):
        encoded = np.frombuffer(data, np.uint8)
        try:
            found = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if header.transparent else None
            # Only this way of decoding turns the picture as the camera noted.
            if found is None or found.ndim == 2 or found.shape[2] != 4:
                found = cv2.imdecode(encoded, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error:
            return None
    if found is None or not found.size:
        return None
    if found.dtype == np.uint16:
        found = ((found.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if found.dtype != np.uint8:
        raise BadImage(f"{name} holds {found.dtype} numbers, not 8 or 16 bit grey levels: export it as png")
    if found.ndim == 3 and found.shape[2] == 4:
        found = _on_white(found)
    return np.asarray(found if found.ndim == 2 else found[..., ::-1], np.uint8)


def _on_white(x: Array) -> Pixels:
    """The first three channels, as much as the fourth (alpha) lets them be seen, before white."""
    alpha = x[..., 3:].astype(np.uint32)
    return np.asarray((x[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)


def opencv(purpose: str) -> ModuleType:
    """OpenCV, imported at first use.

    Arguments:
        purpose: what needs it, for the message.

    Raises:
        MissingLibrary: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingLibrary(f"{purpose} needs OpenCV: pip install 'minidl[faces]'") from error
    return cv2


@contextmanager
def _quiet(cv2: ModuleType) -> Iterator[None]:
    """OpenCV prints what is wrong with a file; here it is a sentence in an exception instead."""
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)
