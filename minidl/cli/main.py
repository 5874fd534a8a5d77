"""`minidl`: the entry point; turns every foreseen error into one sentence and an exit code.

Exit codes: 0 done, 1 the answer is no (an unknown face), 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from minidl import __version__
from minidl.cli import faces, info, lesson, streams, warm_up
from minidl.faces.errors import FaceError
from minidl.teaching.errors import LessonError


def parser() -> argparse.ArgumentParser:
    """The command line of `minidl`."""
    root = argparse.ArgumentParser(prog="minidl", description="A neural-network engine to read, check and keep.")
    root.add_argument("--version", action="version", version=f"minidl {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="command")
    faces.add_to(commands)
    info.add_to(commands)
    lesson.add_to(commands)
    warm_up.add_to(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Arguments:
        arguments: the words after `minidl`; those of the process by default.

    Returns:
        The exit code.
    """
    streams.prepare()
    try:
        options = parser().parse_args(arguments)
        code: int = options.run(options)
        sys.stdout.flush()
    except (FaceError, LessonError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of the pipe went away: not an error of ours
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"minidl: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minidl: interrupted", file=sys.stderr)
        return 130
    return code


def _sentence(error: Exception) -> str:
    """What went wrong, without the number of the operating system."""
    if isinstance(error, OSError) and error.strerror:
        named = isinstance(error.filename, str | bytes)
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if named else error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
