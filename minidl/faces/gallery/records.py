"""What a gallery stores of a name and of an embedding: bytes of one length each, and whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset, BadImage

Name: TypeAlias = str | int
NAME_BYTES: Final = 240
"""The room for a name, as JSON in UTF-8."""
SAME: Final = 1e-3
"""The distance below which two embeddings are of one picture: the order of sums in a batch changes it by 1e-6."""
NEARLY_ONE: Final = 1e-3
"""How far the length of an embedding may be from 1; farther, it is damaged."""


def record_of(name: Hashable) -> bytes:
    """A name as it is stored: JSON, filled up with zeros.

    Raises:
        BadDataset: it is neither a text nor an integer, empty, or too long.
    """
    if isinstance(name, np.generic):
        name = name.item()
    if type(name) not in (str, int):
        raise BadDataset(
            f"a person in a gallery is called by a text or an integer, but {name!r} is a {type(name).__name__}"
        )
    if isinstance(name, str) and not name.strip():
        raise BadDataset("a person in a gallery needs a name, but this one is empty")
    try:
        record = json.dumps(name, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, ValueError) as error:
        raise BadDataset(f"the name {name!r:.50} cannot be written as text: use letters") from error
    if len(record) > NAME_BYTES:
        raise BadDataset(
            f"a name has at most {NAME_BYTES - 2} bytes in UTF-8, but {name!r:.50}… has {len(record) - 2}: shorten it"
        )
    return record.ljust(NAME_BYTES, b"\0")


def name_of(record: bytes) -> Name:
    """The name of a record.

    Raises:
        ValueError: the record is damaged.

    >>> name_of(record_of("王芳")), name_of(record_of(3))
    ('王芳', 3)
    """
    name = json.loads(record.rstrip(b"\0"))
    if type(name) not in (str, int):
        raise ValueError("a name is neither a text nor a number")
    return name


def rows_of(records: list[bytes], used: NDArray[np.bool_], dimension: int) -> NDArray[np.float32]:
    """The embeddings of records; zeros where they are not used.

    Raises:
        ValueError: a record is damaged.
    """
    rows = np.frombuffer(b"".join(records), "<f4").reshape(-1, dimension).astype(np.float32)
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if len(rows) != len(used) or not (np.abs(lengths - used) <= NEARLY_ONE).all():
        raise ValueError("an embedding was changed")
    return rows


def checked(embeddings: Array) -> NDArray[np.float32]:
    """Embeddings that can be enrolled, as float32.

    Raises:
        BadImage: their shape is not (n, d), or a row does not have length 1.
    """
    rows = np.ascontiguousarray(embeddings, np.float32)
    if rows.ndim != 2 or rows.shape[1] < 1:
        raise BadImage(f"embeddings must have shape (n, d), but the shape is {rows.shape}")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) <= NEARLY_ONE).all():
        worst = int(np.argmax(np.nan_to_num(np.abs(lengths - 1), nan=np.inf)))
        raise BadImage(
            f"embedding {worst} has length {lengths[worst]:.3g} instead of 1: the picture shows nothing that the model "
            "can describe, so leave it out"
        )
    return rows
