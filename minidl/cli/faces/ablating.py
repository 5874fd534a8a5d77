"""`minidl faces ablate`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minidl.cli.faces.options import DATA, add_command, positive, show_progress
from minidl.cli.faces.options import seeds as seeds_of
from minidl.faces import comparison, datasets
from minidl.faces.ablation import CHANGES, ablate
from minidl.faces.networks import NETWORKS
from minidl.faces.purposes import PURPOSES


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    command = add_command(actions, "ablate", "what each trick of a recipe buys, without a look at test images")
    command.add_argument("data", nargs="?", default="generated", help=DATA + " (default: generated)")
    command.add_argument("--model", default="cnn", choices=list(NETWORKS), help="a network (default: cnn)")
    command.add_argument("--purpose", default="identification", choices=list(PURPOSES), help="whose recipe is changed")
    command.add_argument("--changes", help=f"some of these, commas between: {', '.join(CHANGES)} (default: all)")
    command.add_argument("--train", type=positive, default=3, help="images a person to fit on, 1 to 4 (default: 3)")
    command.add_argument("--seeds", type=seeds_of, default=None, help="for example 0-9 or 0,3 (default: 0-1)")
    command.add_argument("--epochs", type=positive, help="passes over the images; the recipe's own by default")
    command.set_defaults(run=run_ablate)


def run_ablate(options: argparse.Namespace) -> int:
    """Train by the recipe and by the same with one thing changed; print the table."""
    data = datasets.load(options.data)
    changes = [name.strip() for name in options.changes.split(",")] if options.changes else list(CHANGES)
    seeds = options.seeds if options.seeds is not None else [options.seed, options.seed + 1]
    with comparison.progress_bar(show_progress(options), len(changes) * len(seeds)) as advance:
        result = ablate(
            data,
            options.model,
            changes,
            train=options.train,
            seeds=seeds,
            purpose=options.purpose,
            epochs=options.epochs,
            device=options.device,
            advance=advance,
        )
    print(json.dumps(result.to_dict()) if options.json else result.table())
    return 0
