"""The gallery as one process sees it: who is known, and all embeddings in a matrix that follows the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.faces.errors import BadGallery
from minidl.faces.gallery.matrix import TemplateMatrix
from minidl.faces.gallery.records import Name, name_of, rows_of
from minidl.faces.gallery.sealing import Seal

AT_ONCE = 10_000
"""How many records are read together; bounds the memory of reading."""


class View:
    """Names and embeddings at one change of the file.

    Arguments:
        seal: opens the records.
        file: how to call the file in messages.

    Attributes:
        names: what the people are called, by number.
        matrix: the embeddings.
        model: the fingerprint of the model that made them.
        stamp: the number of the change that is shown; -1 before anything was read.
        rooms: the numbers of people go from 1 to this; some may be free.
    """

    def __init__(self, seal: Seal, file: str) -> None:
        self.seal, self.file = seal, file
        self._begin(None, 0)

    def _begin(self, model: str | None, dimension: int) -> None:
        self.names: dict[int, Name] = {}
        self._numbers: dict[Name, int] = {}
        self._free: set[int] = set()
        self.matrix = TemplateMatrix(dimension)
        self.model, self.stamp, self.rooms = model, -1, 0

    def read(self, run: Any) -> None:
        """Inside a transaction, read what changed since the last time, and nothing else.

        Arguments:
            run: executes SQL.

        Raises:
            BadGallery: a record is damaged; the next reading begins anew.
        """
        facts = dict(run("SELECT key, value FROM facts").fetchall())
        try:
            model, dimension, stamp = facts.get("model"), int(facts.get("dimension", 0)), int(facts.get("stamp", 0))
            if (model, dimension) != (self.model, self.matrix.dimension) or stamp < self.stamp:
                self._begin(model, dimension)
            if stamp != self.stamp:
                self._read_people(run)
                self._read_templates(run)
                self.stamp = stamp
        except (ValueError, TypeError) as error:
            self._begin(None, 0)
            raise BadGallery(f"{self.file} is damaged ({error}): restore a copy of it") from error

    def _read_people(self, run: Any) -> None:
        changed = "FROM people LEFT JOIN names USING (id) WHERE stamp > ?"
        for number, known, content in run(f"SELECT id, known, content {changed}", (self.stamp,)):
            self.call(number, name_of(self._opened(content, "name", number)) if known else None)
        self.rooms = run("SELECT COALESCE(MAX(id), 0) FROM people").fetchone()[0]

    def _read_templates(self, run: Any) -> None:
        changed = "FROM slots LEFT JOIN templates USING (id) WHERE stamp > ?"
        rows = run(f"SELECT id, person, content {changed}", (self.stamp,))
        nothing = bytes(4 * self.matrix.dimension)
        while some := rows.fetchmany(AT_ONCE):
            slots, people = (np.array([row[column] for row in some], np.int64) for column in (0, 1))
            opened = [
                self._opened(content, "template", slot, person) if person else nothing for slot, person, content in some
            ]
            self.matrix.put(slots, people, rows_of(opened, people > 0, self.matrix.dimension))

    def _opened(self, content: object, kind: str, *numbers: int) -> bytes:
        if not isinstance(content, bytes):
            raise TypeError("a record is missing")
        return self.seal.open(content, about(kind, *numbers))

    def call(self, number: int, name: Name | None) -> None:
        """Note what a person is called, or that there is no such person any more."""
        before = self.names.pop(number, None)
        if before is not None and self._numbers.get(before) == number:
            del self._numbers[before]
        if name is None:
            self._free.add(number)
        else:
            self._free.discard(number)
            self.names[number], self._numbers[name] = name, number

    def number_of(self, name: object) -> int | None:
        """The number of a person, or None."""
        return self._numbers.get(name) if type(name) in (str, int) else None  # type: ignore[call-overload]

    def free_rooms(self) -> list[int]:
        """The numbers that nobody has any more."""
        return sorted(self._free)


def about(kind: str, *numbers: int) -> bytes:
    """What a sealed record belongs to: it does not open anywhere else."""
    return f"{kind} {' '.join(map(str, numbers))}".encode()
