"""`minidl faces …`: train, evaluate, compare, download."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minidl.faces import FaceRecognizer, comparison, datasets, download, picture, protocol
from minidl.faces.errors import BadDataset

DEFAULT_MODELS = "eigen,fisher,cnn"
MOST_SEEDS = 10_000


def add_to(commands: Any) -> None:
    """Add `faces` and its commands to the command line."""
    group = commands.add_parser("faces", help="the face recognizer").add_subparsers(
        dest="action", required=True, metavar="action"
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    shared.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    data_help = "a folder person/*.jpg, an .npz with images and labels, orl, or generated"

    train = group.add_parser("train", parents=[shared], help="fit a model and save it")
    train.add_argument("data", help=data_help)
    train.add_argument("--out", type=Path, default=Path("faces.minidl"), help="where the model goes")
    train.add_argument("--model", default="cnn", help="eigen, fisher or cnn (default: cnn)")
    train.add_argument("--epochs", type=_positive, help="passes over the images; the model's own recipe by default")
    train.add_argument("--no-augment", action="store_true", help="show the network only the images as they are")
    train.set_defaults(run=run_train)

    evaluate = group.add_parser("evaluate", parents=[shared], help="error rates of a saved model")
    evaluate.add_argument("model", type=Path, help="a file that `train` wrote")
    evaluate.add_argument("data", help=data_help)
    evaluate.set_defaults(run=run_evaluate)

    compare = group.add_parser("compare", parents=[shared], help="every model under one protocol")
    compare.add_argument("data", nargs="?", default="generated", help=data_help + " (default: generated)")
    compare.add_argument("--protocol", default="orl", choices=["orl"], help="how images are split (default: orl)")
    compare.add_argument("--train", type=_positive, default=5, help="training images a person, 1 to 5 (default: 5)")
    compare.add_argument("--seeds", type=_seeds, default=None, help="for example 0-9 or 0,3 (default: 0-1)")
    compare.add_argument("--models", default=DEFAULT_MODELS, help=f"default: {DEFAULT_MODELS}")
    compare.add_argument("--epochs", type=_positive, help="passes over the images; the recipes' own by default")
    compare.add_argument("--out", type=Path, default=Path("minidl-compare.png"), help="where the picture goes")
    compare.set_defaults(run=run_compare)

    fetch = group.add_parser("download", parents=[shared], help="fetch a public data set and verify it")
    fetch.add_argument("name", choices=["orl"])
    fetch.add_argument("--to", type=Path, help="the folder; your data folder by default")
    fetch.add_argument("--url", help="another address to fetch it from")
    fetch.set_defaults(run=run_download)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number ≥ 1, got {text}")
    return number


def _seeds(text: str) -> list[int]:
    """0-9 or 0,3,5 as a list of numbers."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            run = range(int(first), int(last if dash else first) + 1)
            if len(seeds) + run.stop - run.start > MOST_SEEDS:
                raise argparse.ArgumentTypeError(f"{text!r} names more than {MOST_SEEDS} seeds; that would take years")
            seeds.extend(run)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seeds such as 0-9 or 0,3, got {text!r}") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def _writable(file: Path) -> Path:
    """The file, if its folder can take it: known before an hour of training, not after."""
    if file.is_dir():
        raise OSError(f"{file} is a folder: give the name of a file to write")
    if file.exists() and not file.is_file():
        raise OSError(f"{file} is a device, a pipe or a socket: give the name of a file to write")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise OSError(f"{file} cannot be written: {file.parent} must be a folder that you may write to")
    return file


def _show_progress(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not options.json


def run_train(options: argparse.Namespace) -> int:
    """Fit a model on a data set and save it."""
    _writable(options.out)
    data = datasets.load(options.data)
    recognizer = FaceRecognizer(
        options.model, image_size=data.images.shape[1:3], device=options.device, seed=options.seed
    )
    started = time.perf_counter()
    progress, augment = _show_progress(options), not options.no_augment
    recognizer.fit(data.images, data.labels, epochs=options.epochs, augment=augment, progress=progress)
    seconds = time.perf_counter() - started
    recognizer.save(options.out)
    if options.json:
        facts = {"model": options.model, "images": len(data), "people": len(data.names), "seconds": round(seconds, 2)}
        print(json.dumps({**facts, "parameters": recognizer.parameter_count, "file": str(options.out)}))
    else:
        print(
            f"{options.model}: learned {len(data.names)} people from {len(data)} images in {seconds:.1f} s "
            f"({recognizer.parameter_count:,} parameters), saved as {options.out}"
        )
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """Print the error rates of a saved model on a data set."""
    recognizer = FaceRecognizer.load(options.model)
    data = datasets.load(options.data, image_size=recognizer.image_size)
    report = recognizer.evaluate(data.images, data.labels)
    print(json.dumps(report.to_dict()) if options.json else report.table())
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Run every model under one protocol; print the table, draw the picture."""
    _writable(options.out)
    picture.format_of(options.out)
    data = datasets.load(options.data)
    protocol.split(data.labels, 0, options.train)  # says what is wrong with the data before anything is trained
    models = [name for name in options.models.split(",") if name]
    if not models:
        raise BadDataset("compare needs at least one model, for example --models eigen,cnn")
    seeds = options.seeds if options.seeds is not None else [options.seed, options.seed + 1]
    with comparison.progress_bar(_show_progress(options), len(models) * len(seeds)) as advance:
        result = comparison.compare(
            data,
            models,
            train=options.train,
            seeds=seeds,
            epochs=options.epochs,
            device=options.device,
            advance=advance,
        )
    if options.json:
        print(json.dumps(result.to_dict()))
    else:
        print(result.table())
    picture.draw_comparison(result, data, options.out)
    if not options.json:
        print(f"picture: {options.out}")
    return 0


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
    with _download_bar(_show_progress(options)) as progress:
        folder = download.download(options.name, to=options.to, url=options.url, progress=progress)
    print(json.dumps({"name": options.name, "folder": str(folder)}) if options.json else f"{options.name}: {folder}")
    return 0
