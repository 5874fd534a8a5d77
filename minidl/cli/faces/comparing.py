"""`minidl faces compare`."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any, Final

from minidl.cli.faces.options import DATA, add_command, positive, show_progress, writable
from minidl.cli.faces.options import seeds as seeds_of
from minidl.faces import FaceRecognizer, comparison, datasets, picture, protocol
from minidl.faces.damaged_comparison import DamagedComparison, compare_damaged
from minidl.faces.errors import BadDataset
from minidl.faces.protocol import Indices
from minidl.faces.purposes import PURPOSES
from minidl.faces.recognizer import MODELS
from minidl.faces.report import Findings, measure, write_report
from minidl.faces.unseen_comparison import UnseenComparison, compare_unseen

DEFAULT_MODELS: Final = "eigen,fisher,cnn"


def add_to(actions: Any) -> None:
    """Add the command to `minidl faces`."""
    compare = add_command(actions, "compare", "every model under one protocol")
    compare.add_argument("data", nargs="?", default="generated", help=DATA + " (default: generated)")
    compare.add_argument("--protocol", default="orl", choices=["orl"], help="how images are split (default: orl)")
    compare.add_argument("--train", type=positive, default=5, help="training images a person, 1 to 5 (default: 5)")
    compare.add_argument("--seeds", type=seeds_of, default=None, help="for example 0-9 or 0,3 (default: 0-1)")
    compare.add_argument(
        "--models", default=DEFAULT_MODELS, help=f"some of {', '.join(MODELS)}, or all (default: {DEFAULT_MODELS})"
    )
    hard = compare.add_mutually_exclusive_group()
    hard.add_argument("--damage", action="store_true", help="test on dark, noisy and half hidden images")
    hard.add_argument("--unseen", action="store_true", help="train on half of the people, compare pairs of the others")
    compare.add_argument(
        "--purpose", choices=list(PURPOSES), help="what networks are trained for; by default what is tested"
    )
    compare.add_argument("--epochs", type=positive, help="passes over the images; the recipes' own by default")
    compare.add_argument("--out", type=Path, default=Path("minidl-compare.png"), help="where the picture goes")
    compare.add_argument("--report", type=Path, help="also write a page with curves, mistakes and maps, works offline")
    compare.add_argument("--no-photographs", action="store_true", help="leave every picture out of that page")
    compare.set_defaults(run=run_compare)


def chosen_models(text: str) -> list[str]:
    """Names with commas between them, or all."""
    models = list(MODELS) if text == "all" else [name for name in text.split(",") if name]
    if not models:
        raise BadDataset("compare needs at least one model, for example --models eigen,cnn")
    return models


def run_compare(options: argparse.Namespace) -> int:
    """Run every model under one protocol; print the table, draw the picture."""
    drawn = not options.damage and not options.unseen
    if drawn:  # before an hour of training, not after
        writable(options.out)
        picture.format_of(options.out)
        picture.require_matplotlib()
    if options.report is not None:
        if not drawn:
            raise BadDataset("--report is about the plain comparison: leave --damage and --unseen out")
        writable(options.report)
    data = datasets.load(options.data)
    models = chosen_models(options.models)
    if not options.unseen:
        protocol.split(data.labels, 0, options.train)  # says what is wrong with the data before anything is trained
    default = [options.seed, options.seed + 1] if drawn else [options.seed]
    seeds = options.seeds if options.seeds is not None else default
    settings: dict[str, Any] = {"seeds": seeds, "epochs": options.epochs, "device": options.device}
    if options.purpose is not None:
        settings["purpose"] = options.purpose
    findings: list[Findings] = []
    with comparison.progress_bar(show_progress(options), len(models) * len(seeds)) as advance:
        settings["advance"] = advance
        result: comparison.Comparison | DamagedComparison | UnseenComparison
        if options.damage:
            result = compare_damaged(data, models, train=options.train, **settings)
        elif options.unseen:
            result = compare_unseen(data, models, **settings)
        else:
            keep = partial(_measured, findings, data, seeds[0]) if options.report is not None else None
            result = comparison.compare(data, models, train=options.train, keep=keep, **settings)
    print(json.dumps(result.to_dict()) if options.json else result.table())
    if isinstance(result, comparison.Comparison):
        picture.draw_comparison(result, data, options.out)
        if not options.json:
            print(f"picture: {options.out}")
        if options.report is not None:
            findings.sort(key=lambda found: result.summary(found.name)["error"])
            write_report(options.report, findings, result, photographs=not options.no_photographs)
            if not options.json:
                print(f"page: {options.report}")
    return 0


def _measured(
    findings: list[Findings],
    data: datasets.FaceDataset,
    first: int,
    run: comparison.Run,
    recognizer: FaceRecognizer,
    test: Indices,
) -> None:
    """Measure the recognizers of the first split for the page."""
    if run.seed == first:
        findings.append(measure(recognizer, data.subset(test), name=run.model))
