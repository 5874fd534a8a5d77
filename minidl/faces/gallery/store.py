"""The file of a gallery: an SQLite database that survives being killed and keeps nothing of what was deleted.

Write-ahead logging, so that readers and one writer do not wait for each other; every commit reaches the disk before it
is reported; what is deleted is overwritten with zeros in its place, and the log is emptied after a deletion. (Zeros
reach the file; whether a solid-state disk or a backup keeps older copies of its blocks is beyond a program.)
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from minidl.faces.errors import BadGallery

APPLICATION: Final = 0x6D64_6C67
"""What marks the file as a gallery ("mdlg", at byte 68)."""
VERSION: Final = 1
PATIENCE: Final = 20.0
"""Seconds to wait for another process that is writing."""
_inherited: list[sqlite3.Connection] = []  # closing them in a child process would disturb the parent's

TABLES: Final = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE people (id INTEGER PRIMARY KEY, known INTEGER NOT NULL, stamp INTEGER NOT NULL);
CREATE TABLE names (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE slots (id INTEGER PRIMARY KEY, person INTEGER NOT NULL, stamp INTEGER NOT NULL);
CREATE TABLE templates (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE INDEX people_changed ON people (stamp);
CREATE INDEX slots_changed ON slots (stamp);
"""
"""Names and embeddings lie in slots of one size, which are overwritten in place and never deleted: where SQLite moves a
record to another page, a copy may stay behind in the old one, and secure_delete does not find it (tried: one in some
hundred deletions left a trace). A free slot holds zeros. `stamp` is the number of the last change of a row."""


class Store:
    """An open gallery file, or one in memory.

    Arguments:
        path: of the file; None keeps it in memory.
        facts: what a new file is created with; None opens an existing one only.

    Raises:
        BadGallery: there is no such file and none may be made, or it is something else, damaged or cut off.
    """

    def __init__(self, path: Path | None, facts: dict[str, Any] | None) -> None:
        self.path, self.name = path, "the gallery in memory" if path is None else str(path)
        self.writable = True
        self.created = path is None or not path.exists()
        if path is None:
            self._connection = self._connect(":memory:")
            _fill(self._connection, facts or {})
            self._process = os.getpid()
        else:
            if self.created:
                if facts is None:
                    raise BadGallery(f"{path} does not exist: enrol somebody first, or give the path of a gallery")
                self.created = _create(path, facts)
            _check_kind(path)
            self._open()

    def _open(self) -> None:
        assert self.path is not None
        self._process = os.getpid()
        address = "file:" + quote(os.fspath(self.path.absolute()))
        log = self.path.with_name(self.path.name + "-wal")
        # A file on read-only ground has nowhere to keep its log: what is whole can be read all the same.
        ways = ["?mode=rw", "?mode=ro"] + ([] if log.exists() and log.stat().st_size else ["?immutable=1"])
        for number, way in enumerate(ways):
            self.writable = way == "?mode=rw" and os.access(self.path, os.W_OK)
            connection = None
            try:
                connection = self._connection = self._connect(address + way)
                with self.reading() as run:
                    version = run("PRAGMA user_version").fetchone()[0]
                    run("SELECT 1 FROM facts, people, names, slots, templates LIMIT 1").fetchone()
                break
            except BadGallery:
                if connection is not None:
                    connection.close()
                if number == len(ways) - 1:
                    raise
        if version != VERSION:
            self.close()
            raise BadGallery(
                f"{self.path} has gallery format {version}, but this minidl reads {VERSION}: use the one that made it"
            )

    def _connect(self, address: str) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(
                address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                for setting in ("secure_delete=ON", "synchronous=FULL", "temp_store=MEMORY", "trusted_schema=OFF"):
                    connection.execute(f"PRAGMA {setting}").fetchall()
            except sqlite3.Error:
                connection.close()
                raise
            return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What SQLite says, as one sentence."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                text = f"another program has been writing to it for {PATIENCE:.0f} s"
                raise BadGallery(f"{self.name} cannot be used now: {text}; try again") from error
            if "readonly" in text or "read-only" in text:
                raise BadGallery(
                    f"{self.name} cannot be written: check the permissions of the file and folder"
                ) from error
            raise BadGallery(f"{self.name} cannot be used ({text}): check its folder, permissions and disk") from error
        except sqlite3.DatabaseError as error:
            raise BadGallery(f"{self.name} is damaged or cut off ({error}): restore a copy of it") from error

    def _in_this_process(self) -> sqlite3.Connection:
        if self.path is not None and self._process != os.getpid():  # a connection must not cross a fork
            _inherited.append(self._connection)
            self._open()
        return self._connection

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """One consistent view: what others write meanwhile is not seen. Gives `execute`."""
        connection = self._in_this_process()
        with self._explained():
            connection.execute("BEGIN")
            try:
                yield connection.execute
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """All or nothing, and on the disk when it ends. Gives `execute`."""
        if not self.writable:
            raise BadGallery(f"{self.name} cannot be written: check the permissions of the file and folder")
        connection = self._in_this_process()
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection.execute
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def changes_of_others(self) -> tuple[int, int]:
        """Something that changes when another connection has written."""
        connection = self._in_this_process()
        with self._explained():
            return self._process, int(connection.execute("PRAGMA data_version").fetchone()[0])

    def empty_log(self) -> None:
        """Move everything from the log into the file, and cut the log to nothing.

        Raises:
            BadGallery: another program was reading an older state all the time.
        """
        connection, end = self._in_this_process(), time.monotonic() + PATIENCE
        busy = 1
        while busy and time.monotonic() < end:  # SQLite does not wait for another who is emptying the log
            with self._explained():
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                time.sleep(0.002)
        if busy:
            raise BadGallery(
                f"the person was deleted, but while another program reads {self.name} traces stay in {self.name}-wal: "
                "they go when the programs that use it have ended"
            )

    def close(self) -> None:
        """Close the file. Using it again is an error."""
        if self._process == os.getpid():
            self._connection.close()


def _fill(connection: sqlite3.Connection, facts: dict[str, Any]) -> None:
    """Make an empty database a gallery."""
    connection.executescript(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION};\n{TABLES}")
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())


def _create(path: Path, facts: dict[str, Any]) -> bool:
    """Make a new gallery beside its place, and put it there whole; False if another process was faster."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable by its owner only
        os.close(handle)
    except OSError as error:
        raise BadGallery(f"{path} cannot be made ({error.strerror}): give a place that you may write to") from error
    try:
        connection = sqlite3.connect(name, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            _fill(connection, facts)
        finally:
            connection.close()
        try:
            os.link(name, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if path.exists():
                return False
            os.replace(name, path)
        return True
    except (OSError, sqlite3.Error) as error:
        raise BadGallery(f"{path} cannot be made ({error}): check the disk") from error
    finally:
        for end in ("", "-wal", "-shm"):
            Path(name + end).unlink(missing_ok=True)


def _check_kind(path: Path) -> None:
    """Refuse, before SQLite touches it, what is no gallery."""
    if path.is_dir():
        raise BadGallery(f"{path} is a folder: give the name of a gallery file")
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise BadGallery(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise BadGallery(f"{path} is empty: restore a copy of the gallery, or delete the file to begin a new one")
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise BadGallery(f"{path} is not a gallery, or only the beginning of one: give a file that minidl made")
    if struct.unpack(">I", head[68:72])[0] != APPLICATION:
        raise BadGallery(f"{path} is a database of another program: give a file that minidl made")
