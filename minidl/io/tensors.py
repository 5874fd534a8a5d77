"""Tensors in safetensors files, with a checksum, because the format itself does not notice a flipped bit."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from minidl.autograd.variable import Variable
from minidl.backend import Array, to_device
from minidl.io.atomic import write_atomically
from minidl.io.errors import BadFile
from minidl.tensor import Tensor

CHECKSUM = "minidl.sha256"


def save_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, atomically, with their SHA-256 in its metadata.

    Arguments:
        path: the file to write.
        tensors: tensors or arrays by name, in any layout, on any device; they stay where they are.
        metadata: texts to store along.

    Raises:
        TypeError: a value is not a tensor of numbers, or a text is not a text.
    """
    arrays = {name: _plain(name, value) for name, value in tensors.items()}
    texts = dict(metadata or {})
    for name, text in texts.items():
        if not (isinstance(name, str) and isinstance(text, str)) or name == CHECKSUM:
            raise TypeError(f"save_safetensors: metadata is text by name, got {name!r}: {text!r}")
    texts[CHECKSUM] = _checksum(arrays, texts)
    write_atomically(path, save(arrays, texts))


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; what minidl wrote is checked against its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        BadFile: it is damaged, cut short, or no safetensors file.
    """
    return {name: Tensor(array) for name, array in read(path)[0].items()}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the texts of a safetensors file; raises as `load_safetensors` does."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot read {path}: it is a folder; give the name of a file")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"cannot read {path}: there is no such file") from None
    try:
        loaded = load(data)
        header = _header(data)
        texts: dict[str, str] = header.pop("__metadata__", {})
        arrays = {name: loaded[name] for name in header}  # in the order of the file; safetensors gives a random one
    except KeyError as error:
        raise BadFile(f"{path} holds numbers of type {error.args[0]}, which NumPy does not have; convert it") from error
    except (SafetensorError, TypeError, ValueError) as error:
        raise BadFile(
            f"{path} is not a whole safetensors file ({error}); fetch it again or use an earlier copy"
        ) from error
    if CHECKSUM in texts and texts[CHECKSUM] != _checksum(arrays, {k: v for k, v in texts.items() if k != CHECKSUM}):
        raise BadFile(f"{path} is damaged: its content does not match its checksum; use an earlier copy")
    return arrays, texts


def _plain(name: str, value: Any) -> Array:
    """A C-contiguous little-endian array on the host: safetensors writes memory as it lies, whatever the strides."""
    array = value.array if isinstance(value, Variable) else value
    if not (hasattr(array, "dtype") and hasattr(array, "shape")):
        raise TypeError(f"save_safetensors: {name!r} is a {type(value).__name__}, expected a tensor")
    if array.dtype.kind not in "fciub" or array.dtype.name in ("complex128", "longdouble", "float128"):
        raise TypeError(f"save_safetensors: {name!r} has dtype {array.dtype.name}, which the format does not have")
    host = np.asarray(to_device(array, "cpu"))
    return np.asarray(host, dtype=host.dtype.newbyteorder("<"), order="C")


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def _checksum(arrays: Mapping[str, Array], texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    digest.update(json.dumps(sorted(texts.items())).encode())
    return digest.hexdigest()
