"""What an image file says about itself in its first bytes: kind and size, before anything is decoded.

A file of a few kilobytes can claim a hundred million pixels; its claim is read here, so that it can be
refused before memory is spent. Each reader follows the published layout of its format.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple


class Header(NamedTuple):
    """What the file claims.

    Attributes:
        kind: "png", "jpeg", "pnm", "bmp", "gif", "webp" or "tiff".
        width, height: in pixels, as stored (before any turn that a camera noted).
        whole: False where the mark that ends the file is missing.
        transparent: whether there may be an alpha channel.
        most: the largest value of a sample (pnm), otherwise 0.
        start: where the samples begin (pnm), otherwise 0.
    """

    kind: str
    width: int
    height: int
    whole: bool = True
    transparent: bool = False
    most: int = 0
    start: int = 0


def read_header(data: bytes) -> Header | None:
    """The header of an encoded image.

    Arguments:
        data: the bytes of the file.

    Returns:
        What it claims, or None if the bytes are none of the known kinds or end inside the header.

    >>> read_header(b"P5 92 112 255 ...")
    Header(kind='pnm', width=92, height=112, whole=True, transparent=False, most=255, start=14)
    """
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                return reader(data)
            except (struct.error, IndexError):
                return None
    return None


def _png(data: bytes) -> Header | None:
    # Signature of 8 bytes; then the chunk IHDR: length, name, width, height, depth, colour type.
    if data[12:16] != b"IHDR":
        return None
    width, height, _, colour = struct.unpack_from(">IIBB", data, 16)
    transparent = colour in (4, 6) or b"tRNS" in data[: data.find(b"IDAT") + 1]
    return Header("png", width, height, b"IEND\xaeB`\x82" in data[-4096:], transparent)


def _jpeg(data: bytes) -> Header | None:
    # Segments: FF, marker, length (which counts itself). A frame header (SOFn) holds the size; pictures
    # inside other segments (thumbnails) are stepped over.
    at, size = 2, None
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xDA:  # the scan: from here on, pixels
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            size = struct.unpack_from(">HH", data, at + 5)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:
            return None
        at += 2 + length
    if size is None:
        return None
    return Header("jpeg", size[1], size[0], data.find(b"\xff\xd9", at) >= 0)


def _pnm(data: bytes) -> Header | None:
    # "P5", width, height, maximum, one blank, samples; a comment runs from # to the end of its line.
    blank = rb"(?:\s|#[^\n]*\n)+"
    most = rb"" if data[1:2] in b"14" else blank + rb"(\d{1,5})"
    found = re.match(rb"P([1-6])" + blank + rb"(\d{1,9})" + blank + rb"(\d{1,9})" + most + rb"\s", data[:8192])
    if not found:
        return None
    return Header("pnm", int(found[2]), int(found[3]), most=int(found[4]) if most else 1, start=found.end())


def _bmp(data: bytes) -> Header | None:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH", data, 18) if size == 12 else struct.unpack_from("<ii", data, 18)
    return Header("bmp", width, abs(height))  # a negative height means that the top row comes first


def _gif(data: bytes) -> Header | None:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("gif", width, height, transparent=True)


def _webp(data: bytes) -> Header | None:
    if data[8:12] != b"WEBP":
        return None
    (length,) = struct.unpack_from("<I", data, 4)
    whole, kind = len(data) >= length + 8, data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF, whole)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, whole, bool(bits >> 28 & 1))
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[k : k + 3], "little") + 1 for k in (24, 27))
        data[29]  # the last byte of the size must be there
        return Header("webp", width, height, whole, bool(data[20] & 0x10))
    return None


def _tiff(data: bytes) -> Header | None:
    # Byte order, 42, offset of the first directory: a count, then entries of tag, type, count, value.
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    size = {}
    for k in range(entries):
        tag, kind, _ = struct.unpack_from(order + "HHI", data, at + 2 + 12 * k)
        if tag in (256, 257):
            (size[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * k)
    return Header("tiff", size[256], size[257], transparent=True) if len(size) == 2 else None


_READERS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], Header | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (tuple(b"P%d" % k for k in range(1, 7)), _pnm),
    (b"BM", _bmp),
    ((b"GIF87a", b"GIF89a"), _gif),
    (b"RIFF", _webp),
    ((b"II*\x00", b"MM\x00*"), _tiff),
)
