"""The command `minidl`, before anything of minidl is loaded: so that even then Ctrl-C is an answer, not a traceback.

It stands outside the package because importing anything inside it imports the package first, which takes a tenth of a
second and more.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def interrupted(number: int, frame: FrameType | None) -> None:
    """While libraries load, nothing is at stake: leave at once, wherever they are."""
    os.write(2, b"minidl: interrupted\n")
    os._exit(130)


def main() -> int:
    """Load minidl and run one command; returns the exit code."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where the shell wants us to ignore it
        signal.signal(signal.SIGINT, interrupted)
    from minidl.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    return run()


if __name__ == "__main__":
    sys.exit(main())
