"""CIFAR-10 is read from the files its authors publish, byte for byte, and nothing else is taken for it."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest

from minidl.data import DataLoader, cifar10
from minidl.data.cifar10 import CIFAR10, CLASSES, FOLDER, RECORD, read_records


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """The six files with four pictures each instead of 10,000."""
    monkeypatch.setattr(cifar10, "PICTURES", 4)
    inner = tmp_path / FOLDER
    inner.mkdir()
    for k, name in enumerate([*[f"data_batch_{k}.bin" for k in range(1, 6)], "test_batch.bin"]):
        records = rng.integers(0, 256, (4, RECORD), dtype=np.uint8)
        records[:, 0] = [k, k + 1, k + 2, k + 3]
        (inner / name).write_bytes(records.tobytes())
    return tmp_path


def packed(folder: Path) -> Path:
    archive = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(folder / FOLDER, FOLDER)
    return archive


def test_a_record_is_a_label_and_three_planes() -> None:
    """Red first, row by row: byte 1 is the upper left corner, byte 2 its right neighbour, byte 1025 its green."""
    record = np.zeros(RECORD, np.uint8)
    record[[0, 1, 2, 33, 1025, 2049]] = 9, 10, 11, 12, 13, 14
    (image,), (label,) = read_records(record.tobytes())
    assert CLASSES[label] == "truck"
    assert image[:, 0, 0].tolist() == [10, 13, 14]
    assert (image[0, 0, 1], image[0, 1, 0]) == (11, 12)
    assert image.sum() == 60


@pytest.mark.parametrize("where", ["outside", "inside", "archive"])
def test_folder_and_archive_give_the_same(folder: Path, where: str) -> None:
    root = {"outside": folder, "inside": folder / FOLDER, "archive": packed(folder)}[where]
    train, test = CIFAR10(root), CIFAR10(str(root), train=False)
    assert (len(train), len(test)) == (20, 4)
    assert train.labels.tolist() == [k + j for k in range(5) for j in range(4)]
    second = np.frombuffer((folder / FOLDER / "data_batch_2.bin").read_bytes(), np.uint8).reshape(4, RECORD)
    assert np.array_equal(train.images[5].reshape(-1), second[1, 1:])
    assert train.images.dtype == np.uint8


def test_batches(folder: Path) -> None:
    images, labels = next(iter(DataLoader(CIFAR10(folder), batch_size=8)))
    assert tuple(images.shape) == (8, 3, 32, 32)
    assert labels.tolist() == [0, 1, 2, 3, 1, 2, 3, 4]
    assert repr(CIFAR10(folder, train=False)) == "CIFAR10(test, 4 pictures)"


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / FOLDER / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"no data_batch_3\.bin"):
        CIFAR10(folder)
    with pytest.raises(FileNotFoundError, match=r"no data_batch_3\.bin"):
        CIFAR10(packed(folder))
    assert len(CIFAR10(folder, train=False)) == 4


def test_another_size_is_refused(folder: Path) -> None:
    path = folder / FOLDER / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="no whole number of records"):
        CIFAR10(folder, train=False)
    path.write_bytes(bytes(RECORD * 3))
    with pytest.raises(ValueError, match="holds 3 pictures, expected 4"):
        CIFAR10(folder, train=False)
    with pytest.raises(ValueError, match="9,219 bytes, expected 12,292"):
        CIFAR10(packed(folder), train=False)


def test_what_is_not_cifar10_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / FOLDER / "test_batch.bin"
    path.write_bytes(bytes([77]) * RECORD * 4)
    with pytest.raises(ValueError, match="record 0 has the label 77, expected 0 to 9"):
        CIFAR10(folder, train=False)
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(packed(folder).read_bytes()[:200])
    with pytest.raises(ValueError, match="is not a readable archive"):
        CIFAR10(broken)
    with pytest.raises(FileNotFoundError, match="cifar-10-batches-bin"):
        CIFAR10(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_an_archive_with_a_changed_byte_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    whole = gzip.decompress(packed(folder).read_bytes())
    content = bytearray({"gz": gzip, "xz": lzma}[kind].compress(whole))
    content[-6 if kind == "gz" else len(content) // 2] ^= 255  # of gz: in its checksum, which stands at the end
    broken = tmp_path / f"broken.tar.{kind}"
    broken.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a readable archive \(.*\): fetch it again"):
        CIFAR10(broken)


def test_an_archive_that_goes_on_after_its_end_is_not_unpacked_without_limit(folder: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(packed(folder).read_bytes() + gzip.compress(bytes(2**23)))
    with pytest.raises(ValueError, match="goes on long after the end"):
        CIFAR10(bomb)


def test_a_folder_in_place_of_a_file_is_named(folder: Path) -> None:
    (folder / FOLDER / "test_batch.bin").unlink()
    (folder / FOLDER / "test_batch.bin").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no test_batch\.bin"):
        CIFAR10(folder, train=False)
