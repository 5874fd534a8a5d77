"""safetensors files: what goes in comes out, and what is not whole is refused with a sentence."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
import safetensors.numpy

from minidl import Tensor
from minidl.io import BadFile, load_safetensors, save_safetensors
from minidl.io.tensors import read

TABLE = np.arange(12, dtype="f4").reshape(3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize(
    "array",
    [
        TABLE,
        TABLE.T,
        TABLE[:, ::2],
        TABLE[::-1],
        TABLE[1:, 1:],
        np.broadcast_to(TABLE[0], (5, 4)),
        np.asfortranarray(TABLE),
        TABLE.astype(">f4"),
        np.array(3.0),
        np.zeros((0, 4), "f2"),
        np.array([True, False]),
        np.array([2**62, -1]),
        np.array([1 + 2j], "c8"),
        np.array([np.nan, np.inf, -0.0, 1e-45], "f4"),
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}{a.strides}",
)
@pytest.mark.parametrize("wrap", [Tensor, lambda a: a], ids=["Tensor", "array"])
def test_any_layout_comes_back_as_it_was(array, wrap, path):
    before = array.copy()
    save_safetensors(path, {"x": wrap(array), "y": TABLE})
    back = load_safetensors(path)
    assert sorted(back) == ["x", "y"]
    assert back["x"].shape == array.shape
    assert back["x"].dtype == array.dtype.newbyteorder("=")
    assert back["x"].array.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
    assert back["x"].array.flags.writeable
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["x"], array)


def test_texts_are_stored_along(path):
    save_safetensors(path, {}, {"note": "größer ≤ kleiner"})
    arrays, texts = read(path)
    assert arrays == {}
    assert texts["note"] == "größer ≤ kleiner"


def test_a_file_of_another_program_is_read_without_a_checksum(path):
    safetensors.numpy.save_file({"w": TABLE}, path)
    np.testing.assert_array_equal(load_safetensors(path)["w"].array, TABLE)


def test_a_flipped_bit_anywhere_is_noticed(path, rng):
    save_safetensors(path, {"a": TABLE, "b": np.arange(5)}, {"note": "hello"})
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(header, len(whole)), *rng.integers(header, size=60)]
    assert whole[header:].find(TABLE.tobytes()) >= 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        if not _refused(path):  # only a bit that says nothing, or one in the name of the checksum itself
            arrays, texts = read(path)
            np.testing.assert_array_equal(arrays["a"], TABLE)
            np.testing.assert_array_equal(arrays["b"], np.arange(5))
            assert place < header
            assert texts.get("note") == "hello" or "minidl.sha256" not in texts


def _refused(path):
    try:
        read(path)
    except BadFile:
        return True
    return False


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"not a tensor file at all",
        b"\xff" * 64,
        b"PK\x03\x04" + b"0" * 60,
        b"\x80\x04K\x01." * 4,
        b"\0" * 32,
    ],
)
def test_what_is_no_safetensors_file_is_refused_with_a_sentence(content, path):
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"is not a whole safetensors file .*fetch it again or use an earlier copy"):
        load_safetensors(path)


def test_a_file_cut_short_or_with_something_behind_is_refused(path):
    save_safetensors(path, {"a": TABLE})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile):
            load_safetensors(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(BadFile):
        load_safetensors(path)


def test_numbers_that_numpy_lacks_are_named(path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(BadFile, match="type BF16, which NumPy does not have"):
        load_safetensors(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_safetensors(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file"):
        load_safetensors(tmp_path)
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file"):
        save_safetensors(tmp_path, {})
    with pytest.raises(FileNotFoundError, match="does not exist; create it first"):
        save_safetensors(tmp_path / "no" / "x", {})


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"w": [1.0]}, None, "'w' is a list, expected a tensor"),
        ({"w": np.array(["a"])}, None, "'w' has dtype str32"),
        ({"w": np.array([1j])}, None, "'w' has dtype complex128"),
        ({}, {"n": 3}, "metadata is text by name"),
    ],
)
def test_what_the_format_cannot_hold_is_named_and_nothing_written(tensors, metadata, message, path):
    with pytest.raises(TypeError, match=message):
        save_safetensors(path, tensors, metadata)
    assert not path.exists()


def test_permissions_are_those_of_the_old_file_or_of_any_new_one(path, tmp_path):
    save_safetensors(path, {"a": TABLE})
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    save_safetensors(path, {"a": TABLE})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(path, tmp_path):
    save_safetensors(path, {"a": TABLE})
    link = tmp_path / "latest"
    os.symlink(path, link)
    save_safetensors(link, {"b": TABLE})
    assert link.is_symlink()
    assert list(load_safetensors(path)) == ["b"]


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    """Renaming over /dev/null as root would take it away from the whole machine; a named pipe stands for it here."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is a device, a pipe or a socket; give the name of a file"):
        save_safetensors(pipe, {"x": TABLE})
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_full_disk_is_told_with_the_name_of_the_file(path, monkeypatch):
    save_safetensors(path, {"x": TABLE})
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"cannot write {path}: No space left on device; what was there before") as told:
        save_safetensors(path, {"x": TABLE + 1})
    assert told.value.errno == 28
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
