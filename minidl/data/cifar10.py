"""CIFAR-10 in the format its authors publish: ten classes of things and animals, 32 × 32 pixels, in colour.

The binary version is six files of 10,000 records; a record is one byte of label and 3,072 bytes of pixels, the red
plane first, then green, then blue, each row by row. Nothing is unpickled.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minidl.data.dataset import TensorDataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin"
RECORD = 1 + 3 * 32 * 32
MOST_PADDING = 2**20
"""Bytes that may follow the last member of an archive."""
PICTURES = 10_000
"""Pictures in each of the six files."""


def read_records(data: bytes, name: str = "the data") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures and labels of one file.

    Arguments:
        data: records of 3,073 bytes.
        name: what to call it in an error.

    Returns:
        Pictures (n, 3, 32, 32) uint8 and labels (n,) int64.

    Raises:
        ValueError: a record is cut off, or a label is not one of the ten classes.

    >>> images, labels = read_records(bytes([3]) + bytes(3072))
    >>> images.shape, CLASSES[labels[0]]
    ((1, 3, 32, 32), 'cat')
    """
    if len(data) % RECORD:
        raise ValueError(
            f"{name} holds {len(data):,} bytes, which is no whole number of records of {RECORD:,} bytes: "
            "it is cut off or not the binary version of CIFAR-10"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.size and labels.max() >= len(CLASSES):
        first = int(np.argmax(labels >= len(CLASSES)))
        raise ValueError(f"{name}: record {first} has the label {labels[first]}, expected 0 to {len(CLASSES) - 1}")
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32), labels


class CIFAR10(TensorDataset):
    """The training or the test part: item i is (picture (3, 32, 32) uint8, label).

    Arguments:
        root: the folder cifar-10-batches-bin, a folder that holds it, or the archive cifar-10-binary.tar.gz.
        train: the 50,000 pictures to learn from, or the 10,000 to be tested on.

    Attributes:
        images: (n, 3, 32, 32) uint8. labels: (n,) int64. classes: the ten names, by label.

    Raises:
        FileNotFoundError: there is no such file; the message says what was looked for.
        ValueError: a file has not exactly 10,000 records, or a label is not one of the ten.
    """

    classes = CLASSES

    def __init__(self, root: str | PathLike[str], train: bool = True) -> None:
        names = [f"data_batch_{k}.bin" for k in range(1, 6)] if train else ["test_batch.bin"]
        parts = []
        for name, data in _files(Path(fspath(root)), names):
            images, labels = read_records(data, name)
            if len(labels) != PICTURES:
                raise ValueError(f"{name} holds {len(labels):,} pictures, expected {PICTURES:,}: it is not complete")
            parts.append((images, labels))
        self.train = train
        self.images = np.concatenate([images for images, _ in parts])
        self.labels = np.concatenate([labels for _, labels in parts])
        super().__init__(self.images, self.labels)

    def __repr__(self) -> str:
        return f"CIFAR10({'train' if self.train else 'test'}, {len(self):,} pictures)"


def _files(root: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Every named file and its bytes, from a folder or from the archive."""
    if root.is_file():
        yield from _members(root, names)
        return
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    for name in names:
        try:
            yield name, (folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(
                f"CIFAR10: {folder} holds no {name}: give the folder {FOLDER}, one that holds it, "
                "or cifar-10-binary.tar.gz (the binary version, not the Python one)"
            ) from None


def _members(archive: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive) as opened:
            known = {Path(member.name).name: member for member in opened if member.isfile()}
            rest = opened.fileobj.read(MOST_PADDING) if opened.fileobj else b""  # to the end: its checksum is there
            if len(rest) == MOST_PADDING:
                raise ValueError(f"CIFAR10: {archive} goes on long after the end of its archive: fetch it again")
            for name in names:
                if name not in known:
                    raise FileNotFoundError(
                        f"CIFAR10: the archive {archive} holds no {name}: is it the binary version?"
                    )
                member = known[name]
                if member.size != PICTURES * RECORD:
                    raise ValueError(
                        f"{name} in {archive} has {member.size:,} bytes, expected {PICTURES * RECORD:,}: "
                        "it is not complete"
                    )
                content = opened.extractfile(member)
                assert content is not None  # it is a file
                yield name, content.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise ValueError(f"CIFAR10: {archive} is not a readable archive ({reason}): fetch it again") from None
