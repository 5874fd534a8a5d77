"""What is written into a gallery for a name or an embedding: the bytes themselves, or the same sealed by a passphrase.

Sealing is AES-256 in Galois/counter mode with a fresh nonce a record; its key comes from the passphrase by scrypt.
Both are from the library `cryptography`: nothing here is invented.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

from minidl.faces.errors import BadGallery, MissingLibrary, WrongPassphrase

SCRYPT: Final = {"n": 2**15, "r": 8, "p": 1}
"""The cost of one guess at a passphrase: 32 MiB and some 0.1 s (RFC 7914)."""
MOST_MEMORY: Final = 2**30
"""A file that asks for more bytes than this to derive its key is refused."""
NONCE: Final = 12
CHECK: Final = b"minidl gallery"
"""What is sealed with a new gallery, to know the right passphrase by."""


class Seal(Protocol):
    """How records become bytes in the file and come back; all records of one length have stored bytes of one length."""

    def close(self, record: bytes, about: bytes) -> bytes:
        """The bytes to store of a record that belongs to `about`."""
        ...

    def open(self, stored: bytes, about: bytes) -> bytes:
        """The record; raises ValueError where it is damaged or does not belong to `about`."""
        ...


class Plain:
    """Records as they are."""

    def close(self, record: bytes, about: bytes) -> bytes:
        """The record."""
        return record

    def open(self, stored: bytes, about: bytes) -> bytes:
        """The record."""
        return stored


class Sealed:
    """Records that only the passphrase opens; moved to another person or changed in a bit, they do not open.

    Arguments:
        passphrase: not empty.
        facts: what the gallery keeps beside: `salt`, `n`, `r`, `p` (see `new_facts`).
        name: of the file, for messages.

    Raises:
        BadGallery: the facts are damaged.
        WrongPassphrase: it does not open the check.
        MissingLibrary: `cryptography` is not installed.
    """

    def __init__(self, passphrase: str, facts: Mapping[str, Any], name: str) -> None:
        aes, scrypt, self._invalid = _library()
        try:
            salt, cost = bytes(facts["salt"]), {key: int(facts[key]) for key in ("n", "r", "p")}
            if not 0 < 128 * cost["n"] * cost["r"] * cost["p"] <= MOST_MEMORY:
                raise ValueError
            key = scrypt(salt=salt, length=32, **cost).derive(passphrase.encode("utf-8"))
        except (KeyError, TypeError, ValueError) as error:
            raise BadGallery(f"{name} is damaged: how its key is derived cannot be read; restore a copy") from error
        self._cipher = aes(key)
        if "check" in facts:
            try:
                right = self.open(bytes(facts["check"]), b"check") == CHECK
            except ValueError:
                right = False
            if not right:
                raise WrongPassphrase(f"this is not the passphrase of {name}: nothing was opened or changed")

    @classmethod
    def new_facts(cls, passphrase: str, name: str) -> dict[str, Any]:
        """What a new gallery keeps, in the clear, for this passphrase."""
        facts: dict[str, Any] = {"salt": os.urandom(16), **SCRYPT}
        return {**facts, "check": cls(passphrase, facts, name).close(CHECK, b"check")}

    def close(self, record: bytes, about: bytes) -> bytes:
        """Nonce, sealed record, seal."""
        nonce = os.urandom(NONCE)
        return nonce + bytes(self._cipher.encrypt(nonce, record, about))

    def open(self, stored: bytes, about: bytes) -> bytes:
        """The record; raises ValueError where a bit was changed or it belongs to something else."""
        try:
            return bytes(self._cipher.decrypt(stored[:NONCE], stored[NONCE:], about))
        except self._invalid as error:
            raise ValueError("the seal is broken") from error


def _library() -> tuple[Any, Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as error:
        raise MissingLibrary("an encrypted gallery needs cryptography: pip install 'minidl[crypto]'") from error
    return AESGCM, Scrypt, InvalidTag
