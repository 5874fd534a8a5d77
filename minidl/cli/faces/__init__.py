"""`minidl faces …`: a module a group of commands; `GROUPS` is the one place where they are registered.

A module adds its commands in `add_to(actions)`, by `options.add_command`, and sets `run` to a function of the parsed
options that returns the exit code. Libraries that not everybody has are imported in `run`.
"""

from __future__ import annotations

from typing import Any, Final

from minidl.cli.faces import (
    ablating,
    comparing,
    downloading,
    live,
    people,
    photographs,
    recognizing,
    reporting,
    training,
)

GROUPS: Final = (training, people, recognizing, photographs, comparing, ablating, reporting, live, downloading)
"""Every group of commands, in the order of `minidl faces --help`."""


def add_to(commands: Any) -> None:
    """Add `faces` and its commands to the command line."""
    group = commands.add_parser("faces", help="the face recognizer")
    actions = group.add_subparsers(dest="action", required=True, metavar="action")
    for module in GROUPS:
        module.add_to(actions)
