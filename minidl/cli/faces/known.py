"""What the commands about known people share: the model, the gallery beside it, its passphrase, pictures."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from minidl.faces import FaceRecognizer, Gallery
from minidl.faces.errors import BadGallery, BadImage, PassphraseNeeded, UnknownPerson
from minidl.faces.gallery import Name
from minidl.faces.images import SUFFIXES
from minidl.faces.protocol import natural_order

VARIABLE: Final = "MINIDL_PASSPHRASE"


def add_gallery(command: argparse.ArgumentParser) -> None:
    """Add the model, and where its people are kept, to a command."""
    command.add_argument("model", type=Path, help="a file that `train` wrote")
    command.add_argument(
        "--gallery", type=Path, help="where people are kept (default: beside the model, its name ending in .gallery)"
    )
    add_passphrase(command)


def add_passphrase(command: argparse.ArgumentParser) -> None:
    """Add what opens an encrypted gallery to a command."""
    command.add_argument(
        "--passphrase-file", type=Path, help=f"its first line opens an encrypted gallery (or set {VARIABLE})"
    )


def beside(model: Path) -> Path:
    """The gallery of a model, unless another is named."""
    return model.parent / f"{model.stem if model.suffix != '.gallery' else model.name}.gallery"


def opened(options: argparse.Namespace) -> FaceRecognizer:
    """The recognizer with the gallery that was asked for, or the people of its own training if there is none yet."""
    path = options.gallery or beside(options.model)
    if options.gallery is None and not path.exists():
        return FaceRecognizer.load(options.model, options.device)
    return FaceRecognizer.load(options.model, options.device, gallery=open_gallery(path, options, create=False))


def opened_to_change(options: argparse.Namespace) -> FaceRecognizer:
    """The same, with a gallery file in any case: a new one begins with the people of the training."""
    path = options.gallery or beside(options.model)
    alone = FaceRecognizer.load(options.model, options.device)
    gallery = open_gallery(path, options, create=True)
    if gallery.model is None and not getattr(options, "empty", False):
        gallery.enrol_all_of(alone.gallery)
    return FaceRecognizer.load(options.model, options.device, gallery=gallery)


def open_gallery(path: Path, options: argparse.Namespace, create: bool) -> Gallery:
    """The gallery in a file, with the passphrase of the options or of whoever can be asked."""
    passphrase = _passphrase(options)
    if create and passphrase is None and getattr(options, "encrypt", False) and not path.exists():
        passphrase = _asked(f"A passphrase for {path}: ")
        if passphrase != _asked("The same again: "):
            raise BadGallery("the two passphrases differ: nothing was made")
    try:
        return Gallery(path, passphrase, create=create)
    except PassphraseNeeded:
        if not sys.stdin.isatty():
            raise PassphraseNeeded(
                f"{path} is encrypted: give --passphrase-file, or set {VARIABLE}, where nobody can be asked"
            ) from None
        return Gallery(path, _asked(f"The passphrase of {path}: "), create=False)


def _passphrase(options: argparse.Namespace) -> str | None:
    if options.passphrase_file is not None:
        try:
            lines = options.passphrase_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise BadGallery(
                f"{options.passphrase_file} cannot be read ({reason}): give a file with a passphrase"
            ) from error
        if not lines or not lines[0]:
            raise BadGallery(f"the first line of {options.passphrase_file} is empty: write the passphrase there")
        return str(lines[0])
    return os.environ.get(VARIABLE) or None


def _asked(question: str) -> str:
    if not sys.stdin.isatty():
        raise BadGallery(f"nobody is there to be asked for a passphrase: give --passphrase-file, or set {VARIABLE}")
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise BadGallery("no passphrase was given") from error


def person(text: str, recognizer: FaceRecognizer) -> Name:
    """Who is meant by a word on the command line: a text, or a number where people are known by numbers.

    Raises:
        UnknownPerson: nobody is known by it.
    """
    known = recognizer.people()
    if text in known:
        return text
    if (number := _number(text)) is not None and number in known:
        return number
    shown = ", ".join(map(str, known[:5])) + (f" and {len(known) - 5} others" if len(known) > 5 else "")
    raise UnknownPerson(f"nobody is called {text!r}: known are {shown or 'none'}")


def _number(text: str) -> int | None:
    try:
        return int(text) if str(int(text)) == text else None
    except ValueError:
        return None


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """The pictures that were named; those in a folder, in natural order, where a folder was.

    Raises:
        BadImage: a folder holds no picture, or cannot be read.
    """
    for path in paths:
        yield from _pictures_in(path) if os.path.isdir(path) else [path]


def usable_files_of(paths: Sequence[Path]) -> tuple[list[Path], bool]:
    """The same, going on after a folder without pictures; (files, whether there was such a folder)."""
    files: list[Path] = []
    bad = False
    for path in paths:
        try:
            files += files_of([path])
        except BadImage as error:
            bad = True
            print(f"minidl: {error}", file=sys.stderr)
    return files, bad


def _pictures_in(folder: Path) -> Iterator[Path]:
    try:
        inside = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    except OSError as error:
        raise BadImage(f"{folder} cannot be read ({error.strerror}): give a folder that you may read") from error
    if not inside:
        raise BadImage(f"{folder} holds no pictures: give a folder with jpg, png, pgm or other image files")
    return (folder / name for name in natural_order(inside))
