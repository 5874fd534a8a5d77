"""Options that several commands of `minidl faces` share, and what they accept."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

MOST_SEEDS: Final = 10_000
DATA: Final = "a folder person/*.jpg, an .npz with images and labels, orl, or generated"
"""What the argument `data` may be."""


def add_command(actions: Any, name: str, sentence: str) -> argparse.ArgumentParser:
    """A command of `minidl faces` with the options that every command has.

    Arguments:
        actions: what `add_to` was given.
        name: of the command.
        sentence: what it does, for --help.

    Returns:
        Its parser; the command is what `set_defaults(run=...)` says.
    """
    command: argparse.ArgumentParser = actions.add_parser(name, help=sentence, description=sentence)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    command.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    return command


def add_data(command: argparse.ArgumentParser) -> None:
    """Add the labelled pictures to a command, and whether faces are to be found in them."""
    command.add_argument("data", help=DATA)
    command.add_argument(
        "--photographs", action="store_true", help="the folder holds photographs: find and align the face in each"
    )


def positive(text: str) -> int:
    """The type of an option that is a whole number ≥ 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number ≥ 1, got {text}")
    return number


def seeds(text: str) -> list[int]:
    """0-9 or 0,3,5 as a list of numbers."""
    found: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            run = range(int(first), int(last if dash else first) + 1)
            if len(found) + run.stop - run.start > MOST_SEEDS:
                raise argparse.ArgumentTypeError(f"{text!r} names more than {MOST_SEEDS} seeds; that would take years")
            found.extend(run)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seeds such as 0-9 or 0,3, got {text!r}") from None
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return found


def writable(file: Path) -> Path:
    """The file, if its folder can take it: known before an hour of training, not after."""
    if file.is_dir():
        raise OSError(f"{file} is a folder: give the name of a file to write")
    if file.exists() and not file.is_file():
        raise OSError(f"{file} is a device, a pipe or a socket: give the name of a file to write")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise OSError(f"{file} cannot be written: {file.parent} must be a folder that you may write to")
    return file


def show_progress(options: argparse.Namespace) -> bool:
    """Whether to draw progress bars: on a terminal, unless JSON was asked for."""
    return sys.stderr.isatty() and not options.json
