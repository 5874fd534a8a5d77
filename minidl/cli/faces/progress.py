"""A bar on the terminal for commands that go through many pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(show: bool, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar that moves with every call of what it gives; nothing is drawn where `show` is False or rich is missing.

    Arguments:
        show: whether to draw.
        what: stands before the bar.
        total: how many calls there will be.
    """
    try:
        if not show:
            raise ImportError
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
