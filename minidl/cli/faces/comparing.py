"""`minidl faces compare`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from minidl.cli.faces.options import DATA, add_command, positive, seeds, show_progress, writable
from minidl.faces import comparison, datasets, picture, protocol
from minidl.faces.errors import BadDataset

DEFAULT_MODELS: Final = "eigen,fisher,cnn"


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    compare = add_command(actions, "compare", "every model under one protocol")
    compare.add_argument("data", nargs="?", default="generated", help=DATA + " (default: generated)")
    compare.add_argument("--protocol", default="orl", choices=["orl"], help="how images are split (default: orl)")
    compare.add_argument("--train", type=positive, default=5, help="training images a person, 1 to 5 (default: 5)")
    compare.add_argument("--seeds", type=seeds, default=None, help="for example 0-9 or 0,3 (default: 0-1)")
    compare.add_argument("--models", default=DEFAULT_MODELS, help=f"default: {DEFAULT_MODELS}")
    compare.add_argument("--epochs", type=positive, help="passes over the images; the recipes' own by default")
    compare.add_argument("--out", type=Path, default=Path("minidl-compare.png"), help="where the picture goes")
    compare.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> int:
    """Run every model under one protocol; print the table, draw the picture."""
    writable(options.out)
    picture.format_of(options.out)
    data = datasets.load(options.data)
    protocol.split(data.labels, 0, options.train)  # says what is wrong with the data before anything is trained
    models = [name for name in options.models.split(",") if name]
    if not models:
        raise BadDataset("compare needs at least one model, for example --models eigen,cnn")
    splits = options.seeds if options.seeds is not None else [options.seed, options.seed + 1]
    with comparison.progress_bar(show_progress(options), len(models) * len(splits)) as advance:
        result = comparison.compare(
            data,
            models,
            train=options.train,
            seeds=splits,
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
