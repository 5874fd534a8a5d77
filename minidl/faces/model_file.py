"""One file that holds a trained recognizer: named arrays by safetensors, everything else as json in its metadata.

Never pickle: loading a file runs nothing that it holds. A checksum finds every damage, and the file is replaced in
one move, so that a crash leaves the old one whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, Final

from minidl.backend import Array
from minidl.faces.errors import BadModelFile
from minidl.io import BadFile, save_safetensors
from minidl.io.tensors import CHECKSUM, read

ENTRY: Final = "minidl.faces"
"""The key of the metadata."""
VERSION: Final = 1


def write_model(path: str | PathLike[str], about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Store a model, replacing what was at the path.

    Arguments:
        path: of the file.
        about: what json can hold.
        arrays: by name; numbers only.

    Raises:
        OSError: the file cannot be written; what was there is untouched.
    """
    text = json.dumps({"version": VERSION, **about}, ensure_ascii=False)
    save_safetensors(path, arrays, {ENTRY: text})


def read_model(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """What `write_model` stored.

    Arguments:
        path: of the file.

    Returns:
        (about, arrays).

    Raises:
        BadModelFile: there is no such file, or it is something else, damaged, cut off or of another version.
    """
    name = fspath(path)
    try:
        arrays, texts = read(path)
    except FileNotFoundError as error:
        raise BadModelFile(f"{name} does not exist: give the path of a model that was saved by minidl") from error
    except OSError as error:
        reason = error.strerror or error
        raise BadModelFile(f"{name} cannot be read ({reason}): give the path of a model saved by minidl") from error
    except BadFile as error:
        raise BadModelFile(
            f"{name} is not a model saved by minidl, or it is damaged or cut off: copy it again or train again"
        ) from error
    if ENTRY not in texts or CHECKSUM not in texts:
        raise BadModelFile(
            f"{name} holds arrays, but not a face recognizer saved by minidl: give a file that "
            "`minidl faces train` or FaceRecognizer.save wrote"
        )
    about: dict[str, Any] = json.loads(texts[ENTRY])
    if about.get("version") != VERSION:
        raise BadModelFile(
            f"{name} has format version {about.get('version')}, but this minidl reads version {VERSION}: "
            "train the model again, or use the minidl that wrote it"
        )
    return about, arrays
