"""Standard streams that every command can rely on: there, and able to print any name."""

from __future__ import annotations

import codecs
import functools
import io
import os
import sys
from typing import Final, TextIO, cast

ESCAPED: Final = "minidl-escaped"
"""Name of the handler: what an encoding cannot say is printed as \\uXXXX, which JSON reads back."""


def prepare() -> None:
    """Open what the shell closed, and let no name of a file or a person stop a command by a UnicodeEncodeError."""
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPED)


@functools.cache
def _nothing(mode: str) -> TextIO:
    return cast(TextIO, open(os.devnull, mode, encoding="utf-8"))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[k : k + 4]}" for k in range(0, len(units), 4)), error.end


codecs.register_error(ESCAPED, _escaped)
