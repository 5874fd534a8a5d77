"""One file that holds a trained recognizer: named arrays by safetensors, everything else as json in its header.

Never pickle: loading a file runs nothing that it holds. A checksum over the names, types and bytes of all arrays and
over the json finds every damage; the file is replaced in one move, so that a crash leaves the old one whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

import numpy as np

from minidl.backend import Array
from minidl.faces.errors import BadModelFile

FORMAT: Final = "minidl face recognizer"
VERSION: Final = "1"
ENTRY: Final = "minidl"
"""The key of the metadata of the safetensors file."""


def write_model(path: str | PathLike[str], about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Store a model, replacing what was at the path.

    Arguments:
        path: of the file.
        about: what json can hold.
        arrays: by name; numbers only.

    Raises:
        OSError: the file cannot be written; what was there is untouched.
    """
    from safetensors.numpy import save

    text = json.dumps(about, ensure_ascii=False, sort_keys=True)
    kept = {name: np.array(array, order="C") for name, array in arrays.items()}
    header = {"format": FORMAT, "version": VERSION, "about": text, "sha256": _checksum(text, kept)}
    # One entry: safetensors writes several in an order that differs from run to run.
    metadata = {ENTRY: json.dumps(header, ensure_ascii=False)}
    file = Path(path)
    handle, temporary = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(save(kept, metadata=metadata))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def read_model(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """What `write_model` stored.

    Arguments:
        path: of the file.

    Returns:
        (about, arrays).

    Raises:
        BadModelFile: there is no such file, or it is something else, damaged, cut off or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise BadModelFile(f"{name} {what}: give the path of a model that was saved by minidl") from error
    try:
        arrays: dict[str, Array] = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        header = dict(json.loads(metadata.get(ENTRY, "{}")))
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise BadModelFile(
            f"{name} is not a model saved by minidl, or it is damaged or cut off: save or copy it again"
        ) from error
    if header.get("format") != FORMAT:
        raise BadModelFile(
            f"{name} holds arrays, but not a face recognizer saved by minidl: give a file that "
            "`minidl faces train` or FaceRecognizer.save wrote"
        )
    if header.get("version") != VERSION:
        raise BadModelFile(
            f"{name} has format version {header.get('version')}, but this minidl reads version {VERSION}: "
            "train the model again, or use the minidl that wrote it"
        )
    if header.get("sha256") != _checksum(header.get("about", ""), arrays):
        raise BadModelFile(f"{name} is damaged (its checksum does not match): copy it again or train the model again")
    about: dict[str, Any] = json.loads(header["about"])
    return about, arrays


def _checksum(text: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
