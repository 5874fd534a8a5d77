"""`minidl faces download`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minidl.cli.faces.options import add_command, show_progress
from minidl.faces import download


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    fetch = add_command(actions, "download", "fetch a public data set and verify it")
    fetch.add_argument("name", choices=["orl"])
    fetch.add_argument("--to", type=Path, help="the folder; your data folder by default")
    fetch.add_argument("--url", help="another address to fetch it from")
    fetch.set_defaults(run=run_download)


@contextmanager
def _download_bar(show: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on the terminal that fills with the bytes that arrived; nothing where `show` is False."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    console = Console(stderr=True)
    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("download")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_download(options: argparse.Namespace) -> int:
    """Fetch a data set."""
    with _download_bar(show_progress(options)) as progress:
        folder = download.download(options.name, to=options.to, url=options.url, progress=progress)
    print(json.dumps({"name": options.name, "folder": str(folder)}) if options.json else f"{options.name}: {folder}")
    return 0
