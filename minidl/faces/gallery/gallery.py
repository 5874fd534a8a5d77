"""Gallery: who is known, by embeddings only, in a file that enrols and forgets at once."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset, BadGallery, PassphraseNeeded, UnknownPerson
from minidl.faces.gallery.matrix import TemplateMatrix
from minidl.faces.gallery.records import SAME, Name, checked, name_of, record_of
from minidl.faces.gallery.sealing import Plain, Seal, Sealed
from minidl.faces.gallery.store import Store
from minidl.faces.gallery.view import View, about
from minidl.faces.protocol import natural_order


@dataclass(frozen=True)
class Candidate:
    """A person of the gallery, and the cosine between the probe and this person's most similar template."""

    name: Name
    similarity: float


class Gallery:
    """People and the embeddings of their faces: many a person, no photographs.

    Enrolling and forgetting take effect at once, for every process that has the file open; what was enrolled is on
    the disk when the method returns, and what was forgotten is overwritten in the file. Searching is one product with
    a matrix in memory that follows the changes.

    Arguments:
        path: of the file; it is made when it does not exist. None keeps the people in memory only.
        passphrase: seals names and embeddings; it must be given each time. A gallery is sealed or not from its
            beginning on.
        create: whether to make a file that does not exist.

    Raises:
        BadGallery: the file is something else, damaged, cut off, sealed or not sealed, or cannot be made.
        PassphraseNeeded, WrongPassphrase: of a sealed gallery.
        MissingLibrary: `cryptography` is needed for a passphrase and not installed.

    >>> gallery = Gallery()
    >>> gallery.enrol("Ann", np.eye(3, dtype=np.float32)[:2], model="m")
    2
    >>> [[(found.name, round(found.similarity, 3)) for found in row]
    ...  for row in gallery.search(np.array([[0.0, 0.6, 0.8]], np.float32), k=1, model="m")]
    [[('Ann', 0.6)]]
    >>> gallery.forget("Ann")
    2
    """

    def __init__(
        self, path: str | PathLike[str] | None = None, passphrase: str | None = None, *, create: bool = True
    ) -> None:
        if passphrase is not None and (not isinstance(passphrase, str) or not passphrase):
            raise BadGallery("a passphrase must be a text that is not empty")
        file = None if path is None else Path(path)
        facts: dict[str, Any] | None = None
        if create and (file is None or not file.exists()):
            facts = {} if passphrase is None else Sealed.new_facts(passphrase, str(file))
        self._store = Store(file, facts)
        self._lock = threading.RLock()
        self._seen = (-1, -1)  # the state of the file that the view shows
        try:
            self._view = View(self._unseal(passphrase), self._store.name)
        except BaseException:
            self._store.close()
            raise

    def _unseal(self, passphrase: str | None) -> Seal:
        with self._store.reading() as run:
            facts = dict(run("SELECT key, value FROM facts").fetchall())
        sealed = "salt" in facts
        if passphrase is None:
            if sealed:
                raise PassphraseNeeded(f"{self._store.name} is encrypted: give its passphrase")
            return Plain()
        if not sealed:
            raise BadGallery(
                f"{self._store.name} is not encrypted, and a passphrase would not change that: leave it out, or enrol "
                "into a new gallery"
            )
        return Sealed(passphrase, facts, self._store.name)

    # ── what is there ─────────────────────────────────────────────────────────────────────────

    @property
    def path(self) -> Path | None:
        """Of the file; None in memory."""
        return self._store.path

    @property
    def encrypted(self) -> bool:
        """Whether a passphrase seals it."""
        return isinstance(self._view.seal, Sealed)

    @property
    def model(self) -> str | None:
        """The fingerprint of the model whose embeddings these are; None while nobody was enrolled."""
        with self._lock:
            return self._follow().model

    def people(self) -> list[Name]:
        """Everybody, numbers by value before names in natural order."""
        with self._lock:
            names = self._follow().names.values()
            numbers = sorted(name for name in names if isinstance(name, int))
            return [*numbers, *natural_order([name for name in names if isinstance(name, str)])]

    def templates(self, name: Name) -> NDArray[np.float32]:
        """The embeddings of one person.

        Arguments:
            name: of the person.

        Returns:
            (n, d) float32, a copy, in no particular order.

        Raises:
            UnknownPerson: there is nobody of this name.
        """
        with self._lock:
            view = self._follow()
            if (number := view.number_of(name)) is None:
                raise UnknownPerson(self._nobody(name))
            return view.matrix.rows(view.matrix.slots_of(number))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a gallery is an open database and cannot be copied or pickled, nor can a recognizer with it: "
            "use FaceRecognizer.save and load, and open the gallery's file again"
        )

    def __len__(self) -> int:
        """How many people there are."""
        with self._lock:
            return len(self._follow().names)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return self._follow().number_of(name) is not None

    # ── changing it ───────────────────────────────────────────────────────────────────────────

    def enrol(self, name: Name, embeddings: Array, model: str) -> int:
        """Add templates of one person, known already or new; on the disk when this returns.

        Arguments:
            name: a text or an integer.
            embeddings: (n, d) float32, rows of length 1; those that the person has already are not added again.
            model: the fingerprint of what made the embeddings.

        Returns:
            How many templates were added.

        Raises:
            BadDataset: the name cannot be used.
            BadImage: an embedding has no direction, or a wrong length.
            BadGallery: it holds embeddings of another model, or cannot be written.
        """
        return self.enrol_many([name] * len(embeddings), embeddings, model)

    def enrol_many(self, names: Sequence[Hashable], embeddings: Array, model: str) -> int:
        """Add templates of many people in one step: all of them or, if anything goes wrong, none.

        Arguments:
            names: n of them, who each embedding shows.
            embeddings, model: as `enrol`.

        Returns, Raises:
            As `enrol`.
        """
        rows = checked(embeddings)
        if len(names) != len(rows):
            raise BadDataset(
                f"every embedding needs a name, but there are {len(rows)} embeddings and {len(names)} names"
            )
        if not len(rows):
            raise BadDataset("there is nothing to enrol: give at least one picture")
        records = {name: record_of(name) for name in dict.fromkeys(names)}
        with self._lock:
            with self._store.writing() as run:
                view = self._bound(run, model, rows.shape[1])
                stamp, matrix, newest = view.stamp + 1, view.matrix, view.rooms
                numbers = {name: view.number_of(name) for name in records}
                known = [number for number in numbers.values() if number is not None]
                free, added = iter(view.free_rooms()), dict[int, Name]()
                for name, record in records.items():
                    if numbers[name] is None:
                        number = next(free, newest + 1)
                        newest = max(newest, number)
                        numbers[name], added[number] = number, name_of(record)
                        run("INSERT OR REPLACE INTO people VALUES (?, 1, ?)", (number, stamp))
                        _overwrite(run, "names", number, view.seal.close(record, about("name", number)))
                owners = np.array([numbers[name] for name in names], np.int64)
                new = _new_rows(matrix, owners, rows, known)
                owners = owners[new]
                slots = np.concatenate([matrix.slots_of(0), matrix.next_slot() + np.arange(len(new))])[: len(new)]
                for i, owner, slot in zip(new, owners.tolist(), slots.tolist(), strict=True):
                    content = view.seal.close(rows[i].astype("<f4").tobytes(), about("template", slot, owner))
                    run("INSERT OR REPLACE INTO slots VALUES (?, ?, ?)", (slot, owner, stamp))
                    _overwrite(run, "templates", slot, content)
                run("INSERT OR REPLACE INTO facts VALUES ('stamp', ?)", (stamp,))
            matrix.put(slots, owners, rows[new])
            for number, name_given in added.items():
                view.call(number, name_given)
            view.rooms, view.stamp, self._view = newest, stamp, view
            return len(new)

    def enrol_all_of(self, other: Gallery) -> int:
        """Add everybody of another gallery, in one step.

        Arguments:
            other: a gallery of the same model.

        Returns:
            How many templates were added.

        Raises:
            As `enrol`.
        """
        names, rows = other.people(), [other.templates(name) for name in other.people()]
        if not names or other.model is None:
            return 0
        each = [name for name, some in zip(names, rows, strict=True) for _ in some]
        return self.enrol_many(each, np.concatenate(rows), other.model)

    def forget(self, name: Name) -> int:
        """Delete a person, name and templates, leaving no trace in the file.

        Arguments:
            name: of the person.

        Returns:
            How many templates there were.

        Raises:
            UnknownPerson: there is nobody of this name.
            BadGallery: the gallery cannot be written, or another program kept the log from being emptied.
        """
        with self._lock:
            with self._store.writing() as run:
                view = self._read(run)
                number, stamp = view.number_of(name), view.stamp + 1
                if number is None:
                    raise UnknownPerson(self._nobody(name))
                slots = view.matrix.slots_of(number)
                run("UPDATE names SET content = zeroblob(length(content)) WHERE id = ?", (number,))
                run("UPDATE people SET known = 0, stamp = ? WHERE id = ?", (stamp, number))
                for slot in slots.tolist():
                    run("UPDATE templates SET content = zeroblob(length(content)) WHERE id = ?", (slot,))
                    run("UPDATE slots SET person = 0, stamp = ? WHERE id = ?", (stamp, slot))
                run("INSERT OR REPLACE INTO facts VALUES ('stamp', ?)", (stamp,))
            view.matrix.put(slots, np.zeros_like(slots), np.zeros((len(slots), view.matrix.dimension), np.float32))
            view.call(number, None)
            view.stamp = stamp
            if self._store.path is not None:
                self._store.empty_log()
            return len(slots)

    # ── searching ─────────────────────────────────────────────────────────────────────────────

    def search(self, embeddings: Array, k: int, model: str) -> list[list[Candidate]]:
        """The k most similar people for each probe, known or not: a threshold is for the caller to apply.

        Arguments:
            embeddings: (m, d) float32, rows of length 1.
            k: how many people at most.
            model: the fingerprint of what made the embeddings.

        Returns:
            m lists of candidates, the best first; empty where nobody is enrolled.

        Raises:
            BadGallery: it holds embeddings of another model, or is damaged.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise BadDataset(f"k must be an integer ≥ 1, but it is {k!r}")
        probes = np.ascontiguousarray(embeddings, np.float32)
        with self._lock:
            view = self._follow()
            if not view.names:
                return [[] for _ in probes]
            self._check_model(view.model, model)
            found = view.matrix.best(probes, k)
            return [[Candidate(view.names[number], score) for number, score in row] for row in found]

    # ── keeping up with the file ──────────────────────────────────────────────────────────────

    def _follow(self) -> View:
        """Names and embeddings as they are in the file now."""
        if self._seen == self._store.changes_of_others():
            return self._view
        with self._store.reading() as run:
            return self._read(run)

    def _read(self, run: Any) -> View:
        """The same inside a transaction."""
        self._seen = (-1, -1)
        self._view.read(run)
        self._seen = self._store.changes_of_others()
        return self._view

    def _bound(self, run: Any, model: str, dimension: int) -> View:
        """The view, after writing down whose embeddings these are or seeing that they are the same model's."""
        view = self._read(run)
        if view.names:
            self._check_model(view.model, model)
        elif (view.model, view.matrix.dimension) != (model, dimension):
            for table in ("people", "names", "slots", "templates"):  # zeros by now, of another length
                run(f"DELETE FROM {table}")
            for key, value in (("model", model), ("dimension", dimension)):
                run("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))
            stamp, view = view.stamp, View(view.seal, view.file)
            view.model, view.stamp, view.matrix = model, stamp, TemplateMatrix(dimension)
        if view.matrix.dimension != dimension:
            raise BadGallery(
                f"{self._store.name} holds embeddings of {view.matrix.dimension} numbers, but these have {dimension}"
            )
        return view

    def _check_model(self, stored: object, given: str) -> None:
        if stored != given:
            raise BadGallery(
                f"{self._store.name} was enrolled with another model (fingerprint {str(stored)[:12]}, this one has "
                f"{given[:12]}): use the model it was made with, or enrol into a new gallery"
            )

    def _nobody(self, name: object) -> str:
        known = sorted(map(str, self._view.names.values()))
        some = ", ".join(known[:5]) + (f" and {len(known) - 5} others" if len(known) > 5 else "")
        return f"nobody in {self._store.name} is called {name!r}: it knows {some or 'nobody'}"

    # ── closing it ────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _overwrite(run: Any, table: str, number: int, content: bytes) -> None:
    """Put content into a free slot, in its place, or into a new one at the end."""
    if not run(f"UPDATE {table} SET content = ? WHERE id = ?", (content, number)).rowcount:
        run(f"INSERT INTO {table} VALUES (?, ?)", (number, content))


def _new_rows(
    matrix: TemplateMatrix, owners: NDArray[np.int64], rows: NDArray[np.float32], known: Iterable[int]
) -> list[int]:
    """The indices of the rows that their owner does not have yet, each once; `known` had some before."""
    had = {number: list(matrix.rows(matrix.slots_of(number))) for number in known}
    new = []
    for i, (owner, row) in enumerate(zip(owners.tolist(), rows, strict=True)):
        theirs = had.setdefault(owner, [])
        if not theirs or np.square(np.stack(theirs) - row).sum(1).min() > SAME**2:
            theirs.append(row)
            new.append(i)
    return new
